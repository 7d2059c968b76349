"""What was seen before, and how often: on disk, so that memory stays flat over millions of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


class Seen:
    """Counts keys in a temporary SQLite database that its closing removes."""

    def __init__(self) -> None:
        self._database: sqlite3.Connection | None = None

    def count(self, key: str) -> int:
        """How often ``key`` has been counted, this time included."""
        if self._database is None:
            import sqlite3

            # An empty name is a private file on disk, deleted when the connection closes.
            self._database = sqlite3.connect("", isolation_level=None)
            self._database.execute("PRAGMA journal_mode = OFF")
            self._database.execute("CREATE TABLE seen (key BLOB PRIMARY KEY, times INTEGER) WITHOUT ROWID")
        import hashlib

        digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=12).digest()
        found = self._database.execute(
            "INSERT INTO seen VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET times = times + 1 RETURNING times",
            (digest,),
        )
        return int(found.fetchone()[0])
