"""What was seen before, and how often: on disk, so that memory stays flat over millions of rows."""

from __future__ import annotations

from llmcli.run.scratch import Scratch


class Seen:
    """Counts keys. Raises OutputError where there is no room for them."""

    def __init__(self) -> None:
        self._keys = Scratch("CREATE TABLE seen (key BLOB PRIMARY KEY, times INTEGER) WITHOUT ROWID")

    def count(self, key: str) -> int:
        """How often ``key`` has been counted, this time included."""
        import hashlib

        digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=12).digest()
        row = self._keys.one(
            "INSERT INTO seen VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET times = times + 1 RETURNING times", digest
        )
        assert row is not None  # RETURNING gives one
        return int(row[0])
