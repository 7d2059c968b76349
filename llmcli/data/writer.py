"""Results out: to stdout, a file or a folder; notices and errors to stderr."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

from llmcli import tasks
from llmcli.data import rendering
from llmcli.errors import OutputError, one_line
from llmcli.reports import say
from llmcli.run.records import Result
from llmcli.run.request import ENDINGS, Request

if TYPE_CHECKING:
    from llmcli.data import grep

_ESCAPES = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])|[\x00-\x08\x0b-\x1f\x7f-\x9f]"


def output_format(request: Request) -> str:
    """``text``, ``json``, ``csv`` or ``tsv``: asked for, else the input's, else by the output's ending."""
    if request.output.json:
        return "json"
    ending = ENDINGS.get(request.output.output.suffix.lower(), "") if request.output.output else ""
    found = request.format if request.format in ("jsonl", "csv", "tsv") else ending
    return {"jsonl": "json"}.get(found, found or "text")


class Writer:
    """Writes each result as it comes. Use as a context manager; a file appears under its name when complete."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._format = output_format(request)
        self._table = self._new_table()
        self.target = request.output.output
        self._folder = request.into_folder
        self._partial: Path | None = None
        self._stream: TextIO | None = None
        self._streamed = False
        self._named = request.format == "text" and request.batch
        self._said: set[str] = set()
        own = request.flags.get("options", {})
        self.sought = self._pattern(own)
        self.found = 0
        """How many results --grep let through."""
        self.unsure = _Unsure(request, Path(own["unsure"]), below=own["abstain"]) if "abstain" in own else None
        self._inputs = self.sought is not None
        """Whether the rows of the input are printed, rather than what was found of them."""

    @staticmethod
    def _pattern(own: Mapping[str, Any]) -> grep.Pattern | None:
        if "grep" not in own:
            return None
        from llmcli.data import grep

        return grep.parse(own["grep"])

    def _new_table(self) -> rendering.Table | None:
        if self._format not in ("csv", "tsv"):
            return None
        delimiter = self._request.source.delimiter or ("\t" if self._format == "tsv" else ",")
        return rendering.Table(self._request.task, tasks.columns(self._request.task, self._request.flags),
                          delimiter=delimiter)  # fmt: skip

    def __enter__(self) -> Self:
        with _reported(self.target):
            if self._folder and self.target is not None:
                self.target.mkdir(parents=True, exist_ok=True)
            elif self.target is not None:
                self._partial = self.target.with_name(self.target.name + ".partial")
                self._stream = self._partial.open("w", encoding="utf-8", newline="\n")
            elif sys.stdout is None:
                raise OutputError("standard output is closed", code="closed")
            else:
                self._stream = sys.stdout
        if self.unsure:
            self.unsure.__enter__()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self.unsure:
            self.unsure.__exit__(kind)
        if self._partial is not None and self._stream is not None and self.target is not None:
            with _reported(self.target):
                if kind is None:
                    self._stream.flush()
                    os.fsync(self._stream.fileno())
                self._stream.close()
                if kind is None:
                    self._partial.replace(self.target)

    def emit(self, piece: str) -> None:
        """Print a piece of a lone answer as it is made."""
        self._streamed = True
        self._put(self._clean(piece))

    @property
    def streams(self) -> bool:
        """Whether pieces may be printed as they come."""
        own = self._request.flags.get("options", {})
        return self.target is None and self._format == "text" and own.get("num_return_sequences", 1) == 1

    def write(self, result: Result) -> None:
        """Print one result, and its notices or its error."""
        if self.unsure and self.unsure.takes(result):
            self.unsure.write(result)
            return
        if result.error:
            say(result.error.line())
        if self.sought is not None and not result.error and not self.sought.matches(result):
            return
        self.found += not result.error
        if result.error is None or self._format != "text":
            self._write_row(result)
        for notice in result.notices:
            if not self._request.output.quiet and notice not in self._said:
                self._said.add(notice)
                say(f"llmcli: {one_line(notice)}")

    def _write_row(self, result: Result) -> None:
        if self._table is not None:
            content = self._table.row(result)
        elif self._format == "json":
            content = rendering.dumps(rendering.obj(result, merge=self._request.output.merge))
        else:
            content = "" if self._streamed else self._clean(self._text(result)) + self._context(result)
        if self._folder and self.target is not None:
            self._write_file(self.target / self._name(result), content)
            return
        if self._named and self._format == "text":
            where = result.record.where if result.record else str(result.id)
            content = f"{where}\t{content}" if "label" in result.fields else f"==> {where} <==\n{content}"
        self._put(content if content.endswith("\n") else content + "\n")

    def _text(self, result: Result) -> str:
        return result.record.text if self._inputs and result.record else rendering.text(result)

    def _context(self, result: Result) -> str:
        """The sentence around an answer, dimmed, for people."""
        sentence = result.fields.get("sentence")
        if not sentence or self._stream is None or not self._stream.isatty() or os.environ.get("NO_COLOR"):
            return ""
        return f"\n\x1b[2m{self._clean(sentence)}\x1b[0m"

    def _write_file(self, path: Path, content: str) -> None:
        with _reported(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(path.name + ".partial")
            partial.write_text(content + "\n", encoding="utf-8", newline="\n")
            partial.replace(path)

    def _put(self, content: str) -> None:
        assert self._stream is not None  # opened in __enter__
        with _reported(self.target):
            place = self._stream.tell() if self._partial is not None else 0
            try:
                self._stream.write(content)
                self._stream.flush()
            except OSError:
                if self._partial is not None:
                    os.truncate(self._partial, place)  # whole rows only
                raise

    def _clean(self, content: str) -> str:
        """A model can write terminal escapes: none reaches a terminal; a pipe gets the text as it is."""
        return re.sub(_ESCAPES, "", content) if self._stream is not None and self._stream.isatty() else content

    def _name(self, result: Result) -> Path:
        name = Path(str(result.id))
        return name.with_name(name.name + ".json") if self._format == "json" else name


class _Unsure(Writer):
    """The rows that --abstain takes out of the output, in a file of their own."""

    def __init__(self, request: Request, target: Path, *, below: float) -> None:
        own = {name: value for name, value in request.flags["options"].items() if name not in ("abstain", "grep")}
        flags, output = request.flags | {"options": own}, replace(request.output, output=target)
        super().__init__(replace(request, flags=flags, output=output))
        self._below, self._inputs = below, True

    def takes(self, result: Result) -> bool:
        """Whether a result's best score is too low; counted in ``found``."""
        return result.error is None and float(result.fields["score"]) < self._below


@contextlib.contextmanager
def _reported(target: Path | None) -> Iterator[None]:
    """Turn the system's refusal to write into OutputError; a closed pipe stays what it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"{target or 'standard output'}: {error.strerror or error}", code="write") from error
