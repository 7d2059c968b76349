"""Records in, results out: the readers and the row types.

A reader never raises for one bad row: the row becomes a :class:`Record` that holds its error, in its place.
"""

from __future__ import annotations

import codecs
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from llmcli.errors import InputError, LlmcliError, UsageError
from llmcli.options import Request

LINE_CAP = 4 * 1024 * 1024
"""The most bytes of a line; a longer one is an error row, and is never held in memory."""


@dataclass(frozen=True)
class Record:
    """One text to work on. ``where`` names its place for messages; ``error`` says why it cannot be used."""

    id: str | int
    text: str
    line: int | None = None
    where: str = ""
    path: Path | None = None
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

    @property
    def status(self) -> str:
        """``ok`` or ``error``."""
        return "error" if self.error else "ok"


def read(request: Request) -> Iterator[Record]:
    """Read what the command line names.

    Raises UsageError where there is nothing to read, InputError where a named file cannot be read.
    """
    source = request.source
    by_line = source.lines or source.format == "lines"
    text = None if source.text == "-" else source.text
    if source.input and text is not None and not request.combine:
        raise UsageError("both TEXT and --input were given", hint="give one of them")
    if source.input:
        yield from _files(source.input, by_line=by_line, prompt=text)
    elif text is not None and not (request.combine and _piped()):
        yield from _literal(text, by_line=by_line)
    else:
        yield from _stdin(by_line=by_line, prompt=text)


def _literal(text: str, *, by_line: bool) -> Iterator[Record]:
    rows = text.split("\n") if by_line else [text]
    for number, row in enumerate(rows, 1):
        yield check(Record(id=number, text=row, line=number, where=f"argument:{number}"))


def _piped() -> bool:
    """Whether standard input holds something to read: a pipe or a file, not a terminal."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def _stdin(*, by_line: bool, prompt: str | None) -> Iterator[Record]:
    if sys.stdin is None:
        raise InputError("standard input is closed", code="no-input")
    if sys.stdin.isatty():
        raise UsageError("no text given", code="no-input", hint="give TEXT, -i FILE, or pipe text in; see --help")
    stream = sys.stdin.buffer
    if by_line:
        yield from read_lines(stream, name="stdin", prompt=prompt)
    else:
        yield _whole(stream.read(), name="stdin", id=1, prompt=prompt)


def _files(paths: Sequence[Path], *, by_line: bool, prompt: str | None) -> Iterator[Record]:
    for path in paths:
        if str(path) == "-":
            yield from _stdin(by_line=by_line, prompt=prompt)
            continue
        for file in _expand(path):
            name = str(file.relative_to(path)) if path.is_dir() else str(file)
            try:
                with file.open("rb") as stream:
                    if by_line:
                        yield from read_lines(stream, name=str(file), prompt=prompt, path=file)
                    else:
                        yield _whole(stream.read(), name=str(file), id=name, prompt=prompt, path=file)
            except OSError as error:
                raise unreadable(file, error) from error


def _expand(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not files:
        raise InputError(f"{path}: the folder has no files", code="no-input")
    return files


def unreadable(path: Path, error: OSError) -> InputError:
    """The one line for a file that the system will not give."""
    return InputError(f"{path}: {error.strerror or error}", code="unreadable")


def read_lines(stream: BinaryIO, *, name: str, prompt: str | None = None, path: Path | None = None) -> Iterator[Record]:
    r"""One record a line; lines end at ``\n`` alone (a ``\r`` before it is dropped), so U+2028 stays text."""
    number = 0
    while raw := stream.readline(LINE_CAP + 1):
        number += 1
        where = f"{name}:{number}"
        empty = Record(id=number, text="", line=number, where=where, path=path)
        if len(raw) > LINE_CAP and not raw.endswith(b"\n"):
            _skip_line(stream)
            yield _bad(empty, InputError(f"line longer than {LINE_CAP} bytes", code="line-too-long"))
            continue
        if number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        try:
            text = decode(raw.removesuffix(b"\n").removesuffix(b"\r"))
        except InputError as error:
            yield _bad(empty, error)
            continue
        yield check(replace(empty, text=_join(text, prompt)))


def _skip_line(stream: BinaryIO) -> None:
    while (rest := stream.readline(1 << 20)) and not rest.endswith(b"\n"):
        pass


def _whole(raw: bytes, *, name: str, id: str | int, prompt: str | None, path: Path | None = None) -> Record:
    empty = Record(id=id, text="", where=name, path=path)
    try:
        text = decode(raw.removeprefix(codecs.BOM_UTF8)).replace("\r\n", "\n")
    except InputError as error:
        return _bad(empty, error)
    return check(replace(empty, text=_join(text, prompt)))


def _join(text: str, prompt: str | None) -> str:
    if prompt is None:
        return text
    return f"{text.rstrip()}\n\n{prompt}" if text.strip() else prompt


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
    """Mark a record whose text no model can use: empty, or with a lone surrogate."""
    if record.error:
        return record
    if not record.text.strip():
        return _bad(record, InputError("the text is empty", code="empty"))
    if any("\ud800" <= c <= "\udfff" for c in record.text):
        return _bad(record, InputError("not UTF-8: a lone surrogate", code="bad-utf8"))
    if "\0" in record.text:
        return _bad(record, InputError("a NUL character in the text", code="nul"))
    return record


def _bad(record: Record, error: LlmcliError) -> Record:
    error.where = record.where
    return replace(record, text="", error=error)
