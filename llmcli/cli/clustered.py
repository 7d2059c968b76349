"""A run on a Ray cluster: windows out, answers back, and the merge that shards have."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from llmcli import tasks
from llmcli.cli import merge, signals, status
from llmcli.cli.progress import EVERY, Preparing, clock
from llmcli.cluster import ray_data, sources, windows
from llmcli.cluster.shards import Shards
from llmcli.cluster.windows import Planned
from llmcli.config.run_config import AnyConfig, RunOptions
from llmcli.data import inputs, readers, targets
from llmcli.data.inputs import InputFile
from llmcli.errors import OutputError, RowsFailed, UsageError, shown
from llmcli.reports import LOADING, READY, say
from llmcli.run.journal import Journal
from llmcli.run.records import Record
from llmcli.run.session import Local, Session

NOTE = "plan.json"
POLL = 1.0
"""Seconds between two looks at how far it is."""


def execute(run: RunOptions[Any], session: Session, report: Preparing) -> int:
    """Run a task on a cluster, and give the exit code. Errors of the whole run are raised."""
    ray_data.available()
    assert isinstance(session, Local)  # a worker is not asked
    assert run.journal is not None  # see llmcli.run.sharding.placed
    place = run.journal.with_suffix(".cluster")
    aside = targets.aside(run, tasks.get(run.task))
    with Journal(run.journal, output=run.output, fingerprint=session.fingerprint) as journal:
        _guard(run, place)
        run = sources.local(run, place / "inputs")
        files = inputs.listed(run, aside=aside)
        targets.check(run, files, aside=aside)
        work = _Work(run, files, session, journal, place)
        planned = work.plan()
        if planned.windows:
            report(LOADING if run.cluster.cluster != ray_data.AUTO else "starting Ray", 0.0)
            if run.cluster.cluster == ray_data.AUTO:
                session.prepare()  # once, and not in each actor
            _answered(session.config, place, planned, report, quiet=run.output.quiet)
            windows.harvest(place / "answers", journal)
        report(f"{READY}: {planned.windows} windows", 1.0)
        try:
            code = merge.put_together(Shards(place, 1, run, {1: journal.path}), run, report)
        except RowsFailed as error:
            if error.code != error.default_code:
                raise
            _whole(journal, place)  # that rows failed is no reason to do others again
            raise
        _whole(journal, place)
    return code


def _whole(journal: Journal, place: Path) -> None:
    """The output has its name."""
    journal.complete()
    shutil.rmtree(place, ignore_errors=True)


def _guard(run: RunOptions[Any], place: Path) -> None:
    """Make the folder of windows ready. Raises UsageError where an unfinished run is in it, OutputError."""
    try:
        if run.output.resume is False:
            shutil.rmtree(place, ignore_errors=True)
        resumed = run.output.resume or run.output.retry_failed
        if any((place / "answers").glob("*.parquet")) and not resumed:
            raise UsageError(f"{shown(place)}: an unfinished run left answers here", code="unfinished",
                             hint="--resume goes on, --no-resume starts anew")  # fmt: skip
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{shown(place)}: {error.strerror or error}", code="write") from error


class _Work:
    """What there is to do, as Parquet files in a folder."""

    def __init__(
        self, run: RunOptions[Any], files: Sequence[InputFile], session: Local, journal: Journal, place: Path
    ) -> None:
        self._run, self._files, self._session, self._journal, self._place = run, files, session, journal, place

    def plan(self) -> Planned:
        """The windows that are to be answered. Answers to others than those are put into the journal first."""
        planned = self._planned()
        note = self._place / NOTE
        now = {"fingerprint": dict(self._session.fingerprint), "keys": planned.digest}
        before = json.loads(note.read_text()) if note.is_file() else now
        if before["fingerprint"] != now["fingerprint"]:
            raise UsageError(f"{shown(self._place)}: the finished rows were made with other settings", code="changed",
                             hint="give the same ones, or --no-resume to start anew")  # fmt: skip
        if before != now or self._run.output.retry_failed:
            windows.harvest(self._place / "answers", self._journal)
            for name in ("answers", "checkpoint"):
                shutil.rmtree(self._place / name, ignore_errors=True)
            self._journal.reread()
            planned = self._planned()
            now["keys"] = planned.digest
        note.write_text(json.dumps(now))
        return planned

    def _planned(self) -> Planned:
        folder = self._place / "rows"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return windows.plan(self._records(), folder, journal=self._journal, size=self._session.window,
                            seed=self._session.seed, row_fields=tasks.get(self._run.task).row_fields)  # fmt: skip

    def _records(self) -> Iterator[Record]:
        records = readers.read(self._run, self._files)
        assembly = tasks.get(self._run.task).assemble(self._run)
        return assembly.split(records) if assembly is not None else records


def _answered(config: AnyConfig, place: Path, planned: Planned, report: Preparing, *, quiet: bool) -> None:
    """Have the windows answered, and say how far it is. A signal ends Ray first, then the program."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            ray_data.answer(config, place)
        except BaseException as error:
            failures.append(error)

    (place / "answers").mkdir(exist_ok=True)
    with ray_data.joined(config.cluster.cluster or ray_data.AUTO), signals.Leaving() as leaving:
        thread = threading.Thread(target=work, daemon=True)
        shown_of = _Shown(planned, lambda: windows.answered(place / "answers"), report, quiet=quiet)
        report(READY, 1.0)
        thread.start()
        while thread.is_alive() and not leaving.asked():
            thread.join(POLL)
            shown_of.look()
        if leaving.asked():
            if (rows := shown_of.rows()) and not quiet:
                say(f"llmcli: {rows:,} rows kept, --resume goes on")
            ray_data.end()
            signals.settle()
    report.work = None
    if failures:
        raise failures[0]


class _Shown:
    """How far a cluster is: on the status line, or a line now and then."""

    def __init__(self, planned: Planned, answered: Callable[[], int], report: Preparing, *, quiet: bool) -> None:
        self._planned, self._answered = planned, answered
        self._windows = 0
        self._start = self._said = time.monotonic()
        self._quiet = quiet or status.terminal()
        report.work = self.text

    def rows(self) -> int:
        """About how many rows are answered."""
        return round(self._windows * self._planned.rows / max(self._planned.windows, 1))

    def look(self) -> None:
        """See how far it is."""
        self._windows = min(self._answered(), self._planned.windows)
        if not self._quiet and time.monotonic() - self._said > EVERY:
            self._said = time.monotonic()
            say(f"llmcli: {self.text()}")

    def text(self) -> str:
        """It in words."""
        rows, seconds = self.rows(), time.monotonic() - self._start
        rate = rows / seconds if seconds > 0 else 0.0
        left = f", {rate:.1f} rows/s, {clock((self._planned.rows - rows) / rate)} left" if rate else ""
        return f"{rows:,} of {self._planned.rows:,} rows{left}"
