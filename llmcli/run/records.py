"""Records in, results out: the two row types, and what makes a text unusable.

Nothing here raises for one bad row: the row becomes a :class:`Record` that holds its error, in its place.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from llmcli import errors
from llmcli.errors import InputError, LlmcliError

DEEPEST = 100
"""How deeply the fields of a row may be nested."""
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Record:
    """One text to work on. ``where`` names its place for messages; ``error`` says why it cannot be used.

    ``fields`` is the whole input row of JSONL or CSV. ``named`` tells whether the row brought its own id.
    ``within`` is what an output folder calls the file that is a row.
    ``last`` marks a row after which the input has nothing more to read for now.
    """

    id: str | int
    text: str
    line: int | None = None
    where: str = ""
    path: Path | None = None
    within: Path | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    named: bool = False
    last: bool = False
    seed: int | None = None
    shifts: tuple[int, ...] = ()
    """Places of the text before which the file has a character more: a byte order mark, a carriage return."""
    part: Mapping[str, str] = field(default_factory=dict)
    """Of a piece of a document: what its task has to know of the whole."""
    delimiter: str = ""
    """What stands between two columns of the table that it is a row of."""
    argument: str = ""
    """The command line's part of the text, which stands at its end."""
    error: LlmcliError | None = None


@dataclass(frozen=True)
class Result:
    """The answer to one record. ``fields`` holds the task's own keys, in their order.

    ``resumed`` tells whether an earlier run made it.
    """

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
    unsound: int = 0
    """How many pieces of it failed, though it is written."""

    @property
    def status(self) -> str:
        """``ok`` or ``error``."""
        return "error" if self.error else "ok"


def original(record: Record) -> str:
    """A text as it stands in its file: with the byte order mark and the carriage returns that reading took away."""
    marked = record.shifts.count(0) > record.text.startswith("\n")
    returns = record.shifts[1:] if marked else record.shifts
    bounds = [0, *returns, len(record.text)]
    lines = "\r".join(record.text[one:other] for one, other in pairwise(bounds))
    return "\ufeff" + lines if marked else lines


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
        hint = "is it a binary file?" if b"\0" in raw else "convert it with iconv -t utf-8"
        hint = "it looks like UTF-16: convert it with iconv" if utf16 else hint
        raise InputError(
            f"not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start}", code="bad-utf8", hint=hint
        ) from error
    if (offset := text.find("\0")) >= 0:
        raise InputError(f"a NUL character at offset {offset}", code="nul", hint="is it a binary file?")
    return text


def check(record: Record) -> Record:
    """Mark a record that no model, or no output, can use.

    Its text is empty or holds NUL; or its id, its text, or any of its fields holds a lone surrogate.
    """
    if record.error:
        return record
    if not record.text.strip():
        return bad(record, InputError("the text is empty", code="empty"))
    if "\0" in record.text:
        return bad(record, InputError("a NUL character in the text", code="nul"))
    if _SURROGATE.search(record.text):
        return bad(record, InputError("not UTF-8: a lone surrogate", code="bad-utf8"))
    try:
        if any(_SURROGATE.search(text) for text in _strings([record.id, record.fields], depth=-1)):
            return bad(record, InputError("not UTF-8: a lone surrogate beside the text", code="bad-utf8"))
    except InputError as error:
        return bad(record, error)
    return record


def _strings(value: Any, *, depth: int) -> Iterator[str]:
    """All strings in a value, keys too. Raises InputError where it is nested too deeply."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        if depth >= DEEPEST:
            raise InputError("nested too deeply", code="bad-json")
        if isinstance(value, Mapping):
            yield from (key for key in value if isinstance(key, str))
            value = value.values()
        for inner in value:
            yield from _strings(inner, depth=depth + 1)


def bad(record: Record, error: LlmcliError) -> Record:
    """The record with its error in place of its text; what of it will be written can be written."""
    error.where = record.where
    return replace(record, id=_writable(record.id), text="", fields=_writable(record.fields), error=error)


def _writable(value: Any, depth: int = 0) -> Any:
    """A value without lone surrogates, and without what is nested too deeply."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {_writable(key): _writable(inner, depth + 1) for key, inner in value.items()} if depth < DEEPEST else {}
    if isinstance(value, list):
        return [_writable(inner, depth + 1) for inner in value] if depth < DEEPEST else []
    return value


def spoken(fields: Mapping[str, Any]) -> Any:
    """What a row in the OpenAI form holds as its ``messages`` or ``body.messages``; None where it has none."""
    body = fields.get("body")
    return fields.get("messages", body.get("messages") if isinstance(body, Mapping) else None)


def messages(fields: Mapping[str, Any]) -> list[dict[str, str]]:
    """The messages of a row in the OpenAI form, each with role and content; empty where it has none.

    Raises InputError for messages of another shape, or without a user's.
    """
    found = spoken(fields)
    if found is None:
        return []
    if not isinstance(found, list):
        raise InputError("the messages are no list", code="bad-field")
    said = [_message(item) for item in found]
    if not any(message["role"] == "user" for message in said):
        raise InputError("no message is the user's", code="bad-field")
    return said


def _message(item: Any) -> dict[str, str]:
    """A message, whose content is text or a list of pieces of text. Raises InputError."""
    role, content = (item.get("role"), item.get("content")) if isinstance(item, Mapping) else (None, None)
    if isinstance(content, list):
        pieces = [piece.get("text") if isinstance(piece, Mapping) else None for piece in content]
        texts = [piece for piece in pieces if isinstance(piece, str)]
        content = "".join(texts) if len(texts) == len(pieces) else None
    if not isinstance(role, str) or not isinstance(content, str):
        raise InputError("a message has not the form {role, content}, both of them text", code="bad-field")
    return {"role": role, "content": content}
