"""The header of a GGUF file, walked before a library reads it: every count and length against the file's size."""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmcli.errors import ModelError
from llmcli.models import memory, proportions
from llmcli.models.safetensors import Tensor

VERSIONS = (2, 3)
KEYS, TENSORS, STRING = 4096, 1 << 16, 1 << 24
"""The most keys, tensors, and bytes of a string: files in use have 50, 2,000 and 20,000."""
FORMS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""How the scalar types of the format are packed."""
TEXT, ARRAY = 8, 9
ALIGNMENT = 32


@dataclass(frozen=True)
class Header:
    """What a file says of itself: ``values`` that are no arrays by key, and ``tensors`` by name."""

    values: dict[str, Any]
    tensors: dict[str, Tensor]


def header(path: Path) -> Header:
    """Read the header. Raises ModelError for a file that is not GGUF, is not whole, or is one of several parts."""
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = _Walk(data, path.name).header()
    except OSError as error:
        raise memory.unreadable(path, error, code="bad-gguf") from error
    except ValueError as error:  # an empty file cannot be mapped
        raise ModelError(f"{path.name}: not a GGUF file", code="bad-gguf") from error
    _check(found, path.name)
    return found


def _check(found: Header, name: str) -> None:
    """Numbers that would have a library make more than the file has weights for."""
    architecture = found.values.get("general.architecture")
    parts = found.values.get("split.count", 0)
    if isinstance(parts, int) and parts > 1:
        raise ModelError(f"{name}: one of {parts} parts of a model", code="bad-gguf",
                         hint="join them, with llama-gguf-split --merge")  # fmt: skip
    if not isinstance(architecture, str):
        raise ModelError(f"{name}: it names no architecture", code="bad-gguf")
    names = {"block_count": "num_hidden_layers", "embedding_length": "hidden_size", "vocab_size": "vocab_size",
             "feed_forward_length": "intermediate_size", "context_length": "max_position_embeddings",
             "expert_count": "num_experts", "attention.head_count": "num_attention_heads",
             "attention.head_count_kv": "num_key_value_heads"}  # fmt: skip
    config = {ours: found.values[key] for theirs, ours in names.items()
              if (key := f"{architecture}.{theirs}") in found.values}  # fmt: skip
    proportions.check_numbers(config, found.tensors, where=name)


class _Walk:
    """A place in the file that moves on; what it reads lies within the file."""

    def __init__(self, data: mmap.mmap, name: str) -> None:
        self._data, self._name, self._at = data, name, 0

    def header(self) -> Header:
        if self._bytes(4) != b"GGUF" or self._number("I") not in VERSIONS:
            raise self._bad("not a GGUF file, or of another version")
        tensors, keys = self._count(TENSORS, "tensors"), self._count(KEYS, "keys")
        values: dict[str, Any] = {}
        for _ in range(keys):
            key = self._text()
            if key in values:
                raise self._bad("a key stands there twice")
            values[key] = self._value(self._number("I"))
        places = [self._tensor() for _ in range(tensors)]
        self._inside(places, values.get("general.alignment", ALIGNMENT))
        return Header(values, {name: tensor for name, tensor, _ in places})

    def _value(self, kind: int) -> Any:
        if kind == TEXT:
            return self._text()
        if kind in FORMS:
            return self._number(FORMS[kind])
        if kind != ARRAY:
            raise self._bad("a value of an unknown type")
        inner, count = self._number("I"), self._number("Q")
        if inner == TEXT:
            if count * 8 > len(self._data) - self._at:
                raise self._bad("an array is longer than the file")
            for _ in range(count):
                self._skip(self._number("Q"))
        elif inner in FORMS:
            self._skip(count * struct.calcsize(f"<{FORMS[inner]}"))
        else:
            raise self._bad("an array of an unknown type")
        return None

    def _tensor(self) -> tuple[str, Tensor, int]:
        name, dimensions = self._text(), self._number("I")
        if not 1 <= dimensions <= 4:
            raise self._bad("a tensor has a wrong number of dimensions")
        shape = tuple(self._number("Q") for _ in range(dimensions))
        return name, Tensor(str(self._number("I")), shape), self._number("Q")

    def _inside(self, places: list[tuple[str, Tensor, int]], alignment: object) -> None:
        """Each tensor's bytes are in the file."""
        from gguf.constants import GGML_QUANT_SIZES

        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1) or alignment > 1 << 20:
            raise self._bad("a wrong alignment")
        begin = self._at + -self._at % alignment
        sizes = {str(int(kind)): pair for kind, pair in GGML_QUANT_SIZES.items()}
        for _, tensor, offset in places:
            if tensor.dtype not in sizes:
                raise self._bad("a tensor of an unknown type")
            block, size = sizes[tensor.dtype]
            if math.prod(tensor.shape) // block * size + offset + begin > len(self._data):
                raise self._bad("a tensor lies outside of the file: it is not whole")

    def _count(self, most: int, what: str) -> int:
        count: int = self._number("Q")
        if count > most:
            raise self._bad(f"it says that it has {count} {what}")
        return count

    def _text(self) -> str:
        length = self._number("Q")
        if length > STRING:
            raise self._bad("a string is too long")
        return self._bytes(length).decode("utf-8", "replace")

    def _number(self, form: str) -> Any:
        (found,) = struct.unpack(f"<{form}", self._bytes(struct.calcsize(f"<{form}")))
        return found

    def _bytes(self, length: int) -> bytes:
        begin = self._at
        self._skip(length)
        return self._data[begin : self._at]

    def _skip(self, length: int) -> None:
        if length > len(self._data) - self._at:
            raise self._bad("it ends in its header: not a GGUF file, or not whole")
        self._at += length

    def _bad(self, what: str) -> ModelError:
        return ModelError(f"{self._name}: {what}", code="bad-gguf")
