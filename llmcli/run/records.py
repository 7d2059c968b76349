"""Records in, results out: the two row types, and what makes a text unusable.

Nothing here raises for one bad row: the row becomes a :class:`Record` that holds its error, in its place.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from llmcli import errors
from llmcli.errors import InputError, LlmcliError


@dataclass(frozen=True)
class Record:
    """One text to work on. ``where`` names its place for messages; ``error`` says why it cannot be used.

    ``fields`` is the whole input row of JSONL or CSV. ``named`` tells whether the row brought its own id.
    ``last`` marks a row after which the input has nothing more to read for now.
    """

    id: str | int
    text: str
    line: int | None = None
    where: str = ""
    path: Path | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    named: bool = False
    last: bool = False
    seed: int | None = None
    argument: str = ""
    """The command line's part of the text, which stands at its end."""
    error: LlmcliError | None = None


@dataclass(frozen=True)
class Result:
    """The answer to one record. ``fields`` holds the task's own keys, in their order."""

    id: str | int
    fields: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    finish_reason: str = "stop"
    chunks: int = 1
    truncated: bool = False
    notices: tuple[str, ...] = ()
    record: Record | None = None
    error: LlmcliError | None = None
    resumed: bool = False
    """Whether an earlier run made it."""

    @property
    def status(self) -> str:
        """``ok`` or ``error``."""
        return "error" if self.error else "ok"


def failed(record: Record, error: LlmcliError, *, model: str) -> Result:
    """The error result of a record; ``error`` gets the record's place."""
    error.where = error.where or record.where
    return Result(record.id, model=model, record=record, error=error)


_PACKED = ("fields", "model", "input_tokens", "output_tokens", "finish_reason", "chunks", "truncated", "notices")


def pack(result: Result) -> dict[str, Any]:
    """A result as JSON values, without its record: for the journal and the wire."""
    packed = {name: getattr(result, name) for name in _PACKED}
    return packed | {"error": errors.pack(result.error) if result.error else None}


def unpack(packed: Mapping[str, Any], record: Record) -> Result:
    """The result of ``record`` from what :func:`pack` gave."""
    values = {name: packed[name] for name in _PACKED} | {"notices": tuple(packed["notices"])}
    error = errors.unpack(packed["error"]) if packed["error"] else None
    if error is not None:
        error.where = record.where
    return Result(record.id, **values, record=record, error=error)


def decode(raw: bytes) -> str:
    """Strict UTF-8 without NUL; InputError names the byte."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        hint = "it looks like UTF-16: convert it with iconv" if utf16 else "convert it with iconv -t utf-8"
        raise InputError(
            f"not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start}", code="bad-utf8", hint=hint
        ) from error
    if (offset := text.find("\0")) >= 0:
        raise InputError(f"a NUL character at offset {offset}", code="nul", hint="is it a binary file?")
    return text


def check(record: Record) -> Record:
    """Mark a record whose text no model can use: empty, with a lone surrogate, or with NUL."""
    if record.error:
        return record
    if not record.text.strip():
        return bad(record, InputError("the text is empty", code="empty"))
    if any("\ud800" <= c <= "\udfff" for c in record.text):
        return bad(record, InputError("not UTF-8: a lone surrogate", code="bad-utf8"))
    if "\0" in record.text:
        return bad(record, InputError("a NUL character in the text", code="nul"))
    return record


def bad(record: Record, error: LlmcliError) -> Record:
    """The record with its error in place of its text."""
    error.where = record.where
    return replace(record, text="", error=error)
