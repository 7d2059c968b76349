"""What is already done: a file beside the output from which a run that was cut off goes on.

A line a window of rows, appended and synced before the rows are written; a line that a crash tore is cut off. Rows
are found again by their id and text, wherever the input has them now. The first line is the fingerprint: what
decides the answers.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from llmcli.config.options import OutputOptions
from llmcli.errors import OutputError, UsageError
from llmcli.run.records import Record, Result, pack, unpack

_START = b'{"fingerprint": '


class Journal:
    """The finished rows of one output. Only one run at a time holds it."""

    def __init__(self, path: Path, *, output: OutputOptions, fingerprint: Mapping[str, str]) -> None:
        import secrets
        import sqlite3

        self._path = path
        self._resumed = bool(output.resume or output.retry_failed)
        self._anew = output.resume is False
        self._retry = output.retry_failed
        self._fingerprint = dict(fingerprint)
        self._index = sqlite3.connect("", isolation_level=None)
        self._index.execute("PRAGMA journal_mode = OFF")
        self._index.execute("CREATE TABLE done (key TEXT PRIMARY KEY, packed TEXT) WITHOUT ROWID")
        self.seed = secrets.randbits(31)
        """The seed of sampling where the user gave none: a resumed run draws the same text."""
        self.finished = 0
        """How many rows an earlier run left, that this one need not run."""

    def __enter__(self) -> Journal:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._stream: IO[bytes] = open(self._path, "a+b")
            try:
                fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(
                    f"{self._path}: another run is writing this output", code="locked", hint="wait for it to end"
                ) from None
            self._open()
        except OSError as error:
            raise OutputError(f"{self._path}: {error.strerror or error}", code="write") from error
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._stream.close()
        self._index.close()

    def _open(self) -> None:
        lines = self._read()
        first = next(lines, None)
        self._stream.seek(0)
        if self._stream.read(len(_START)) not in (b"", _START):
            raise UsageError(
                f"{self._path}: in the way, and not a journal of llmcli", hint="move it, or give another -o"
            )
        if first is not None and not self._anew:
            finished = sum(self._remember(line) for line in lines)
            if not self._resumed and finished and not self._done:
                raise UsageError(
                    f"{self._path}: an unfinished run left {finished} rows here",
                    code="unfinished",
                    hint="--resume goes on, --no-resume starts anew",
                )
            if self._resumed:
                self._compare(first["fingerprint"])
                self.finished = finished
                self.seed = first["seed"]
                self._stream.truncate(self._whole)
                return
            self._index.execute("DELETE FROM done")
        self._stream.truncate(0)
        self._append({"fingerprint": self._fingerprint, "seed": self.seed})

    def _read(self) -> Iterator[dict[str, Any]]:
        """The whole lines; what follows the last of them was torn."""
        self._whole, self._done = 0, False
        place = 0
        while self._stream.seek(place) == place and (raw := self._stream.readline()):
            place += len(raw)
            try:
                line = json.loads(raw) if raw.endswith(b"\n") else None
            except ValueError:
                line = None
            if not isinstance(line, dict):
                return
            self._whole += len(raw)
            yield line

    def _remember(self, line: dict[str, Any]) -> int:
        self._done = "done" in line
        rows = line.get("rows", {})
        self._index.executemany(
            "INSERT OR REPLACE INTO done VALUES (?, ?)", [(key, json.dumps(packed)) for key, packed in rows.items()]
        )
        return len(rows)

    def _compare(self, before: Mapping[str, str]) -> None:
        changed = [name for name in {**before, **self._fingerprint} if before.get(name) != self._fingerprint.get(name)]
        if changed:
            raise UsageError(
                f"{self._path}: the finished rows were made with other settings: {', '.join(changed)}",
                code="changed",
                hint="give the same ones, or --no-resume to start anew",
            )

    def find(self, key: str, record: Record) -> Result | None:
        """The result of a row that is already done."""
        row = self._index.execute("SELECT packed FROM done WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        result = replace(unpack(json.loads(row[0]), record), resumed=True)
        return None if result.error and self._retry else result

    def add(self, keys: Sequence[str], results: Sequence[Result]) -> None:
        """Keep the results of a window: all of them or none survive a crash."""
        rows = {key: pack(result) for key, result in zip(keys, results, strict=True)}
        if rows:
            self._append({"rows": rows})

    def complete(self) -> None:
        """Mark the run as whole: the output has its name."""
        self._append({"done": True})

    def _append(self, line: dict[str, Any]) -> None:
        raw = json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        before = self._stream.seek(0, os.SEEK_END)
        try:
            self._stream.write(raw)
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            os.ftruncate(self._stream.fileno(), before)
            raise OutputError(f"{self._path}: {error.strerror or error}", code="write",
                              hint="free some room, then --resume") from error  # fmt: skip
