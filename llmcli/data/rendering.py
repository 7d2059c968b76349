"""What a result looks like: a JSON object, a line of text, a row of a table."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmcli.config.run_config import ENDINGS, RunOptions
from llmcli.run.records import Result
from llmcli.run.task import Task

TABLES = ("csv", "tsv")
DIGITS = 6
"""Decimals of a score: what batches of another size could change is beyond them."""


def output_format(run: RunOptions[Any], target: Path | None) -> str:
    """``text``, ``json``, ``csv`` or ``tsv``: asked for, else the input's, else by the target's ending."""
    if run.output.json:
        return "json"
    ending = ENDINGS.get(target.suffix.lower(), "") if target else ""
    chosen = run.format if run.format in ("jsonl", *TABLES) else ending
    return {"jsonl": "json", "": "text"}.get(chosen, chosen)


def table(run: RunOptions[Any], task: Task[Any], format: str) -> Table:
    """The table that a run writes."""
    delimiter = run.source.delimiter or ("\t" if format == "tsv" else ",")
    return Table(task.name, task.columns(run.options), delimiter=delimiter)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value


def obj(result: Result, *, merge: bool = False) -> dict[str, Any]:
    """The JSON object of a result; an error row has ``error`` in place of the task's fields.

    With ``merge`` the input row's fields follow, those whose name is taken as ``input_NAME``.
    """
    found = _error(result) if result.error else _ok(result)
    if not merge or result.record is None:
        return found
    own = {name: value for name, value in result.record.fields.items() if found.get(name) != value or name not in found}
    return found | {f"input_{name}" if name in found else name: value for name, value in own.items()}


def _ok(result: Result) -> dict[str, Any]:
    return {
        "id": result.id,
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
    return {"id": result.id, "line": line, "status": "error", "error": error}


def dumps(value: Any) -> str:
    """One line of strict JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


class Table:
    """CSV or TSV rows: the input's columns as they were, then the task's, ``status`` and ``error``."""

    def __init__(self, task: str, columns: Sequence[str], *, delimiter: str) -> None:
        self._task, self._columns, self._delimiter = task, [*columns, "status", "error"], delimiter
        self.names: dict[str, str] = {}

    def row(self, result: Result) -> str:
        """The line of a result; the first one has the header before it."""
        kept = dict(result.record.fields) if result.record else {}
        first = not self.names
        if first:
            self.names = {name: f"{self._task}_{name}" if name in kept else name for name in self._columns}
        message = f"{result.error.code}: {result.error.message}" if result.error else ""
        own: Mapping[str, Any] = {**_rounded(result.fields), "status": result.status, "error": message}
        header = [self._line([*kept, *self.names.values()])] if first else []
        cells = [own.get(name, "") for name in self._columns]
        cells = [dumps(cell) if isinstance(cell, dict | list | bool) else cell for cell in cells]
        return "".join([*header, self._line([*kept.values(), *cells])])

    def _line(self, cells: Sequence[Any]) -> str:
        import csv

        out = io.StringIO()
        csv.writer(out, delimiter=self._delimiter, lineterminator="\n").writerow(cells)
        return out.getvalue()
