"""Results out: each rendered in the output's format, into its sink; notices and errors to stderr."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from llmcli.config.run_config import ARRAY, RunOptions
from llmcli.data import rendering, sinks, targets
from llmcli.errors import one_line
from llmcli.reports import RowErrors, plain, say
from llmcli.run.records import Result
from llmcli.run.task import Routes, Task

if TYPE_CHECKING:
    from llmcli.data.array import Array
    from llmcli.data.picture import Picture


class Writer:
    """Writes each result as it comes. Use as a context manager.

    ``asked`` counts the results that the run's routes let through, ``set_aside`` those that went into a file of
    their own, ``refused`` those that make the run's answer no.
    """

    def __init__(self, run: RunOptions[Any], task: Task[Any]) -> None:
        self._run, self._task = run, task
        self._routes = task.routes(run)
        target = run.output.output
        self._out: _Output | Array | Picture
        if target is not None and target.suffix.lower() == ARRAY:
            from llmcli.data.array import Array

            self._out = Array(run, task, target)
        elif target is not None and target.suffix.lower() == ".svg" and task.draws(run.options):
            from llmcli.data.picture import Picture

            self._out = Picture(run, task, target)
        else:
            self._out = _Output(run, task, target, routes=self._routes)
        aside = self.aside = targets.aside(run, task)
        """Where rows are set aside."""
        unsure = replace(self._routes, seeks=True, texts=True)
        self._aside = _Output(run, task, aside, routes=unsure) if aside is not None else None
        self._said: set[str] = set()
        self._errors = RowErrors()
        self.asked = self.set_aside = self.refused = 0

    @property
    def seeks(self) -> bool:
        """Whether the run looks for rows."""
        return self._routes.seeks

    @property
    def streams(self) -> bool:
        """Whether pieces of a lone answer may be printed as they come."""
        return self._run.output.output is None and self._out.format == "text" and self._task.streams(self._run.options)

    def __enter__(self) -> Self:
        self._out.open()
        if self._aside:
            self._aside.open()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._errors.close()
        self._out.close(whole=kind is None)
        if self._aside:
            self._aside.close(whole=kind is None)

    def emit(self, piece: str) -> None:
        """Print a piece of a lone answer as it is made."""
        self._out.emit(piece)

    def write(self, result: Result) -> None:
        """Print one result, and its notices or its error."""
        if result.error:
            self._errors.say(result.error)
        elif self._aside and self._routes.sets_aside(result):
            self.set_aside += 1
            self._aside.write(result)
            return
        elif self._routes.drops(result):
            return
        self.asked += not result.error
        self.refused += result.error is None and self._routes.refuses(result)
        if result.error is None or self._out.shows_errors:
            self._out.write(result)
        for notice in result.notices:
            if not self._run.output.quiet and notice not in self._said:
                self._said.add(notice)
                say(f"llmcli: {one_line(notice)}")


class _Output:
    """A sink and the format of what goes into it."""

    def __init__(self, run: RunOptions[Any], task: Task[Any], target: Path | None, *, routes: Routes) -> None:
        self._run, self._task, self._texts = run, task, routes.texts
        self._rows = routes.rows and not (run.output.json or run.output.merge)
        self.sink = sinks.sink(run, target)
        self.format = rendering.output_format(run, target)
        table = self.format in rendering.TABLES
        by_line = run.format == "lines" and not routes.seeks
        self.shows_errors = by_line if self.format == "text" else not (self._rows and table)
        """Whether a row that failed has a place in it."""
        self._table = rendering.table(run, task, self.format, made=not self._rows) if table else None
        one = target is not None and target.suffix.lower() == ".json" and not run.into_folder
        self._array = one and run.batch and self.format == "json"
        self._begun = self.streamed = False
        self._said = ""
        """The piece that was put last."""

    def open(self) -> None:
        """Make ready to write."""
        self.sink.open()

    def write(self, result: Result) -> None:
        """Render a result, and put it."""
        if self.format == "json" and self._rows and result.error is None:
            content = rendering.dumps(rendering.given(result))
        elif self.format == "json":
            content = rendering.dumps(rendering.obj(result, merge=self._run.output.merge, several=self._run.several))
        elif self._table is not None:
            content = self._table.row(result)
        else:
            content = "" if self.streamed else self._text(result)
        content = self._clean(content) + self._context(result)
        if self._array:
            content = (",\n" if self._begun else "[\n") + content
        elif not (content or self._said).endswith("\n") and not self._exact(result):
            content += "\n"
        self._begun = True
        within = result.record.within if result.record else None
        suffix = self._run.output.suffix
        name = rendering.file_name(within, self.format, suffix=suffix) if within else None
        self.sink.put(content, name=name)

    def _exact(self, result: Result) -> bool:
        """Whether a document's last line has an end where the document's own has."""
        lone = self._run.into_folder or not self._run.batch
        read = result.record is not None and (result.record.path is not None or bool(self._run.document))
        return self._run.documents and self.format == "text" and lone and read and not self._task_instead()

    def _task_instead(self) -> bool:
        return any(getattr(self._run.options, option, None) for option in self._task.instead)

    def close(self, *, whole: bool) -> None:
        """Nothing more comes."""
        if whole and self._array:
            self.sink.put("\n]\n" if self._begun else "[]\n")
        self.sink.close(whole=whole)

    def _clean(self, content: str) -> str:
        """Nothing that a terminal would take for a command reaches it; a pipe gets the text as it is."""
        return plain(content) if self.sink.terminal else content

    def _context(self, result: Result) -> str:
        """What stands around an answer, dimmed or in colours, for people."""
        if result.error or not self.sink.terminal or self.format != "text":
            return ""
        if spans := self._task.painted(result):
            from llmcli.text.painted import ansi

            return f"\n{ansi(spans)}"
        context = self._task.context(result)
        return f"\n\x1b[2m{self._clean(context)}\x1b[0m" if context and not os.environ.get("NO_COLOR") else ""

    def emit(self, piece: str) -> None:
        """Put a piece of a text as it is made."""
        self.streamed, self._said = True, piece
        self.sink.put(self._clean(piece))

    def _text(self, result: Result) -> str:
        record = result.record
        if result.error is not None:
            return ""
        content = record.text if self._texts and record else self._task.text(result, self._run.options)
        if self._run.format == "lines":
            return re.sub(r"\s*[\r\n]\s*", " ", content.strip("\r\n"))
        if not (self._run.format == "text" and self._run.batch) or self._run.into_folder:
            return content
        where = record.where if record else str(result.id)
        return f"{where}\t{content}" if self._task.one_line else f"==> {where} <==\n{content}"
