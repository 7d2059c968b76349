"""What the user sees while a model is made ready and while rows are done: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from llmcli.reports import say
from llmcli.run.records import Result

if TYPE_CHECKING:
    from rich.progress import Progress


@contextlib.contextmanager
def preparing(*, quiet: bool = False, bar: bool = True) -> Iterator[Preparing]:
    """A report for the first use of a model."""
    with contextlib.ExitStack() as stack:
        report = Preparing(stack)
        report.settle(quiet=quiet, bar=bar)
        yield report


class Preparing:
    """Called with a stage and the share of the work done (0-1); the first call tells of the model and its licence."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._quiet = self._bar = False
        self._name, self._lines = "", list[str]()
        self._update: Callable[[str, float], None] | None = None

    def settle(self, *, quiet: bool, bar: bool) -> None:
        """Say how much is to be shown."""
        self._quiet, self._bar = quiet, bar and sys.stderr is not None and sys.stderr.isatty()

    def introduce(self, name: str, lines: list[str]) -> None:
        """Say which model it is, and the lines that the user is told first."""
        self._name, self._lines = name, lines

    def __call__(self, stage: str, share: float) -> None:
        """Show how far it is."""
        if self._quiet:
            return
        if self._update is None:
            self._update = self._start()
        self._update(stage, share)

    def _start(self) -> Callable[[str, float], None]:
        for line in self._lines:
            say(f"llmcli: {line}")
        if not self._bar:
            return lambda stage, share: None
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
            console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self._stack.enter_context(bar)
        task = bar.add_task(self._name, total=1.0)

        def update(stage: str, share: float) -> None:
            bar.update(task, description=f"{self._name}: {stage}", completed=share)
            if share >= 1.0:
                bar.stop()

        return update


EVERY = 15.0
"""Seconds between two lines of progress where there is no terminal."""


class Rows:
    """The rows of a batch: a bar on a terminal, a line now and then elsewhere, and a closing summary."""

    def __init__(self, *, total: int | None, quiet: bool, bar: bool) -> None:
        terminal = sys.stderr is not None and sys.stderr.isatty()
        self._total, self._quiet, self._bar = total, quiet, bar and terminal and not quiet
        self._progress: Progress | None = None
        self._start = self._said = time.monotonic()
        self.rows = self.failed = self.tokens = 0

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def count(self, result: Result) -> None:
        """One more row is done."""
        self.rows += 1
        self.failed += result.error is not None
        self.tokens += result.input_tokens + result.output_tokens
        if self._bar:
            self._draw()
        elif not self._quiet and time.monotonic() - self._said > EVERY:
            self._said = time.monotonic()
            say(f"llmcli: {self.state()}")

    def state(self) -> str:
        """Rows, rows a second, tokens a second, time left, failures: in words."""
        seconds = max(time.monotonic() - self._start, 1e-6)
        known = f" of {self._total}" if self._total else ""
        parts = [
            f"{self.rows:,}{known} rows",
            f"{self.rows / seconds:.1f} rows/s",
            f"{self.tokens / seconds:,.0f} tok/s",
        ]
        if self._total and 0 < self.rows < self._total:
            parts.append(f"{_clock(seconds / self.rows * (self._total - self.rows))} left")
        return ", ".join([*parts, *([f"{self.failed} failed"] if self.failed else [])])

    def summary(self, target: object) -> str:
        """What was done, at the end."""
        ok, seconds = self.rows - self.failed, time.monotonic() - self._start
        return f"{ok:,} rows ok, {self.failed:,} failed, {self.tokens:,} tokens, {_clock(seconds)}: {target}"

    def _draw(self) -> None:
        if self._progress is None:
            self._progress = _bar()
            self._progress.start()
            self._row = self._progress.add_task("", total=self._total)
        self._progress.update(self._row, completed=self.rows, description=self.state())


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{seconds:.1f} s" if seconds < 10 else f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        BarColumn(bar_width=24), TextColumn("{task.description}"), console=Console(stderr=True), transient=True
    )
