"""How many requests are under way at once: more while a server keeps up, half as many when it says 429."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

FIRST, MOST = 4, 64
"""Requests at once: in the beginning, and at most where --batch-size says nothing."""


class Pace:
    """A number of places that grows by one for each round of answers, and is halved once for each wave of refusals.

    Additive increase, multiplicative decrease, as in TCP (Chiu and Jain, 1989).
    """

    def __init__(self, most: int = MOST) -> None:
        self.most, self.limit = most, float(min(FIRST, most))
        self._busy = 0
        self._pause = self._halved = 0.0
        self._refused = False
        self._freed = threading.Condition()

    @contextmanager
    def place(self) -> Iterator[float]:
        """A place, when there is one; gives when it was taken."""
        with self._freed:
            while self._busy >= max(1, int(self.limit)) or self._pause > time.monotonic():
                self._freed.wait(max(self._pause - time.monotonic(), 0) or None)
            self._busy += 1
        try:
            yield time.monotonic()
        finally:
            with self._freed:
                self._busy -= 1
                self._freed.notify_all()

    def answered(self) -> None:
        """An answer came: until the first refusal each makes room for one more, later a round of them does."""
        with self._freed:
            self.limit = min(self.limit + (1 / self.limit if self._refused else 1), float(self.most))

    def refused(self, since: float, *, wait: float) -> None:
        """A request that began at ``since`` was refused for the time being: nobody asks for ``wait`` seconds."""
        with self._freed:
            now = time.monotonic()
            self._refused = True
            if since > self._halved:
                self.limit, self._halved = max(1.0, self.limit / 2), now
            self._pause = max(self._pause, now + wait)
