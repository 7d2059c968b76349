"""From the command line's sources to records: arguments, standard input, files and folders, in every format."""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmcli.config.run_config import RunOptions
from llmcli.data import stdin
from llmcli.data.formats import DELIMITED, Format, reader
from llmcli.data.inputs import STDIN, InputFile, unreadable
from llmcli.data.lines import Bytes, LineReader
from llmcli.errors import InputError, UsageError, shown
from llmcli.run import records
from llmcli.run.records import Record, bad, check

COUNTED = 1 << 30
"""The most bytes that are read beforehand, to count rows."""


def read(run: RunOptions[Any], files: Sequence[InputFile]) -> Iterator[Record]:
    """Read what the command line names; ``files`` are its files, as :func:`llmcli.data.inputs.listed` gives them.

    Raises UsageError where there is nothing to read, or files do not fit together, InputError where a named file
    cannot be read. What cannot be read of a folder is an error record.
    """
    source = run.source
    text = None if source.text == "-" else source.text
    if text is not None and not run.output.quiet:
        stdin.suspect(text)
    if files and text is not None and not run.combine:
        raise UsageError("both TEXT and --input were given", hint="give one of them; each file has its own -i")
    piped = not files and run.combine and text is not None and stdin.piped() and not stdin.left(quiet=run.output.quiet)
    if not files and text is not None and not piped:
        yield from _literal(text, by_line=run.format == "lines")
    else:
        yield from _Reading(run, prompt=text).records(files or [InputFile(STDIN, Path("stdin"), named=True)])


def count(run: RunOptions[Any], files: Sequence[InputFile]) -> int | None:
    """How many records the input holds, where that is known before it is read: of files, not of pipes.

    None for a table with quotes too: a cell may hold line breaks.
    """
    paths = [file.path for file in files if file.error is None]
    if not paths or not all(path.is_file() for path in paths) or run.format == "json":
        return None
    if run.format == "text":
        return len(files)
    if sum(path.stat().st_size for path in paths) > COUNTED:
        return None
    rows, tables = 0, run.format in DELIMITED
    for path in paths:
        found = _line_ends(path, refuse=b'"' if tables else b"")
        if found is None:
            return None
        rows += found - (tables and not run.source.columns)
    return max(rows, 1)


def _line_ends(path: Path, *, refuse: bytes) -> int | None:
    """How many lines a file has; None where it holds ``refuse``, is compressed, or cannot be read."""
    lines, last = 0, b"\n"
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                if (refuse and refuse in block) or (not lines and block.startswith(b"\x1f\x8b")):
                    return None
                lines += block.count(b"\n")
                last = block[-1:]
    except OSError:
        return None
    return lines + (last != b"\n")


def _literal(text: str, *, by_line: bool) -> Iterator[Record]:
    rows = text.split("\n") if by_line else [text]
    for number, row in enumerate(rows, 1):
        argument = "" if by_line else row
        yield check(Record(id=number, text=row, line=number, where=f"argument:{number}", argument=argument))


class _Reading:
    """Reads files one after the other; ``prompt`` follows each text."""

    def __init__(self, run: RunOptions[Any], *, prompt: str | None) -> None:
        self._prompt, self._most = prompt, run.source.max_chars
        self._format: Format | None = reader(run) if run.format != "text" else None

    def records(self, files: Sequence[InputFile]) -> Iterator[Record]:
        """The records of all files."""
        if len(files) > 1:
            self._prepare(files)
        for file in files:
            try:
                if file.error is not None:
                    raise file.error
                yield from self._stdin(file) if file.path == STDIN else self._file(file)
            except InputError as error:
                if file.named:
                    raise
                columns = self._format.columns if self._format else []
                yield bad(Record(id=file.id, text="", where=shown(file.path), path=file.path, within=file.within,
                                 fields=dict.fromkeys(columns, "")), error)  # fmt: skip

    def _prepare(self, files: Sequence[InputFile]) -> None:
        """See whether files fit together, before any row is worked on; pipes could be read only once."""
        for file in files:
            if self._format is None or file.error is not None or not file.path.is_file():
                continue
            try:
                with file.path.open("rb", buffering=0) as stream:
                    self._format.prepare(LineReader(stream.fileno()), name=shown(file.path))
            except OSError as error:
                if file.named:
                    raise unreadable(file.path, error) from error
            except InputError:
                if file.named:
                    raise

    def _stdin(self, file: InputFile) -> Iterator[Record]:
        if sys.stdin is None:
            raise InputError("standard input is closed", code="no-input")
        if sys.stdin.isatty():
            raise UsageError("no text given", code="no-input", hint="give TEXT, -i FILE, or pipe text in; see --help")
        yield from self._read(sys.stdin.fileno(), Record(id=1, text="", where="stdin", within=file.within))

    def _file(self, file: InputFile) -> Iterator[Record]:
        empty = Record(id=file.id, text="", where=shown(file.path), path=file.path, within=file.within)
        try:
            with file.path.open("rb", buffering=0) as stream:
                yield from self._read(stream.fileno(), empty)
        except OSError as error:
            raise unreadable(file.path, error) from error

    def _read(self, descriptor: int, empty: Record) -> Iterator[Record]:
        if self._format is None:
            yield self._whole(Bytes(descriptor), empty)
        else:
            yield from self._rows(self._format, LineReader(descriptor), empty)

    def _rows(self, format: Format, lines: LineReader, empty: Record) -> Iterator[Record]:
        try:
            for record in format.rows(lines, name=empty.where):
                placed = replace(record, path=empty.path, last=lines.waiting())
                yield placed if record.error else self._checked(placed, record.text)
        except InputError as error:
            error.where = error.where or empty.where
            raise

    def _whole(self, content: Bytes, empty: Record) -> Record:
        try:
            raw = content.whole()
            marked = raw.startswith(codecs.BOM_UTF8)
            whole = records.decode(raw.removeprefix(codecs.BOM_UTF8))
        except InputError as error:
            return bad(empty, error)
        text = whole.replace("\r\n", "\n")
        shifts = (*([0] if marked else []), *(_returns(whole) if len(text) < len(whole) else ()))
        return self._checked(empty, text, shifts=shifts)

    def _checked(self, empty: Record, text: str, **facts: Any) -> Record:
        """The record of a text, if it can be used."""
        if len(text) > self._most:
            error = InputError(f"the text has {len(text):,} characters, and --max-chars allows {self._most:,}",
                               code="too-long", hint="split it, or allow more")  # fmt: skip
            return bad(empty, error)
        return check(replace(empty, text=_join(text, self._prompt), argument=self._prompt or "", **facts))


def _returns(text: str) -> Iterator[int]:
    """Where line breaks stand once the carriage returns before them are gone."""
    return (match.start() - count for count, match in enumerate(re.finditer("\r\n", text)))


def _join(text: str, prompt: str | None) -> str:
    if prompt is None:
        return text
    return f"{text.rstrip()}\n\n{prompt}" if text.strip() else prompt
