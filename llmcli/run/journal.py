"""What is already done: a file beside the output from which a run that was cut off goes on.

A line a window of rows, appended and synced before the rows are written. Each line begins with a check of the rest:
one that a crash tore is cut off, of one that is damaged the rows run again. Rows are found again by their id and
text, wherever the input has them now. The first line is the fingerprint: what decides the answers.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from llmcli.config.options import OutputOptions
from llmcli.config.run_config import FOLDER_JOURNAL
from llmcli.errors import WAITING, OutputError, UsageError, shown
from llmcli.reports import say
from llmcli.run.records import Record, Result, pack, unpack
from llmcli.run.scratch import Scratch

MAGIC = b"llmcli journal 2 "
"""How the file begins."""
DIGEST = 16
"""How many characters the check of a line has."""
OLDER = b'{"fingerprint": '
"""How it began when lines had no check."""


def ours(path: Path) -> bool:
    """Whether a file is a journal."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return False
        with path.open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


class Journal:
    """The finished rows of one output. Only one run at a time holds it."""

    def __init__(self, path: Path, *, output: OutputOptions, fingerprint: Mapping[str, str]) -> None:
        import secrets

        self.path, self._quiet = path, output.quiet
        self._resumed = bool(output.resume or output.retry_failed)
        self._anew = output.resume is False
        self._retry = output.retry_failed
        self._fingerprint = dict(fingerprint)
        self._index = Scratch("CREATE TABLE done (key TEXT PRIMARY KEY, packed TEXT) WITHOUT ROWID")
        self._holds = self._folder_is_new = self._took_over = False
        self.finished = 0
        """How many rows an earlier run left, that this one need not run."""
        self.seed = secrets.randbits(31)
        """The seed of sampling where the user gave none: a resumed run draws the same text."""

    def __enter__(self) -> Journal:
        try:
            self._folder_is_new = self.path.name == FOLDER_JOURNAL and not self.path.parent.exists()
            if self._folder_is_new:  # an output folder; that of an output file must be there
                self.path.parent.mkdir(parents=True)
            self._stream = self._locked()
        except OSError as error:
            raise OutputError(f"{shown(self.path)}: {error.strerror or error}", code="write") from error
        try:
            self._read()
        except BaseException:
            self._stream.close()
            raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Where the run failed and nothing is done, nothing is left."""
        if kind is not None and not self._holds:
            with contextlib.suppress(OSError):
                self.path.unlink()
                if self._folder_is_new:
                    self.path.parent.rmdir()
        self._stream.close()
        self._index.close()

    def _locked(self) -> IO[bytes]:
        """The open file, held until it is closed."""
        while True:
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISREG(self.path.lstat().st_mode):
                    raise self._in_the_way()
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
            stream = os.fdopen(os.open(self.path, flags, 0o666), "a+b")
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stream.close()
                raise UsageError(f"{shown(self.path)}: another run is writing this output", code="locked",
                                 hint="wait for it to end") from None  # fmt: skip
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(self.path.lstat(), os.fstat(stream.fileno())):
                    return stream
            stream.close()  # the run that held it has just removed it

    def _in_the_way(self) -> UsageError:
        return UsageError(f"{shown(self.path)}: in the way, and not a journal of llmcli",
                          hint="move it, or give another -o")  # fmt: skip

    def _read(self) -> None:
        """Take over what is done, or begin anew. Raises UsageError where the command line does not say which."""
        self._stream.seek(0)
        head = self._stream.readline()
        torn = not head.endswith(b"\n") and MAGIC.startswith(head[: len(MAGIC)])
        if not torn and not head.startswith((MAGIC, OLDER)):
            raise self._in_the_way()
        if torn or self._anew:
            self._begin()
            return
        first = payload(head.removeprefix(MAGIC))
        if first is None:
            what = "of an older llmcli" if head.startswith(OLDER) else "damaged"
            raise UsageError(f"{shown(self.path)}: the journal is {what}", code="damaged",
                             hint="--no-resume starts anew")  # fmt: skip
        self._take_over(first)

    def _take_over(self, first: Mapping[str, Any]) -> None:
        damaged, done = self._remember()
        if self._resumed:
            self._compare(first["fingerprint"])
            self.seed = first["seed"]
            self._holds = self._took_over = True
            if damaged and not self._quiet:
                say(f"llmcli: {shown(self.path)}: {damaged} damaged lines; their rows run again")
            return
        if (self.finished or damaged) and not done:
            raise UsageError(f"{shown(self.path)}: an unfinished run left {self.finished} rows here",
                             code="unfinished", hint="--resume goes on, --no-resume starts anew")  # fmt: skip
        self._begin()

    def _begin(self) -> None:
        self.finished = 0
        self._index.close()
        self._stream.truncate(0)
        self._append({"fingerprint": self._fingerprint, "seed": self.seed}, head=MAGIC)

    def _remember(self) -> tuple[int, bool]:
        """Index the rows of all whole lines; how many lines are damaged, and whether the last says that all is done.

        What follows the last whole line was torn, and is cut off if the run goes on.
        """
        damaged, done = 0, False
        end = self._stream.tell()
        while (raw := self._stream.readline()).endswith(b"\n"):
            end += len(raw)
            line = payload(raw)
            damaged += line is None
            rows = (line or {}).get("rows", {})
            done = "done" in (line or {})
            self.finished += sum(not packed["error"] for packed in rows.values())
            self._index.many(
                "INSERT OR REPLACE INTO done VALUES (?, ?)", [(key, json.dumps(packed)) for key, packed in rows.items()]
            )
        if self._resumed:
            self._stream.truncate(end)
        return damaged, done

    def _compare(self, before: Mapping[str, str]) -> None:
        changed = [name for name in {**before, **self._fingerprint} if before.get(name) != self._fingerprint.get(name)]
        if changed:
            raise UsageError(
                f"{shown(self.path)}: the finished rows were made with other settings: {', '.join(changed)}",
                code="changed", hint="give the same ones, or --no-resume to start anew",
            )  # fmt: skip

    def find(self, key: str, record: Record) -> Result | None:
        """The result of a row that is already done; one that failed counts as done unless it is to run again."""
        row = self._index.one("SELECT packed FROM done WHERE key = ?", key)
        if row is None:
            return None
        result = replace(unpack(json.loads(row[0]), record), resumed=True)
        return None if result.error and self._retry else result

    def add(self, keys: Sequence[str], results: Sequence[Result]) -> None:
        """Keep the results of a window: all of them or none survive a crash. What waits for an answer is not done."""
        done = [(key, result) for key, result in zip(keys, results, strict=True)
                if result.error is None or result.error.code != WAITING]  # fmt: skip
        self.keep({key: pack(result) for key, result in done})

    def keep(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep packed results by their keys: all of them or none survive a crash."""
        if rows:
            resumed = {"resumed": True} if self._took_over else {}
            self._append({**resumed, "rows": rows}, sync=any(not packed["error"] for packed in rows.values()))
            self._holds, self._took_over = True, False

    def reread(self) -> None:
        """Find what was kept since it was opened, too."""
        self._stream.seek(0)
        self._stream.readline()
        self._index.close()
        self.finished = 0
        self._remember()

    def complete(self, *, keep: bool = True) -> None:
        """Mark the run as whole: the output has its name. Of a single text nothing more can be added: it goes."""
        self._append({"done": True})
        if not keep:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _append(self, line: dict[str, Any], *, head: bytes = b"", sync: bool = True) -> None:
        payload = json.dumps(line, allow_nan=False).encode()
        left = b"%s%s %s\n" % (head, _digest(payload), payload)
        descriptor = self._stream.fileno()  # past Python's buffer, which would try again when it is closed
        before = os.lseek(descriptor, 0, os.SEEK_END)
        try:
            while left:
                left = left[os.write(descriptor, left) :]
            if sync:
                os.fsync(descriptor)
        except OSError as error:
            os.ftruncate(descriptor, before)
            raise OutputError(f"{shown(self.path)}: {error.strerror or error}", code="write",
                              hint="free some room, then --resume") from error  # fmt: skip


def _digest(payload: bytes) -> bytes:
    import hashlib

    return hashlib.blake2b(payload, digest_size=DIGEST // 2).hexdigest().encode()


def says(raw: bytes, what: str) -> bool:
    """Whether a line says that a run came to its end (``done``), or is the first of a ``resumed`` run."""
    return raw[DIGEST + 1 :].startswith(f'{{"{what}"'.encode())


def payload(raw: bytes) -> dict[str, Any] | None:
    """What a line holds; None where its check fails."""
    digest, _, payload = raw.removesuffix(b"\n").partition(b" ")
    if digest != _digest(payload):
        return None
    line: dict[str, Any] = json.loads(payload)
    return line
