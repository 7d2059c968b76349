"""What is said while work goes on: a line on stderr, and the stages of a model's first use."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Protocol

Report = Callable[[str, float], None]
"""Hears the stages of a model's first use: a name, and the share of the work done (0-1)."""


class Introduced(Protocol):
    """A report that can say first which model it is about."""

    def introduce(self, name: str, lines: list[str]) -> None:
        """Say which model it is, and the lines that the user is told first."""

    def __call__(self, stage: str, share: float) -> None:
        """Show how far it is."""


def unheard(stage: str, share: float) -> None:
    """A report to nobody."""


def say(line: str) -> None:
    """One line on stderr, if there is a stderr."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(line, file=sys.stderr, flush=True)


def human(size: int) -> str:
    """A number of bytes, for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
