"""A table on disk that goes with the process: memory stays flat over millions of rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from llmcli.errors import OutputError

if TYPE_CHECKING:
    import sqlite3


class Scratch:
    """A private SQLite database in the folder of temporary files. All raise OutputError where that is full."""

    def __init__(self, schema: str) -> None:
        self._schema = schema
        self._database: sqlite3.Connection | None = None

    def one(self, statement: str, *values: Any) -> Sequence[Any] | None:
        """The first row that a statement gives."""
        with _reported():
            row: Sequence[Any] | None = self._open().execute(statement, values).fetchone()
        return row

    def many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each row of values."""
        with _reported():
            self._open().executemany(statement, rows)

    def close(self) -> None:
        """Let go of its rows, and of their room."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            import sqlite3

            # An empty name is a private file on disk, deleted when the connection closes.
            self._database = sqlite3.connect("", isolation_level=None)
            self._database.execute("PRAGMA journal_mode = OFF")
            self._database.execute(self._schema)
        return self._database


@contextlib.contextmanager
def _reported() -> Iterator[None]:
    import sqlite3

    try:
        yield
    except sqlite3.Error as error:
        raise OutputError(f"a temporary file: {error}", code="write", hint="free some room, or set TMPDIR") from error
