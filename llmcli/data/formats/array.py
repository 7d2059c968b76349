"""JSON: a file is an array of objects, each of which is a row. It is read piece by piece."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any

from llmcli.config.run_config import RunOptions
from llmcli.data.formats.fields import Pick
from llmcli.data.formats.jsonl import parse
from llmcli.data.formats.plain import CAPPED
from llmcli.data.lines import LINE_CAP, LineReader
from llmcli.errors import InputError
from llmcli.run.records import Record, bad

_BLANK = " \t\r\n"
_DECODER = json.JSONDecoder()


class Array:
    """See Format."""

    def __init__(self, run: RunOptions[Any]) -> None:
        self.columns: list[str] = []
        self._pick = Pick(run)

    def prepare(self, lines: LineReader, *, name: str) -> None:
        """See Format: objects of any fields fit."""

    def rows(self, lines: LineReader, *, name: str) -> Iterator[Record]:
        """See Format; where an array is broken, what follows cannot be read, and is one error record."""
        text, number = _Text(lines), 0
        try:
            if text.next() != "[":
                raise InputError("not an array", code="bad-json", hint="objects, one a line, are --jsonl")
            text.skip(1)
            while text.next() != "]":
                number += 1
                empty = Record(id=number, text="", line=text.line, where=f"{name}:{text.line}")
                element = text.element()
                try:
                    yield self._pick(empty, parse(element))
                except InputError as error:
                    yield bad(empty, error)
                if text.next() == ",":
                    text.skip(1)
                elif text.next() != "]":
                    raise InputError("a comma is missing between two rows", code="bad-json")
            text.skip(1)
            if text.next():
                raise InputError("more than one array", code="bad-json")
        except InputError as error:
            error.hint = error.hint or "the rest of the file was not read"
            yield bad(Record(id=number + 1, text="", line=text.line, where=f"{name}:{text.line}"), error)


class _Text:
    """The characters of a file from a place on. Raises InputError where they are no UTF-8."""

    def __init__(self, lines: LineReader) -> None:
        self._lines = lines
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("strict")
        self._buffer, self._start = "", 0
        self._ended = False
        self.line = 1

    def next(self) -> str:
        """The next character that is not blank; none at the end."""
        while True:
            while self._start < len(self._buffer) and self._buffer[self._start] in _BLANK:
                self.skip(1)
            if self._start < len(self._buffer):
                return self._buffer[self._start]
            if not self._fill():
                return ""

    def skip(self, count: int) -> None:
        """Go on by so many characters."""
        self.line += self._buffer.count("\n", self._start, self._start + count)
        self._start += count

    def element(self) -> str:
        """The next JSON value, and go on behind it. Raises InputError where there is none."""
        while True:
            try:
                _, end = _DECODER.raw_decode(self._buffer, self._start)
            except (ValueError, RecursionError) as error:
                problem = "nested too deeply" if isinstance(error, RecursionError) else "broken JSON"
                end = None
            if end is not None and (end < len(self._buffer) or not self._fill()):
                found = self._buffer[self._start : end]
                self.skip(len(found))
                return found
            if end is None and not self._fill():
                raise InputError(problem, code="bad-json")
            if len(self._buffer) - self._start > LINE_CAP:
                raise InputError(CAPPED, code="line-too-long")

    def _fill(self) -> bool:
        if self._ended:
            return False
        block = self._lines.read()
        self._ended = not block
        try:
            more = self._decoder.decode(block, self._ended)
        except UnicodeDecodeError as error:
            raise InputError("not UTF-8", code="bad-utf8", hint="convert it with iconv -t utf-8") from error
        self._buffer, self._start = self._buffer[self._start :] + more, 0
        return not self._ended or bool(more)
