"""How large batches are planned, from a simulated memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from llmcli.pipelines import batching, budgets
from llmcli.pipelines.batching import Budget

SMALL = {"hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
         "intermediate_size": 1536, "vocab_size": 49152}  # fmt: skip
LARGE = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
         "intermediate_size": 14336, "vocab_size": 128256}  # fmt: skip
GPT2 = {"n_embd": 768, "n_layer": 12, "n_head": 12, "num_attention_heads": 12, "num_hidden_layers": 12,
        "hidden_size": 768, "vocab_size": 50257}  # fmt: skip
GIB = 1 << 30


def fitting(config: dict[str, int], free: int) -> Budget:
    return budgets.fitting(SimpleNamespace(**config), free=free, width=2)


@pytest.mark.parametrize("config", [SMALL, LARGE, GPT2])
@pytest.mark.parametrize("free", [0, GIB // 8, GIB, 24 * GIB, 130 * GIB])
def test_what_is_planned_fits_the_memory(config: dict[str, int], free: int):
    found = fitting(config, free)
    heads = config.get("num_key_value_heads", config["num_attention_heads"])
    width = config["hidden_size"] // config["num_attention_heads"]
    cache = 2 * 2 * config["num_hidden_layers"] * heads * width
    assert found.holds == 1 or found.holds * cache <= free
    assert found.tokens == 1 or found.tokens * (cache + 2 * 4 * config["hidden_size"]) <= free
    assert found.most == 1 or found.most * config["vocab_size"] * 4 <= free
    assert 1 <= found.rows <= max(found.most, 1) <= budgets.MOST


def test_more_memory_is_more_rows():
    found = [fitting(LARGE, free) for free in (GIB // 8, GIB, 24 * GIB)]
    assert [one.slots(500, 256, 1) for one in found] == sorted({one.slots(500, 256, 1) for one in found})
    assert found[0].slots(500, 256, 4) <= found[0].slots(500, 256, 1)


@pytest.mark.parametrize(("free", "most", "rows"), [
    (None, 4096, 32), (64 * GIB, 4096, 32), (GIB, 256, 32), (GIB, 4096, 3), (0, 256, 1),
])  # fmt: skip
def test_a_cpu_writes_what_its_memory_holds(free: int | None, most: int, rows: int):
    found = budgets.on_cpu(SimpleNamespace(**SMALL), free=free, width=4)
    assert (found.rows, found.tokens, found.most) == (budgets.ROWS, budgets.TOKENS, 0)
    assert found.slots(100, most, 1) == rows
    assert found.slots(100, most, 4) == max(rows // 4, 1)
    found.shrink(4, 400)
    assert (found.rows, found.most) == (2, 0)


@pytest.mark.parametrize(("gains", "rows"), [(2048, 2048), (512, 512), (256, 256)])
def test_batches_grow_while_that_is_quicker(gains: int, rows: int):
    """A device that is as quick for any batch up to ``gains`` rows, and then takes its time for each row."""
    budget = Budget(256, 1 << 40, most=2048)
    for _ in range(12):
        count = budget.rows
        budget.measured(count, 10 * count, max(1.0, count / gains))
    assert budget.rows == rows


def test_what_did_not_fit_is_not_tried_again():
    budget = Budget(256, 1 << 20, most=2048, holds=1 << 20)
    budget.shrink(256, 4096)
    for _ in range(3):
        budget.measured(budget.rows, budget.rows, 1e-3)
    assert (budget.rows, budget.most, budget.slots(8, 8, 1) <= 128) == (128, 128, True)


@pytest.mark.parametrize("budget", [Budget(3, 40), Budget(100, 1 << 20, most=200, holds=120)])
def test_each_row_is_written_once(budget: Budget):
    lengths = {place: place % 7 + 1 for place in range(20)}
    runs: list[tuple[list[int], int]] = []

    def work(part: list[int], done: Any, at_once: int) -> None:
        runs.append((part, at_once))
        for place in reversed(part):
            done(place)

    batching.flow(lengths, work, budget=budget, each=1, most=8)
    assert sorted(place for part, _ in runs for place in part) == [*range(20)]
    for part, at_once in runs:
        longest = lengths[part[0]]
        assert longest == max(lengths[place] for place in part)
        assert at_once * ((longest + 8) if budget.holds else longest) <= (budget.holds or budget.tokens)


def test_the_last_row_of_many_is_tried_by_itself():
    tried: list[tuple[list[int], int]] = []

    def work(part: list[int], done: Any, at_once: int) -> None:
        tried.append((part, at_once))
        for place in part[:-1] if at_once > 2 else part:
            done(place)
        if at_once > 2:
            raise MemoryError

    budget = Budget(8, 1 << 20)
    batching.flow(dict.fromkeys(range(4), 5), work, budget=budget, each=2, most=8)
    assert tried == [([0, 1, 2, 3], 8), ([3], 2)]
    assert (budget.rows, budget.most) == (4, 0)
