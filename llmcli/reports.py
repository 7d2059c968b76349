"""What is said while work goes on: a line on stderr, and the stages of a model's first use."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Protocol, TextIO

from llmcli.errors import LlmcliError

Report = Callable[[str, float], None]
"""Hears the stages of a model's first use: a name, and the share of the work done (0-1)."""
LOADING, READY = "loading", "ready"
"""The stages that every load has, its first and its last; behind READY follows how the model runs."""
READING, WRITING = "reading", "writing"
"""The stages of the work on rows: texts are read, completions are written."""
PACE = 0.2
"""Seconds between two words on how far the work is."""
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, the cursor, what is erased
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # titles, links, the clipboard
    r"|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
FIRST = 20
"""How many errors of one code are said; those that follow are counted."""


class Introduced(Protocol):
    """A report that can say first which model it is about."""

    def introduce(self, name: str, lines: list[str], *, where: str = "this process") -> None:
        """Say which model it is, the lines that the user is told first, and where it works."""

    def __call__(self, stage: str, share: float) -> None:
        """Show how far it is."""


class Aside(Protocol):
    """Makes room on the terminal for what is printed within its context."""

    def __call__(self, *, ends: bool) -> AbstractContextManager[None]:
        """``ends``: what is printed ends its line."""


def unheard(stage: str, share: float) -> None:
    """A report to nobody."""


_hearing: ContextVar[Report] = ContextVar("hearing", default=unheard)


@contextlib.contextmanager
def heard(report: Report) -> Iterator[None]:
    """Within this, ``report`` hears now and then how far the work on rows is."""
    said = time.monotonic()

    def paced(stage: str, share: float) -> None:
        nonlocal said
        if time.monotonic() - said > PACE:
            said = time.monotonic()
            report(stage, share)

    before = _hearing.set(paced)
    try:
        yield
    finally:
        _hearing.reset(before)


def tell(stage: str, share: float) -> None:
    """Say how far a stage of the work on rows is (0-1), to whoever hears it."""
    _hearing.get()(stage, share)


_aside: list[Aside] = []


def give_way(aside: Aside | None) -> None:
    """Have something that is drawn on the terminal make room for all that is printed; None: nothing is drawn."""
    _aside[:] = [aside] if aside else []


def above(stream: TextIO, *, ends: bool = True) -> AbstractContextManager[None]:
    """Print to ``stream`` within this. ``ends``: what is printed ends its line."""
    return _aside[0](ends=ends) if _aside and stream.isatty() else contextlib.nullcontext()


def plain(text: str) -> str:
    """A text for a terminal: without escape sequences and control characters, but for tabs and line feeds."""
    return _ESCAPES.sub("", text)


def say(line: str) -> None:
    """One line on stderr, if there is a stderr."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError), above(sys.stderr):
            print(plain(line), file=sys.stderr, flush=True)


def put(line: str) -> None:
    """One line on stdout; what is no text does not reach a terminal."""
    if sys.stdout is not None:
        with above(sys.stdout):
            print(plain(line) if sys.stdout.isatty() else line, flush=True)


class RowErrors:
    """Says the first errors of each code, and in the end how many more there were."""

    def __init__(self) -> None:
        self._counts = Counter[str]()

    def say(self, error: LlmcliError) -> None:
        """Say one, or count it."""
        self._counts[error.code] += 1
        if self._counts[error.code] <= FIRST:
            say(error.line())

    def close(self) -> None:
        """Say what was only counted."""
        for code, count in self._counts.items():
            if count > FIRST:
                say(f"llmcli: error[{code}]: {count - FIRST:,} more rows")


def human(size: int) -> str:
    """A number of bytes, for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
