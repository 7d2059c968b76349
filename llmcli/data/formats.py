"""The row formats: lines, JSONL, CSV and TSV. A broken row is an error record in its place."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from llmcli.config.run_config import RunOptions
from llmcli.data.lines import LINE_CAP, LineReader
from llmcli.errors import InputError
from llmcli.run.records import Record, bad, decode
from llmcli.run.seen import Seen

DELIMITED = ("csv", "tsv")
CAPPED = f"line longer than {LINE_CAP} bytes"


def rows(lines: LineReader, run: RunOptions[Any], *, name: str) -> Iterator[Record]:
    """The records of a stream, in order, one a row."""
    reader = {"lines": _lines, "jsonl": _jsonl}.get(run.format, _delimited)
    yield from reader(lines, run, name)


def _lines(lines: LineReader, run: RunOptions[Any], name: str) -> Iterator[Record]:
    for empty, raw in _numbered(lines, name):
        yield _decoded(empty, raw, lambda empty, text: replace(empty, text=text))


def _jsonl(lines: LineReader, run: RunOptions[Any], name: str) -> Iterator[Record]:
    pick = _Pick(run)
    for empty, raw in _numbered(lines, name):
        if raw is None or raw.strip():
            yield _decoded(empty, raw, lambda empty, text: pick(empty, parse_json(text)))


def _numbered(lines: LineReader, name: str) -> Iterator[tuple[Record, bytes | None]]:
    """An empty record for each line, and its bytes: without line end and byte order mark; None: too long."""
    number = 0
    while True:
        raw, capped = lines.readline()
        if not raw:
            return
        number += 1
        empty = Record(id=number, text="", line=number, where=f"{name}:{number}")
        if number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        yield empty, None if capped else raw.removesuffix(b"\n").removesuffix(b"\r")


def _decoded(empty: Record, raw: bytes | None, build: Callable[[Record, str], Record]) -> Record:
    if raw is None:
        return bad(empty, InputError(CAPPED, code="line-too-long"))
    try:
        return build(empty, decode(raw))
    except InputError as error:
        return bad(empty, error)


def parse_json(text: str) -> dict[str, Any]:
    """A JSON object, strictly: no NaN, no repeated keys, no bottomless nesting. Raises InputError."""
    try:
        value = json.loads(text, parse_constant=_refuse, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        message = error.msg[0].lower() + error.msg[1:]
        raise InputError(f"{message} at column {error.colno}; row skipped", code="bad-json") from error
    except RecursionError as error:
        raise InputError("nested too deeply; row skipped", code="bad-json") from error
    except ValueError as error:  # a number of thousands of digits
        raise InputError(f"{str(error)[:80]}; row skipped", code="bad-json") from error
    if not isinstance(value, dict):
        raise InputError("the row is not an object; row skipped", code="bad-json")
    return value


def _refuse(constant: str) -> None:
    raise InputError(f"{constant} is not JSON; row skipped", code="bad-json")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InputError("a key is given twice; row skipped", code="bad-json")
    return found


class _Pick:
    """From a row's fields to its record: text and id, each checked."""

    def __init__(self, run: RunOptions[Any]) -> None:
        self._text = run.source.text_field
        self._id = run.source.id_field
        self._seen = Seen()

    def __call__(self, empty: Record, fields: dict[str, Any]) -> Record:
        record = replace(empty, fields=fields)
        name = self._id or next((name for name in ("id", "custom_id") if name in fields), None)
        if name is not None and fields.get(name) not in (None, ""):
            own = fields[name]
            if isinstance(own, bool) or not isinstance(own, str | int):
                return bad(record, InputError(f"the id in {name!r} is neither text nor a whole number", code="bad-id"))
            record = replace(record, id=own, named=True)
            if self._seen.count(f"{type(own).__name__}:{own}") > 1:
                return bad(record, InputError(f"the id in {name!r} was seen before; row skipped", code="duplicate-id"))
        elif self._id:
            return bad(record, InputError(f"the field {self._id!r} is missing", code="missing-field"))
        if self._text not in fields:
            error = InputError(f"the field {self._text!r} is missing", code="missing-field", hint="see --field")
            return bad(record, error)
        text = fields[self._text]
        if not isinstance(text, str):
            return bad(record, InputError(f"the field {self._text!r} is not text", code="bad-field"))
        return replace(record, text=text)


@dataclass
class _Table:
    """The header of a CSV file, and how its rows are written."""

    delimiter: str
    columns: list[str]

    def parse(self, text: str) -> list[str]:
        """The values of one row. Raises csv.Error."""
        csv.field_size_limit(LINE_CAP)
        found = next(csv.reader([text], delimiter=self.delimiter, strict=True), [])
        if self.columns and len(found) != len(self.columns):
            raise csv.Error(f"{len(found)} columns, and the header has {len(self.columns)}")
        return found


def _delimited(lines: LineReader, run: RunOptions[Any], name: str) -> Iterator[Record]:
    table, number = _header(lines, run, name)
    pick = _Pick(run)
    while True:
        raw, capped = lines.readline()
        if not raw:
            return
        number += 1
        empty = Record(id=number - 1, text="", line=number, where=f"{name}:{number}",
                       fields=dict.fromkeys(table.columns, ""))  # fmt: skip
        if capped:
            yield bad(empty, InputError(CAPPED, code="line-too-long"))
            continue
        if not raw.strip():
            continue
        physical = _quoted(lines, raw)
        record = _row(table, physical, empty, pick)
        if record.error and record.error.code == "bad-csv" and len(physical) > 1:
            # A stray quote opened a field that was none: the line stands alone, the others are read again.
            lines.give_back([(line, False) for line in physical[1:]])
            physical = physical[:1]
            record = _row(table, physical, empty, pick)
        number += len(physical) - 1
        yield record


def _header(lines: LineReader, run: RunOptions[Any], name: str) -> tuple[_Table, int]:
    raw, _ = lines.readline()
    physical = _quoted(lines, raw)
    text = decode(b"".join(physical).removeprefix(codecs.BOM_UTF8))
    delimiter = run.source.delimiter or ("\t" if run.format == "tsv" else _sniff(text))
    table = _Table(delimiter, [])
    try:
        table.columns = table.parse(text.rstrip("\r\n")) if text.strip() else []
    except csv.Error as error:
        raise InputError(f"{name}: the header cannot be read: {error}", code="bad-csv") from error
    wanted = run.source.text_field
    if table.columns and wanted not in table.columns:
        known = ", ".join(table.columns)
        raise InputError(f"{name}: no column {wanted!r}", code="missing-field", hint=f"give --field; it has {known}")
    if len(set(table.columns)) < len(table.columns):
        raise InputError(f"{name}: two columns have one name", code="bad-csv")
    return table, len(physical)


def _sniff(header: str) -> str:
    return max(",;\t|", key=header.count) if any(mark in header for mark in ";\t|") else ","


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


def _row(table: _Table, physical: list[bytes], empty: Record, pick: _Pick) -> Record:
    raw = b"".join(physical)
    try:
        values = table.parse(raw.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r"))
    except csv.Error as error:
        return bad(empty, InputError(f"{error}; row skipped", code="bad-csv"))
    record = replace(empty, fields=dict(zip(table.columns, values, strict=True)))
    try:
        decode(raw)
    except InputError as error:
        clean = {name: value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
                 for name, value in record.fields.items()}  # fmt: skip
        return bad(replace(record, fields=clean), error)
    return pick(record, dict(record.fields))
