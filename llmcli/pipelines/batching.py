"""Length-sorted batches within a token budget, halved when memory runs out; the size that works is remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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


@dataclass
class Budget:
    """The most rows and padded tokens of a batch. What ran out of memory once is not tried again."""

    rows: int
    tokens: int

    def shrink(self, rows: int, tokens: int) -> None:
        """Remember that so large a batch did not fit."""
        self.rows, self.tokens = max(min(self.rows, rows // 2), 1), max(min(self.tokens, tokens // 2), 1)


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
            try:
                found = work([items[index] for index in batch])
            except (RuntimeError, MemoryError) as error:
                _shrink(budget, [lengths[index] for index in batch], error)
                break  # and plan what is left anew
            results.update(zip(batch, found, strict=True))
            reports.tell(stage, len(results) / len(items))
        waiting = [index for index in waiting if index not in results]
    return [results[index] for index in range(len(items))]


def _shrink(budget: Budget, lengths: Sequence[int], error: Exception) -> None:
    """Halve the budget of a batch that ran out of memory; any other error goes on."""
    if not out_of_memory(error):
        raise error
    if len(lengths) == 1:
        raise OutOfMemory("out of memory with a single row", hint="try a shorter text") from error
    budget.shrink(len(lengths), len(lengths) * max(lengths))
