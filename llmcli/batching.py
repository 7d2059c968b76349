"""Length-sorted batches within a token budget, halved when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from llmcli.errors import OutOfMemory

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


def run(
    items: Sequence[T],
    lengths: Sequence[int],
    work: Callable[[list[T]], list[R]],
    *,
    rows: int,
    tokens: int,
    padded: bool = True,
) -> list[R]:
    """Apply ``work`` batch by batch; one result an item, in the items' order.

    Raises OutOfMemory where memory runs out for one item alone.
    """
    results: dict[int, R] = {}
    for batch in plan(lengths, rows=rows, tokens=tokens, padded=padded):
        for index, result in zip(batch, _halving([items[i] for i in batch], work), strict=True):
            results[index] = result
    return [results[index] for index in range(len(items))]


def _halving(batch: list[T], work: Callable[[list[T]], list[R]]) -> list[R]:
    try:
        return work(batch)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        if len(batch) == 1:
            raise OutOfMemory("out of memory with a single row", hint="try a shorter text") from error
    half = len(batch) // 2
    return _halving(batch[:half], work) + _halving(batch[half:], work)


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out; torch on a CPU raises a plain RuntimeError for it."""
    text = str(error)
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text
