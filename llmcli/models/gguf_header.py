"""The header of a GGUF file, as far as it tells what the model is: neither vocabulary nor weights are read.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from llmcli.errors import ModelError
from llmcli.models import memory

STRING, ARRAY = 8, 9
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of the types of one length."""
KEYS, ELEMENTS = 10_000, 1 << 22
"""The most keys, and strings in an array; real files have some fifty, and up to half a million."""
WANTED = ("general.architecture", "general.license", "tokenizer.chat_template")
_length = struct.Struct("<Q").unpack_from
_type = struct.Struct("<I").unpack_from


@dataclass(frozen=True)
class Header:
    """What a GGUF file says it is."""

    architecture: str
    chat: bool
    """Whether it has a chat template."""
    license: str = ""


def read(path: Path) -> Header:
    """The header of a GGUF file. Raises ModelError for a file that is none, or damaged there."""
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as raw:
            found = _values(raw)
    except OSError as error:
        raise memory.unreadable(path, error, code="no-model") from error
    except (ValueError, OverflowError, struct.error) as error:
        raise ModelError(f"{path.name}: not a GGUF file that can be read", code="bad-gguf") from error
    return Header(
        found.get("general.architecture", ""),
        chat=bool(found.get("tokenizer.chat_template")),
        license=found.get("general.license", ""),
    )


def _values(raw: mmap.mmap) -> dict[str, str]:
    """The wanted strings that are there. Raises ValueError, or struct.error where the file ends too early."""
    version, keys = _type(raw, 4)[0], _length(raw, 16)[0]
    if raw[:4] != b"GGUF" or version not in (2, 3) or keys > KEYS:
        raise ValueError
    found: dict[str, str] = {}
    at = 24
    while keys and len(found) < len(WANTED):
        key, at = _string(raw, at)
        kind, at = _type(raw, at)[0], at + 4
        if kind == STRING and key in WANTED:
            found[key], at = _string(raw, at)
        else:
            at = _behind(raw, kind, at)
        keys -= 1
    return found


def _string(raw: mmap.mmap, at: int) -> tuple[str, int]:
    begin, length = at + 8, _length(raw, at)[0]
    if begin + length > len(raw):
        raise ValueError
    return raw[begin : begin + length].decode("utf-8", "replace"), begin + length


def _behind(raw: mmap.mmap, kind: int, at: int) -> int:
    """Where a value ends."""
    if kind == STRING:
        at += 8 + _length(raw, at)[0]
    elif kind == ARRAY:
        inner, count, at = _type(raw, at)[0], _length(raw, at + 4)[0], at + 12
        if inner in SIZES:
            at += count * SIZES[inner]
        elif inner == STRING and count <= ELEMENTS:
            for _ in range(count):
                at += 8 + _length(raw, at)[0]
        else:
            raise ValueError
    elif kind in SIZES:
        at += SIZES[kind]
    else:
        raise ValueError
    if at > len(raw):
        raise ValueError
    return at
