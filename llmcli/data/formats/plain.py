"""Lines: a line is a row. Also how a line of any format becomes a record."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from llmcli.config.run_config import RunOptions
from llmcli.data.lines import LINE_CAP, LineReader
from llmcli.errors import InputError
from llmcli.run.records import Record, bad, decode

CAPPED = f"line longer than {LINE_CAP} bytes"


class Lines:
    """See Format."""

    def __init__(self, run: RunOptions[Any]) -> None:
        self.columns: list[str] = []

    def prepare(self, lines: LineReader, *, name: str) -> None:
        """See Format: all lines fit."""

    def rows(self, lines: LineReader, *, name: str) -> Iterator[Record]:
        """See Format."""
        for empty, raw in numbered(lines, name=name):
            yield decoded(empty, raw, lambda empty, text: replace(empty, text=text))


def numbered(lines: LineReader, *, name: str) -> Iterator[tuple[Record, bytes | None]]:
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


def decoded(empty: Record, raw: bytes | None, build: Callable[[Record, str], Record]) -> Record:
    """The record that ``build`` makes of a line's text, or an error record."""
    if raw is None:
        return bad(empty, InputError(CAPPED, code="line-too-long"))
    try:
        return build(empty, decode(raw))
    except InputError as error:
        return bad(empty, error)
