"""The last line of a terminal, that says what goes on. It gives way to whatever is printed, and hides no cursor."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Self

from llmcli import reports

DELAY, PERIOD = 1.0, 0.2
"""Seconds before it is first drawn, and between two drawings."""
WIDTH = 80
"""Columns of a terminal that does not tell how many it has."""


def terminal() -> bool:
    """Whether stderr is a terminal that can erase a line."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class Line:
    """Shows a text, as it is at the moment, as long as the context lasts."""

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text
        self._marks = itertools.cycle("|/-\\")
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._drawn = False
        self._free = True
        """Whether the cursor is where a line begins."""

    def __enter__(self) -> Self:
        reports.give_way(self.above)
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        reports.give_way(None)
        self._ended.set()
        with self._lock:
            self._erase()

    @contextlib.contextmanager
    def above(self, *, ends: bool) -> Iterator[None]:
        """Print to the terminal within this. ``ends``: what is printed ends its line."""
        with self._lock:
            self._erase()
            yield
            self._free = ends

    def _run(self) -> None:
        seconds = DELAY
        while not self._ended.wait(seconds):
            seconds = PERIOD
            with self._lock:
                if self._free and not self._ended.is_set() and (text := self._text()):
                    self._draw(f"{next(self._marks)} {reports.plain(text)}")

    def _draw(self, text: str) -> None:
        with contextlib.suppress(OSError):
            columns = os.get_terminal_size(2).columns or WIDTH
            sys.stderr.write(f"\r{fitted(text, columns - 1)}\x1b[K")
            sys.stderr.flush()
            self._drawn = True

    def _erase(self) -> None:
        if self._drawn:
            self._drawn = False
            with contextlib.suppress(OSError):
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()


def fitted(text: str, columns: int) -> str:
    """The beginning of a text that fits; a character beyond ASCII is taken for a wide one."""
    widths = itertools.accumulate(1 if c.isascii() else 2 for c in text)
    return text[: sum(width <= columns for width in widths)]
