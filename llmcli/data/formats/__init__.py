"""The row formats. A broken row is an error record in its place.

A new format is a file here, a line in FORMATS, and its name among those of ``--format``.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, Protocol

from llmcli.config.run_config import RunOptions
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


FORMATS = {
    "lines": "plain.Lines",
    "jsonl": "jsonl.Jsonl",
    "json": "array.Array",
    "csv": "delimited.Delimited",
    "tsv": "delimited.Delimited",
}
"""The module and the class of each; a run imports that of its own."""


def reader(run: RunOptions[Any]) -> Format:
    """What reads the rows of a run."""
    module, _, name = FORMATS[run.format].partition(".")
    made: Format = getattr(import_module(f"{__name__}.{module}"), name)(run)
    return made
