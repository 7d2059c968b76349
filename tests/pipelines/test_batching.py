"""Batches are halved where memory runs out, and what did not fit is not tried again."""

from __future__ import annotations

import pytest

from llmcli import reports
from llmcli.errors import OutOfMemory
from llmcli.pipelines import batching
from llmcli.pipelines.batching import Budget

LENGTHS = [5, 1, 9, 3, 3, 8, 2, 7]
FULL = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")


@pytest.mark.parametrize("fits", [1, 2, 3, 100])
@pytest.mark.parametrize("error", [FULL, MemoryError(), RuntimeError("CUDA out of memory")])
def test_halving(fits: int, error: Exception):
    tried: list[int] = []

    def work(batch: list[int]) -> list[int]:
        tried.append(len(batch))
        if len(batch) > fits:
            raise error
        return [10 * item for item in batch]

    budget = Budget(rows=8, tokens=1000)
    items = list(range(len(LENGTHS)))
    assert batching.run(items, LENGTHS, work, budget=budget) == [10 * item for item in items]
    assert budget.rows <= max(fits, 1) or fits >= 8
    failures = [size for size in tried if size > fits]
    assert failures == sorted(set(failures), reverse=True)  # no size fails twice


def test_a_single_row_that_does_not_fit():
    def work(batch: list[int]) -> list[int]:
        raise FULL

    with pytest.raises(OutOfMemory, match="a single row"):
        batching.run([1, 2], [1, 1], work, budget=Budget(rows=2, tokens=100))


def test_other_errors_are_not_hidden():
    def work(batch: list[int]) -> list[int]:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        batching.run([1], [1], work, budget=Budget(rows=2, tokens=100))


def test_how_far_the_work_is_is_told(monkeypatch):
    monkeypatch.setattr(reports, "PACE", -1.0)
    heard: list[tuple[str, float]] = []
    with reports.heard(lambda stage, share: heard.append((stage, share))):
        batching.run([1, 2, 3, 4], [1, 1, 1, 1], list, budget=Budget(rows=1, tokens=9), stage=reports.WRITING)
    batching.run([1], [1], list, budget=Budget(rows=1, tokens=9))
    assert heard == [(reports.WRITING, share) for share in (0.25, 0.5, 0.75, 1.0)]
