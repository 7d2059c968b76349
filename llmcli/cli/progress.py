"""What the user sees of a model being made ready, and of rows being done: a status line, or lines off a terminal."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from llmcli.cli import status
from llmcli.reports import LOADING, READING, READY, WRITING, say
from llmcli.run.records import Record, Result


@contextlib.contextmanager
def preparing(options: Mapping[str, Any]) -> Iterator[Preparing]:
    """A report for the first use of a model. ``options``: quiet, no_progress and verbose, as far as they are given."""
    report = Preparing()
    report.settle(quiet=bool(options.get("quiet")), bar=not options.get("no_progress"))
    with status.Line(report.text) if status.terminal() else contextlib.nullcontext():
        yield report


class Preparing:
    """Called with a stage and the share of the work done (0-1). Of a model that is fetched it tells the licence."""

    def __init__(self) -> None:
        self._quiet, self._bar, self._verbose = False, True, False
        self._name, self._where, self._lines = "", "", list[str]()
        self._stage, self._since = "starting", time.monotonic()
        self.busy = False
        self.ready = self._since
        """When the model was last ready, in seconds of the monotonic clock."""
        self.work: Callable[[], str] | None = None
        """What is done while nothing is prepared."""
        self.heard: Callable[[], None] | None = None
        """Called when it is known anew how far the rows in work are."""
        self.share = ""
        """How far they are, in words."""

    def settle(self, *, quiet: bool, bar: bool, verbose: bool = False) -> None:
        """Say how much is to be shown. ``bar``: a status line, where there is a terminal."""
        self._quiet, self._bar, self._verbose = quiet, bar and not quiet, verbose
        if verbose:
            say(f"llmcli: {self._name}, in {self._where}")
            _hear_the_rest()

    def introduce(self, name: str, lines: list[str], *, where: str = "this process") -> None:
        """Say which model it is, the lines that the user is told first, and where it works."""
        self._name, self._lines, self._where = name, lines, where

    def __call__(self, stage: str, share: float) -> None:
        """Show how far it is."""
        if stage.startswith(READY):
            self.busy, self.ready = False, time.monotonic()
            if self._verbose:
                say(f"llmcli: {stage}")
            return
        if stage in (READING, WRITING):
            self.share = f"{stage} {share:.0%}"
            if self.heard is not None:
                self.heard()
            return
        if stage != LOADING and not self._quiet:
            for line in self._lines:
                say(f"llmcli: {line}")
            self._lines = []
        if not self.busy:
            self.busy, self._since = True, time.monotonic()
        self._stage = f"{self._name}: {stage}" + (f" {share:.0%}" if share else "")

    def text(self) -> str:
        """What goes on, for the status line; empty where nothing is to be shown."""
        if not self._bar:
            return ""
        if not self.busy and self.work is not None:
            return self.work()
        return f"{self._stage}, {clock(time.monotonic() - self._since)}"


def _hear_the_rest() -> None:
    """Say what is otherwise passed over: a cache that cannot be written, say."""
    import logging

    class Said(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(f"llmcli: {record.getMessage()}")

    log = logging.getLogger("llmcli")
    log.handlers, log.level = [Said()], logging.INFO


EVERY = 15.0
"""Seconds between two lines of progress where there is no terminal."""
ENOUGH = 5
"""Rows, and seconds, from which the time left is estimated."""
RECENT = 60.0
"""Seconds whose rows tell how quick it is."""


class Rate:
    """How quick it was of late. Rows come in windows, all of one at a time."""

    def __init__(self, start: float) -> None:
        self._marks = deque([(start, 0)])

    @property
    def rows(self) -> int:
        """The rows that were counted."""
        return self._marks[-1][1]

    def begin(self, start: float) -> None:
        """Count time from here on, unless a row was counted."""
        if not self.rows and start > self._marks[0][0]:
            self._marks[0] = (start, 0)

    def count(self, now: float) -> None:
        """One more row was worked on."""
        rows = self.rows + 1
        if len(self._marks) > 1 and now - self._marks[-2][0] < 1.0:
            self._marks.pop()
        self._marks.append((now, rows))
        while len(self._marks) > 2 and now - self._marks[1][0] > RECENT:
            self._marks.popleft()

    @property
    def per_second(self) -> float | None:
        """Rows a second; None where too few were counted, or in too short a time."""
        (start, before), (end, rows) = self._marks[0], self._marks[-1]
        return (rows - before) / (end - start) if rows >= ENOUGH and end - start >= ENOUGH else None


class Rows:
    """The rows of a run: what the status line says of them, a line now and then elsewhere, and a closing summary.

    ``total``: how many there will be, where that is known. ``earlier``: how many the journal holds from an earlier run.
    """

    def __init__(self, report: Preparing, *, total: int | None, quiet: bool, batch: bool, earlier: int = 0) -> None:
        self._report, self._total, self._batch, self._earlier = report, total, batch, earlier
        self._lines = batch and not quiet and not status.terminal()
        self._start = self._said = self._since = time.monotonic()
        self._rate = Rate(self._start)
        self._read, self._working = 0, False
        self.rows = self.failed = self.failed_anew = self.unsound = self.pieces = self._kept = 0
        self.input_tokens = self.output_tokens = 0

    def __enter__(self) -> Rows:
        self._report.work, self._report.heard = self.text, self._tell
        return self

    def __exit__(self, *_: object) -> None:
        self._report.work = self._report.heard = None

    def reading(self, records: Iterator[Record]) -> Iterator[Record]:
        """The records; between them it is known whether one is awaited or worked on."""
        while True:
            self._working, self._since, self._report.share = False, time.monotonic(), ""
            record = next(records, None)
            self._working, self._since = True, time.monotonic()
            if record is None:
                return
            self._read += 1
            yield record

    def passing(self, results: Iterator[Result]) -> Iterator[Result]:
        """The answers to pieces of rows, counted."""
        for result in results:
            self.pieces += result.error is None
            yield result

    def count(self, result: Result) -> None:
        """One more row is done."""
        now = time.monotonic()
        self.rows += 1
        self.failed += result.error is not None
        self.unsound += result.unsound
        self.failed_anew += result.error is not None and not result.resumed
        self.input_tokens += result.input_tokens
        self.output_tokens += result.output_tokens
        if result.resumed:
            self._kept += result.error is None
            self._rate.begin(now)
        else:
            self._rate.begin(self._report.ready)
            self._rate.count(now)
        self._tell()

    def _tell(self) -> None:
        """A line now and then, where there is no terminal."""
        if self._lines and time.monotonic() - self._said > EVERY:
            self._said = time.monotonic()
            say(f"llmcli: {self.text() if self._report.share else self.state()}")

    def text(self) -> str:
        """What goes on with the rows, for the status line."""
        seconds = clock(time.monotonic() - self._since) + (f", {self._report.share}" if self._report.share else "")
        if not self._working and not self._report.share:
            what = f"waiting for input, {seconds}"
        elif not self._batch:
            return f"working, {seconds}" + (f", {self.pieces:,} segments done" if self.pieces else "")
        else:
            first, last = self.rows + 1, max(self._read, self.rows + 1)
            what = f"row {first:,}, {seconds}" if first == last else f"rows {first:,}-{last:,}, {seconds}"
        return f"{self.state()}; {what}" if self.rows else what

    def state(self) -> str:
        """Rows, rows a second, time left, failures: in words. The rate is that of rows that are worked on now."""
        known = f" of {self._total:,}" if self._total and self._total >= self.rows else ""
        parts = [f"{self.rows:,}{known} rows"]
        if rate := self._rate.per_second:
            parts.append(f"{rate:.1f} rows/s")
            if known and self.rows < (self._total or 0):
                parts.append(f"{clock(((self._total or 0) - self.rows) / rate)} left")
        return ", ".join([*parts, *([f"{self.failed:,} failed"] if self.failed else [])])

    def summary(self, target: object) -> str:
        """What was done, at the end."""
        ok, seconds = self.rows - self.failed, time.monotonic() - self._start
        tokens = self.input_tokens + self.output_tokens
        kept = f" ({self._kept:,} kept)" if self._kept else ""
        return f"{ok:,} rows ok{kept}, {self.failed:,} failed, {tokens:,} tokens, {clock(seconds)}: {target}"

    def saved(self) -> str:
        """What an interrupted run leaves in its journal, in words; empty where that is nothing."""
        rows, what = max(self.rows, self._earlier, self.pieces), "segment" if self.pieces else "row"
        return f"{rows:,} {what}{'s' if rows > 1 else ''} kept, --resume goes on" if rows else ""


def clock(seconds: float) -> str:
    """A time for people: ``4.1 s``, ``0:01:25``."""
    whole = round(seconds)
    return f"{seconds:.1f} s" if seconds < 10 else f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
