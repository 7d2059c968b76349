"""CSV and TSV: a row has a cell for each column, and the first row names the columns."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llmcli.config.run_config import RunOptions
from llmcli.data.formats import quoting
from llmcli.data.formats.fields import Pick
from llmcli.data.formats.plain import CAPPED
from llmcli.data.lines import LINE_CAP, LineReader
from llmcli.errors import InputError, UsageError
from llmcli.run.records import Record, bad, decode

_SEPARATOR = re.compile(rb'"?sep=(.)"?\r?\n?')
"""The line with which spreadsheets say what stands between columns."""


@dataclass
class _Table:
    """How the rows of a file are written. ``quoted`` is None until it is seen what quotes mean.

    ``spaced``: blanks follow what stands between columns.
    """

    delimiter: str
    quoted: bool | None
    columns: list[str]
    line: int = 0
    spaced: bool = False

    def parse(self, text: str, *, strict: bool = True) -> list[str]:
        """The cells of one row. Raises csv.Error."""
        if self.quoted is False:
            cells = text.split(self.delimiter)
            return [cell.lstrip(" ") for cell in cells] if self.spaced else cells
        csv.field_size_limit(LINE_CAP)
        made = csv.reader([text], delimiter=self.delimiter, strict=strict, skipinitialspace=self.spaced)
        return next(made, [])

    def row(self, text: str) -> dict[str, str]:
        """The cells of one row, by column. Raises csv.Error."""
        cells = self.parse(text)
        if len(cells) != len(self.columns):
            raise csv.Error(f"{len(cells)} columns, and the header has {len(self.columns)}")
        return dict(zip(self.columns, cells, strict=True))

    def guess(self, text: str) -> dict[str, str]:
        """As much as can be told of the cells of a broken row."""
        cells = text.split(self.delimiter)
        if len(cells) != len(self.columns):
            try:
                cells = self.parse(text, strict=False)
            except csv.Error:
                cells = text.split(self.delimiter)
        last = len(self.columns) - 1
        cells = [*cells[:last], self.delimiter.join(cells[last:])]
        return dict.fromkeys(self.columns, "") | dict(zip(self.columns, cells, strict=False))


class Delimited:
    """See Format. Files fit together where they have the same columns, in whatever order."""

    def __init__(self, run: RunOptions[Any]) -> None:
        self.columns: list[str] = []
        self._run, self._source = run, run.source
        self._pick = Pick(run)
        self._first = ""

    def prepare(self, lines: LineReader, *, name: str) -> None:
        """See Format."""
        self._opened(lines, name)

    def rows(self, lines: LineReader, *, name: str) -> Iterator[Record]:
        """See Format; blank lines are no rows. A row without an id of its own has its line below the header."""
        table = self._opened(lines, name)
        number = table.line
        while True:
            raw, capped = lines.readline()
            if not raw:
                return
            number += 1
            empty = Record(id=number - table.line, text="", line=number, where=f"{name}:{number}",
                           fields=dict.fromkeys(self.columns, ""), delimiter=table.delimiter)  # fmt: skip
            if capped:
                yield bad(empty, InputError(CAPPED, code="line-too-long"))
            elif raw.strip(b" \r\n"):
                record, taken = self._row(table, lines, raw, empty)
                number += taken - 1
                yield record

    def _row(self, table: _Table, lines: LineReader, raw: bytes, empty: Record) -> tuple[Record, int]:
        """The record that begins with a line, and of how many lines it is."""
        if table.quoted is None and b'"' in raw:
            ahead, whole = lines.ahead()
            table.quoted = not quoting.literal(raw + ahead, whole=whole, delimiter=table.delimiter,
                                               columns=len(table.columns))  # fmt: skip
        physical = [raw] if table.quoted is False else _quoted(lines, raw)
        record = self._read(table, physical, empty)
        if record.error and record.error.code == "bad-csv" and len(physical) > 1:
            # A stray quote opened a field that was none: the line stands alone, the others are read again.
            lines.give_back([(line, False) for line in physical[1:]])
            physical = physical[:1]
            record = self._read(table, physical, empty)
        return record, len(physical)

    def _read(self, table: _Table, physical: list[bytes], empty: Record) -> Record:
        raw = b"".join(physical).removesuffix(b"\n").removesuffix(b"\r")
        text = raw.decode("utf-8", "surrogateescape")
        try:
            fields = table.row(text)
        except csv.Error as error:
            broken = InputError(f"{error}; row skipped", code="bad-csv")
            return bad(self._pick.identified(empty, self._ordered(table.guess(text))), broken)
        fields = self._ordered(fields)
        try:
            decode(raw)
        except InputError as error:
            return bad(self._pick.identified(empty, fields), error)
        return self._pick(empty, fields)

    def _ordered(self, fields: dict[str, str]) -> dict[str, str]:
        return {column: fields[column] for column in self.columns}

    def _opened(self, lines: LineReader, name: str) -> _Table:
        """The table of a file, whose columns are those of the files before it."""
        try:
            table = self._header(lines)
        except InputError as error:
            error.where = error.where or name
            raise
        if not self.columns:
            self.columns, self._first = table.columns, name
        elif table.columns and (apart := {*table.columns} ^ {*self.columns}):
            named = ", ".join(repr(column) for column in sorted(apart))
            raise UsageError(f"{self._first} and {name} have not the same columns: {named} in one of them alone",
                             hint="give each its own run")  # fmt: skip
        return table

    def _header(self, lines: LineReader) -> _Table:
        raw, taken = _first(lines)
        mark = self._source.delimiter
        if said := _SEPARATOR.fullmatch(raw):
            mark = mark or said[1].decode("latin-1")
            raw, more = _first(lines)
            taken += more
        text = decode(raw)
        mark = mark or ("\t" if self._run.format == "tsv" else quoting.delimiter(text))
        table = _Table(mark, self._quoting(mark), [])
        if self._source.columns:
            lines.give_back([(raw, False)] if raw else [])
            table.line, table.columns = taken - 1, [column.strip() for column in self._source.columns.split(",")]
        elif text.strip():
            table.line = taken - 1 + self._named(table, raw, lines)
        self._check(table)
        return table

    def _quoting(self, mark: str) -> bool | None:
        if self._source.quoting == "auto":
            return None if mark == "\t" else True
        return self._source.quoting == "double"

    def _named(self, table: _Table, raw: bytes, lines: LineReader) -> int:
        """Read the names of the columns; of how many lines they are. Raises InputError."""
        # A writer that quotes all text quotes the names too.
        cells = raw.decode("latin-1").split(table.delimiter)
        quoted = table.quoted is True or (table.quoted is None and any(cell.startswith('"') for cell in cells))
        physical = _quoted(lines, raw) if quoted else [raw]
        text = decode(b"".join(physical)).rstrip("\r\n")
        try:
            names = table.parse(text)
            if table.delimiter != "\t" and any(name.startswith(" ") for name in names):
                table.spaced = True
                names = [name.strip(" ") for name in table.parse(text)]
        except csv.Error as error:
            if table.quoted is True:
                raise InputError(f"the header cannot be read: {error}", code="bad-csv") from error
            quoted, physical, names = False, [raw], text.split(table.delimiter)
            table.quoted = False
        table.columns = names
        table.quoted = True if quoted else table.quoted
        return len(physical)

    def _check(self, table: _Table) -> None:
        wanted, columns = self._source.text_field, table.columns
        if self._source.template is not None:
            wanted = columns[0]  # a row tells what it lacks
        if columns and wanted not in columns:
            known = ", ".join(columns)
            raise InputError(f"no column {wanted!r}", code="missing-field",
                             hint=f"give --field, or --columns where there is no header; it has {known}")  # fmt: skip
        if len(set(columns)) < len(columns):
            raise InputError("two columns have one name", code="bad-csv")


def _first(lines: LineReader) -> tuple[bytes, int]:
    """The next line that is not blank, without a byte order mark, and how many it took. Raises InputError."""
    taken = 0
    while True:
        raw, capped = lines.readline()
        taken += 1
        raw = raw.removeprefix(codecs.BOM_UTF8)
        if capped:
            raise InputError(CAPPED, code="line-too-long")
        if not raw or raw.strip():
            return raw, taken


def _quoted(lines: LineReader, raw: bytes) -> list[bytes]:
    """A row's physical lines: a line break inside quotes does not end it."""
    physical, size, quotes = [raw], len(raw), raw.count(b'"')
    while quotes % 2:
        more, capped = lines.readline()
        if not more or capped or size + len(more) > LINE_CAP:
            rest = [(line, False) for line in physical[1:]]
            lines.give_back([*rest, (more, capped)] if more else rest)
            return physical[:1]
        physical.append(more)
        size += len(more)
        quotes += more.count(b'"')
    return physical
