"""GGUF files whose headers lie: each is refused in one line, before a library reads it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from llmcli.errors import ModelError
from llmcli.models import gguf_check

TEXT, U32, ARRAY = 8, 4, 9
HUGE = 1 << 60


def text(value: str, length: int | None = None) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw


def key(name: str, value: Any) -> bytes:
    if isinstance(value, bytes):
        return text(name) + value
    if isinstance(value, str):
        return text(name) + struct.pack("<I", TEXT) + text(value)
    return text(name) + struct.pack("<II", U32, value)


def tensor(name: str, *shape: int, kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def file(keys: Sequence[bytes] = (), tensors: Sequence[bytes] = (), *, magic: bytes = b"GGUF", version: int = 3,
         counts: tuple[int, int] | None = None, behind: bytes = b"") -> bytes:  # fmt: skip
    tensor_count, key_count = counts or (len(tensors), len(keys))
    head = magic + struct.pack("<IQQ", version, tensor_count, key_count)
    raw = head + b"".join(keys) + b"".join(tensors)
    return raw + b"\0" * (-len(raw) % 32) + behind


LLAMA = key("general.architecture", "llama")
ROOM = b"\0" * 4096
CASES = {
    "nothing": (b"", "not a GGUF file"),
    "other bytes": (b"not a model at all, but a long enough text", "not a GGUF file"),
    "another version": (file(version=99), "another version"),
    "many tensors": (file([LLAMA], counts=(HUGE, 1)), f"it has {HUGE} tensors"),
    "many keys": (file([LLAMA], counts=(0, HUGE)), f"it has {HUGE} keys"),
    "1e5 keys": (file([LLAMA, *(key(f"k{i}", i) for i in range(100_000))]), "it has 100001 keys"),
    "more keys than there are": (file([LLAMA], counts=(0, 9)), "stands there twice"),
    "a long string": (file([text("a") + struct.pack("<I", TEXT) + text("x", HUGE)]), "too long"),
    "a string behind the end": (file([text("a") + struct.pack("<I", TEXT) + text("x", 9999)]), "ends in its header"),
    "a long array of strings": (file([key("a", struct.pack("<IIQ", ARRAY, TEXT, HUGE))]), "longer than the file"),
    "a long array of numbers": (file([key("a", struct.pack("<IIQ", ARRAY, U32, HUGE))]), "ends in its header"),
    "an array of arrays": (file([key("a", struct.pack("<IIQ", ARRAY, ARRAY, 1))]), "unknown type"),
    "a value of no type": (file([key("a", struct.pack("<I", 77))]), "unknown type"),
    "a key twice": (file([LLAMA, LLAMA]), "stands there twice"),
    "no architecture": (file([key("a", 1)]), "no architecture"),
    "a part": (file([LLAMA, key("split.count", 3)]), "one of 3 parts"),
    "many blocks": (file([LLAMA, key("llama.block_count", 2**32 - 1)]), "num_hidden_layers of 4294967295"),
    "no blocks": (file([LLAMA, key("llama.block_count", 0)]), "num_hidden_layers of 0"),
    "wide": (file([LLAMA, key("llama.embedding_length", 2**32 - 1)]), "hidden_size"),
    "blocks in words": (file([LLAMA, key("llama.block_count", "x")]), "must be a whole number"),
    "no dimensions": (file([LLAMA], [tensor("a")]), "number of dimensions"),
    "many dimensions": (file([LLAMA], [tensor("a", *[1] * 9)]), "number of dimensions"),
    "a tensor of no type": (file([LLAMA], [tensor("a", 1, kind=9999)], behind=ROOM), "unknown type"),
    "a large tensor": (file([LLAMA], [tensor("a", HUGE, HUGE)], behind=ROOM), "outside of the file"),
    "a tensor behind the end": (file([LLAMA], [tensor("a", 1, offset=HUGE)], behind=ROOM), "outside of the file"),
    "a wrong alignment": (file([LLAMA, key("general.alignment", 0)]), "alignment"),
    "other tensors": (file([LLAMA], [tensor("a", 4)], behind=ROOM), "cannot be loaded"),
    "an architecture that is none": (file([key("general.architecture", "none")]), "cannot be loaded"),
}


@pytest.mark.parametrize(("raw", "reason"), CASES.values(), ids=CASES)
def test_a_gguf_file_that_lies_is_one_line(cli, tmp_path: Path, raw: bytes, reason: str):
    (tmp_path / "x.gguf").write_bytes(raw)
    done = cli("generate", "-m", str(tmp_path / "x.gguf"), "-q", "hello")
    assert (done.code, done.out, done.err.count("\n")) == (4, "", 1), done.err
    if reason == "cannot be loaded":  # the header is in order
        assert reason in done.err
    else:
        with pytest.raises(ModelError, match=reason):
            gguf_check.header(tmp_path / "x.gguf")
    assert [*(tmp_path / "cache").rglob("*.safetensors")] == []


def test_what_would_fit_no_disk_is_known_before(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "x.gguf").write_bytes(file([LLAMA], [tensor("a", 1 << 20)], behind=b"\0" * (4 << 20)))
    monkeypatch.setattr("shutil.disk_usage", lambda place: type("Usage", (), {"free": 1000}))
    done = cli("generate", "-m", str(tmp_path / "x.gguf"), "-q", "hello")
    assert (done.code, done.err.count("\n"), "are free" in done.err) == (10, 1, True), done.err
