"""The answers that journals hold, taken in the input's order.

A journal has them in the order in which its run read the rows: so its next answer is that of the shard's next row, and
nothing has to be held. Only what was answered after a run was resumed, and all that follows once the order differs, is
put into an index on disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmcli.data.inputs import unreadable
from llmcli.errors import UsageError, shown
from llmcli.run import journal
from llmcli.run.scratch import Scratch

SCHEMA = "CREATE TABLE answers (digest TEXT, times INTEGER, packed TEXT, PRIMARY KEY (digest, times)) WITHOUT ROWID"
"""``times``: which of its equals a row is."""


@dataclass(frozen=True)
class Answer:
    """A packed result, and its key in two parts."""

    digest: str
    times: int
    packed: Mapping[str, Any]


class Answers:
    """Those of one journal. ``index`` holds what is not taken in its order; several journals may share it.

    ``state`` is empty where the journal's run came to its end, else says that it did not. Raises UsageError for a file
    that is no journal, or is damaged at its beginning, InputError for one that cannot be read.
    """

    def __init__(self, path: Path, index: Scratch) -> None:
        self._path, self._index = path, index
        self._waiting: list[Answer] = []
        self._indexed = False
        self.fingerprint: Mapping[str, str] = {}
        self.state = "is still running"
        with self._opened() as stream:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
                self.state = "did not come to its end"
            head = stream.readline()
            first = journal.payload(head.removeprefix(journal.MAGIC)) if head.startswith(journal.MAGIC) else None
            if first is None:
                raise UsageError(f"{shown(path)}: the journal is damaged, or of another llmcli", code="damaged")
            self.fingerprint = first["fingerprint"]
            self._place = stream.tell()
            self._end = self._scan(stream)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        """The file, open as long as it is needed: there may be more journals than a process may open files."""
        try:
            with self._path.open("rb") as stream:
                yield stream
        except OSError as error:
            raise unreadable(self._path, error) from error

    def _scan(self, stream: Any) -> int:
        """Where the first run ends; what later ones answered is in the index then."""
        end: int = self._place
        resumed = done = False
        for raw in stream:
            if not raw.endswith(b"\n"):
                break  # torn
            done = journal.says(raw, "done")
            resumed = resumed or journal.says(raw, "resumed")
            if resumed:
                self._keep("REPLACE", _answers(raw))
            else:
                end += len(raw)
        self.state = "" if done else self.state
        return end

    def take(self, digest: str) -> Mapping[str, Any] | None:
        """The packed result of the next row of this digest; None where there is none."""
        following = self._following()
        if following is not None and following.digest != digest:  # another order than the journal's
            self._keep("IGNORE", self._rest())
            following = None
        later = self._index.one(
            "SELECT times, packed FROM answers WHERE digest = ? ORDER BY times LIMIT 1", digest
        ) if self._indexed else None  # fmt: skip
        if following is not None and (later is None or following.times <= later[0]):
            self._waiting.pop()
        if later is None or (following is not None and following.times < later[0]):
            return following.packed if following else None
        self._index.one("DELETE FROM answers WHERE digest = ? AND times = ? RETURNING times", digest, later[0])
        packed: Mapping[str, Any] = json.loads(later[1])
        return packed

    def left(self) -> Iterator[str]:
        """The keys of answers in the journal's order that no row has taken."""
        for answer in self._rest():
            yield f"{answer.digest}:{answer.times}"

    def _following(self) -> Answer | None:
        while not self._waiting and self._place < self._end:
            with self._opened() as stream:
                stream.seek(self._place)
                raw = stream.readline()
            self._place += len(raw)
            self._waiting = [*_answers(raw)][::-1]
        return self._waiting[-1] if self._waiting else None

    def _rest(self) -> Iterator[Answer]:
        while self._following() is not None:
            yield self._waiting.pop()

    def _keep(self, conflict: str, answers: Iterator[Answer]) -> None:
        self._indexed = True
        self._index.many(f"INSERT OR {conflict} INTO answers VALUES (?, ?, ?)",
                         ((one.digest, one.times, json.dumps(one.packed)) for one in answers))  # fmt: skip


def _answers(raw: bytes) -> Iterator[Answer]:
    """The answers of a line; none of one that is damaged."""
    for key, packed in (journal.payload(raw) or {}).get("rows", {}).items():
        digest, _, times = key.partition(":")
        yield Answer(digest, int(times), packed)
