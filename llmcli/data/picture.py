"""``-o NAME.svg`` with --explain: the rows' texts, coloured, as one picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from llmcli.config.run_config import RunOptions, plain, real
from llmcli.data.sinks import File
from llmcli.errors import UsageError, shown
from llmcli.run.records import Result
from llmcli.run.task import Task
from llmcli.text import svg
from llmcli.text.painted import Span

HEAD = 100
"""Places of a row's answer."""
MOST = 200
"""Rows of a picture; those behind them are left out, and it says so."""


class Picture:
    """A file that is whole when it has its name. Raises UsageError for a target that it cannot be, OutputError."""

    format = "svg"
    shows_errors = False

    def __init__(self, run: RunOptions[Any], task: Task[Any], target: Path) -> None:
        if not plain(target):
            raise UsageError(f"{shown(target)}: a picture needs a file", hint="give -o NAME.svg")
        if run.output.json or run.output.merge:
            raise UsageError(f"{shown(target)}: --json and --merge give no picture", hint="give -o NAME.jsonl")
        self._task, self._options = task, run.options
        self._sink = File(real(target))
        self._parts: list[str] = []
        self._y, self._wide, self._rows = float(svg.MARGIN), 0.0, 0

    def open(self) -> None:
        """Make ready to write."""
        self._sink.open()

    def write(self, result: Result) -> None:
        """Add a row: what was answered, and the text below it."""
        self._rows += 1
        if self._rows > MOST:
            return
        why = {field.name for field in self._task.fields if field.option == "explain"}
        fields = {name: value for name, value in result.fields.items() if name not in why}
        answer = self._task.text(replace(result, fields=fields), self._options)
        head = svg.short(" ".join(answer.split("\t")[:2]), cells=HEAD)
        self._parts.append(svg.text(svg.MARGIN, self._y + 14, head, "t"))
        words = [Span(span.text.strip() or "␣", span.fill) for span in self._task.painted(result) if span.text.strip()]
        drawn, wide, end = svg.strip(words, (), top=self._y + svg.LINE)
        self._parts += drawn
        self._y, self._wide = end + 8, max(self._wide, wide, svg.length(head))

    def emit(self, piece: str) -> None:
        """Nothing: a picture has no pieces."""

    def close(self, *, whole: bool) -> None:
        """Nothing more comes."""
        if whole:
            legend = "green: the score falls without it; red: it rises (occlusion)"
            if self._rows > MOST:
                legend += f"; {self._rows - MOST} more rows are not shown"
            self._parts.append(svg.text(svg.MARGIN, self._y + 10, legend, "s"))
            wide = max(self._wide, svg.length(legend) * 0.85) + 2 * svg.MARGIN
            self._sink.put(svg.card(self._parts, width=wide, height=self._y + 10 + svg.MARGIN))
        self._sink.close(whole=whole)
