"""What a result looks like: a JSON object, a line of text, a row of a table."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from llmcli.config.run_config import ENDINGS, RunOptions
from llmcli.data.formats.quoting import MARKS
from llmcli.errors import shown
from llmcli.run.records import Result
from llmcli.run.task import Task

TABLES = ("csv", "tsv")
DIGITS = 6
"""Decimals of a score: what batches of another size could change is beyond them."""


def output_format(run: RunOptions[Any], target: Path | None) -> str:
    """``text``, ``json``, ``csv`` or ``tsv``: asked for, else by the target's ending, else the input's."""
    if run.output.json:
        return "json"
    named = target.suffix.lower() if target else ""
    if named == ".json" and run.json_document:
        return "text"
    chosen = "json" if named == ".json" else ENDINGS.get(named, run.format)
    return {"jsonl": "json", "json": "json", "csv": "csv", "tsv": "tsv"}.get(chosen, "text")


def file_name(within: Path, format: str, *, suffix: str = "") -> Path:
    """What an output folder calls the file of an input file; ``suffix`` stands before its ending."""
    name = within.name.removesuffix(".gz")
    if suffix:
        bare = Path(name)
        name = f"{bare.stem}{suffix}{bare.suffix}"
    return within.with_name(f"{name}.json" if format == "json" else name)


def table(run: RunOptions[Any], task: Task[Any], format: str, *, made: bool = True) -> Table:
    """The table that a run writes; without ``made`` the rows as they came. Of rows that come as no table it has ids."""
    same = run.format == format
    delimiter = "\t" if format == "tsv" else ","
    if same:
        delimiter = run.source.delimiter or ("" if format == "csv" else delimiter)
    columns = [*(["file"] if run.several else []), *task.columns(run.options), "status", "error"] if made else []
    return Table(task.name, columns, delimiter=delimiter, whole=run.format in TABLES,
                 quotes=not (same and run.source.quoting == "none"))  # fmt: skip


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value


def obj(result: Result, *, merge: bool = False, several: bool = False) -> dict[str, Any]:
    """The JSON object of a result; an error row has ``error`` in place of the task's fields.

    With ``merge`` the input row's fields follow, those whose name is taken as ``input_NAME``, or ``input_NAME_2`` and
    so on. ``several``: the input is several files, and ``file`` says which.
    """
    file = {"file": _file(result)} if several else {}
    made = {"id": result.id, **file, **(_error(result) if result.error else _ok(result))}
    if not merge or result.record is None:
        return made
    given = {name: value for name, value in result.record.fields.items() if name not in made or made[name] != value}
    taken = {*made, *given}
    for name, value in given.items():
        made[_free(name, [f"input_{name}"], taken) if name in made else name] = value
    return made


def given(result: Result) -> Mapping[str, Any]:
    """The fields of a row as they came; of one that is bare text its id and its text."""
    record = result.record
    return (record.fields if record else None) or {"id": result.id, "text": record.text if record else ""}


def _free(name: str, others: Sequence[str], taken: set[str]) -> str:
    """The first of ``others``, or of the last of them with a number, that is not taken; it is from now on."""
    numbered = (f"{others[-1]}_{number}" for number in count(2))
    free = next(other for other in chain(others, numbered) if other not in taken)
    taken.add(free)
    return free


def _file(result: Result) -> str:
    path = result.record.path if result.record else None
    return shown(path) if path else "-"


def _ok(result: Result) -> dict[str, Any]:
    return {
        "status": "ok",
        **_rounded(result.fields),
        "model": result.model,
        "input_tokens": result.input_tokens,
        "output_tokens": result.output_tokens,
        "finish_reason": result.finish_reason,
        "chunks": result.chunks,
        "truncated": result.truncated,
    }


def _error(result: Result) -> dict[str, Any]:
    assert result.error is not None  # asked for by obj()
    line = result.record.line if result.record else None
    retryable = result.error.exit_code in (7, 8)
    error = {"code": result.error.code, "message": result.error.message, "retryable": retryable}
    return {"line": line, "status": "error", "error": error}


def dumps(value: Any) -> str:
    """One line of strict JSON that can be written as UTF-8."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text if _encodable(text) else json.dumps(value, allow_nan=False)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Table:
    """CSV or TSV rows: the input's columns as they were, then the task's, ``status`` and ``error``.

    ``whole``: the input is a table; of other rows the id stands in place of its columns. Without ``quotes`` a cell
    keeps no tab and no line break: they become blanks. ``delimiter``: what stands between two columns; empty: what
    stands there in the input.
    """

    def __init__(self, task: str, columns: Sequence[str], *, delimiter: str, whole: bool, quotes: bool) -> None:
        self._task, self._columns, self._delimiter = task, columns, delimiter
        self._whole, self._quotes = whole, quotes
        self._given: list[str] | None = None

    def row(self, result: Result) -> str:
        """The line of a result; the first one has the header before it."""
        fields = self._fields(result)
        header = ""
        if self._given is None:
            self._delimiter = self._delimiter or (result.record.delimiter if result.record else "") or ","
            taken = {*fields}
            header = self._line(
                [*fields, *(_free(name, [name, f"{self._task}_{name}"], taken) for name in self._columns)]
            )
            self._given = [*fields]
        message = f"{result.error.code}: {result.error.message}" if result.error else ""
        made = {"file": _file(result), **_rounded(result.fields), "status": result.status, "error": message}
        cells = [made.get(name, "") for name in self._columns]
        cells = [dumps(cell) if isinstance(cell, dict | list | bool) else cell for cell in cells]
        return header + self._line([*(fields.get(name, "") for name in self._given), *cells])

    def _fields(self, result: Result) -> Mapping[str, Any]:
        if not self._columns:
            return given(result)
        if not self._whole:
            return {"id": result.id}
        return result.record.fields if result.record else {}

    def _line(self, cells: Sequence[Any]) -> str:
        texts = ["" if cell is None else str(cell) for cell in cells]
        # What could be taken for the delimiter is quoted in the header, by which it is told.
        marks = MARKS if self._given is None else self._delimiter
        written = [self._quoted(text, marks) if self._quotes else self._bare(text) for text in texts]
        # A line without a character is no row.
        return (self._delimiter.join(written) or '""') + "\n"

    def _quoted(self, text: str, marks: str) -> str:
        """As :mod:`csv` does it, and a lone carriage return too, which older Pythons leave bare."""
        if not any(mark in text for mark in (self._delimiter, *marks, '"', "\n", "\r")):
            return text
        return '"' + text.replace('"', '""') + '"'

    def _bare(self, text: str) -> str:
        return re.sub(f"[\r\n{re.escape(self._delimiter)}]+", " ", text)
