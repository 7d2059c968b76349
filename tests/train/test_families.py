"""Every architecture that the tests build is trained, or refused in a sentence."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from llmcli.errors import ModelError
from llmcli.train import lora, objectives
from llmcli.train.objectives import Item
from tests.support import families

ITEMS = [Item((5, 6, 7, 8, 9, 10), (9, 10, 11)), Item((12, 13, 14, 15), (15, 16)), Item((5, 9, 21), (22,))]
"""Of three lengths: the shorter ones are padded."""
REFUSED = {"recurrent-gemma": "mixes the texts"}
"""Families that are refused when they are loaded, whatever they are to do."""


def losses(name: str, kind: str, items: list[Item]) -> tuple[Any, Any, list[float]]:
    """The adapter, the objective, and the losses of the steps of a training."""
    model = families.build(name, scale=1.0)
    made = objectives.of(SimpleNamespace(model=model, encoder=None, context_window=256), kind)
    adapter = lora.inject(model, rank=4, seed=1, pipeline=kind)
    optimizer = torch.optim.AdamW([*adapter.parameters.values()], lr=0.01, weight_decay=0.0)
    found = []
    for _ in range(6):
        optimizer.zero_grad()
        loss = made.loss(items)
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    return adapter, made, found


@pytest.mark.parametrize("name", [name for name in families.CAUSAL if name not in REFUSED])
def test_a_causal_family_is_trained(name: str):
    adapter, made, found = losses(name, "causal", ITEMS)
    assert found[-1] < found[0]
    with torch.no_grad():
        before = float(made.loss(ITEMS))
        adapter.merge(made._model)
        assert float(made.loss(ITEMS)) == pytest.approx(before, rel=1e-3)
        # Rows beside others are as they are alone.
        assert sum(float(made.loss([item])) for item in ITEMS) == pytest.approx(before, rel=2e-3)


@pytest.mark.parametrize("name", families.SEQ2SEQ)
def test_an_encoder_decoder_is_trained(name: str):
    items = [Item((5, 6, 7, 8), (9, 10, 2)), Item((12, 13), (14, 2))]
    adapter, made, found = losses(name, "seq2seq", items)
    assert found[-1] < found[0]
    with torch.no_grad():
        before = float(made.loss(items))
        adapter.merge(made._model)
        assert float(made.loss(items)) == pytest.approx(before, rel=1e-3)


@pytest.mark.parametrize("kind", ["zero-shot", "question-answering"])
def test_other_heads_are_refused(kind: str):
    with pytest.raises(ModelError, match="not trained here"):
        objectives.of(SimpleNamespace(model=None), kind)
