"""Length-sorted batches within a token budget, halved when memory runs out; the size that works is remembered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from llmcli import reports
from llmcli.errors import OutOfMemory, out_of_memory
from llmcli.reports import READING

T = TypeVar("T")
R = TypeVar("R")


def plan(lengths: Sequence[int], *, rows: int, tokens: int, padded: bool = True) -> Iterator[list[int]]:
    """Group row numbers, longest first, into batches of at most ``rows`` rows and ``tokens`` padded tokens.

    Without ``padded`` a batch holds rows of one length.
    """
    batch: list[int] = []
    width = 0
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        width = width or max(lengths[index], 1)
        if batch and (
            len(batch) >= rows or (len(batch) + 1) * width > tokens or not (padded or lengths[index] == width)
        ):
            yield batch
            batch, width = [], max(lengths[index], 1)
        batch.append(index)
    if batch:
        yield batch


GAIN = 1.1
"""What twice as many rows must be worth, in tokens a second, to stay with them."""
LOOKS = 2
"""Batches of a size that are measured: the first one of a size prepares what later ones find ready."""


@dataclass
class Budget:
    """The most rows and padded tokens of a batch. What ran out of memory once is not tried again.

    ``most``: rows up to which it grows, twofold each time, while that is quicker; 0 where it does not. ``holds``:
    tokens that the caches of texts that are written may hold together; 0 where that is not known.
    """

    rows: int
    tokens: int
    most: int = 0
    holds: int = 0
    speeds: dict[int, list[float]] = field(default_factory=dict)

    def shrink(self, rows: int, tokens: int) -> None:
        """Remember that so large a batch did not fit."""
        self.rows, self.tokens = max(min(self.rows, rows // 2), 1), max(min(self.tokens, tokens // 2), 1)
        self.most, self.holds = self.most and self.rows, self.holds and max(min(self.holds, tokens // 2), 1)

    def measured(self, rows: int, tokens: int, seconds: float) -> None:
        """Grow, or go back, by what a batch of that many rows took."""
        if rows != self.rows or rows >= self.most:
            return
        found = self.speeds.setdefault(rows, [])
        found.append(tokens / max(seconds, 1e-9))
        if len(found) < LOOKS:
            return
        before = self.speeds.get(rows // 2)
        if before is not None and max(found) < GAIN * max(before):
            self.rows = self.most = rows // 2
        else:
            self.rows = min(2 * rows, self.most)

    def slots(self, size: int, most: int, each: int) -> int:
        """How many prompts of ``size`` tokens are completed together, each in ``each`` texts of ``most`` tokens."""
        fit = max(self.holds // (size + most), 1) if self.holds else self.rows
        # Where it grows, a power of two: slots are made so many at a time.
        fit = 1 << (fit.bit_length() - 1) if self.most else min(fit, self.tokens // max(size, 1) * each)
        return max(min(self.rows, fit) // each, 1)


def run(
    items: Sequence[T],
    lengths: Sequence[int],
    work: Callable[[list[T]], list[R]],
    *,
    budget: Budget,
    padded: bool = True,
    stage: str = READING,
) -> list[R]:
    """Apply ``work`` batch by batch; one result an item, in the items' order. How far it is, is told as ``stage``.

    Raises OutOfMemory where memory runs out for one item alone.
    """
    results: dict[int, R] = {}
    waiting = list(range(len(items)))
    while waiting:
        sizes = [lengths[index] for index in waiting]
        for places in plan(sizes, rows=budget.rows, tokens=budget.tokens, padded=padded):
            batch = [waiting[place] for place in places]
            begin = time.perf_counter()
            try:
                found = work([items[index] for index in batch])
            except (RuntimeError, MemoryError) as error:
                _shrink(budget, len(batch), len(batch) * max(lengths[index] for index in batch), error)
                break  # and plan what is left anew
            results.update(zip(batch, found, strict=True))
            reports.tell(stage, len(results) / len(items))
            rows = budget.rows
            budget.measured(len(batch), sum(lengths[index] for index in batch), time.perf_counter() - begin)
            if budget.rows != rows:
                break
        waiting = [index for index in waiting if index not in results]
    return [results[index] for index in range(len(items))]


Write = Callable[[list[int], Callable[[int], None], int], None]
"""Writes the texts of rows, whose numbers are given, so many at once, and says which row is done."""


def flow(lengths: Mapping[int, int], work: Write, *, budget: Budget, each: int, most: int) -> None:
    """Have rows written, the longest first, in runs that hold as many as fit the longest of the run.

    Raises OutOfMemory where memory runs out for one row alone.
    """
    waiting = sorted(lengths, key=lambda place: (-lengths[place], place))
    while waiting:
        longest = lengths[waiting[0]]
        slots = budget.slots(longest, most, each)
        # Where twice as many of the rest would fit, they make a run of their own.
        part = [place for place in waiting if budget.slots(lengths[place], most, each) < 2 * slots]
        count, over, begin = min(slots, len(part)) * each, set[int](), time.perf_counter()
        try:
            work(part, over.add, count)
        except (RuntimeError, MemoryError) as error:
            tokens = count * (longest + most if budget.holds else longest)
            _shrink(budget, count if count > each else 1, tokens, error)
        else:
            budget.measured(count, len(part), time.perf_counter() - begin)
        waiting = [place for place in waiting if place not in over]


def _shrink(budget: Budget, rows: int, tokens: int, error: Exception) -> None:
    """Halve the budget of a batch of ``rows`` that ran out of memory; any other error goes on."""
    if not out_of_memory(error):
        raise error
    if rows == 1:
        raise OutOfMemory("out of memory with a single row", hint="try a shorter text") from error
    budget.shrink(rows, tokens)
