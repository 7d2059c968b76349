"""The row formats. A broken row is an error record in its place.

A new format is a file here, a line in FORMATS, and its name among those of ``--format``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from llmcli.config.run_config import RunOptions
from llmcli.data.formats.array import Array
from llmcli.data.formats.delimited import Delimited
from llmcli.data.formats.jsonl import Jsonl
from llmcli.data.formats.plain import Lines
from llmcli.data.lines import LineReader
from llmcli.run.records import Record

DELIMITED = ("csv", "tsv")


class Format(Protocol):
    """Reads the files of one run, one after the other: rows of several files are told apart, and fit together."""

    columns: list[str]
    """The columns of a table; none of what is no table."""

    def prepare(self, lines: LineReader, *, name: str) -> None:
        """See whether a file fits the others, by its beginning. Raises InputError, UsageError."""

    def rows(self, lines: LineReader, *, name: str) -> Iterator[Record]:
        """The records of a file, in order, one a row. Raises as :meth:`prepare` does."""


FORMATS: dict[str, Callable[[RunOptions[Any]], Format]] = {
    "lines": Lines,
    "jsonl": Jsonl,
    "json": Array,
    "csv": Delimited,
    "tsv": Delimited,
}


def reader(run: RunOptions[Any]) -> Format:
    """What reads the rows of a run."""
    return FORMATS[run.format](run)
