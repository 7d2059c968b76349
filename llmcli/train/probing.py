"""A logistic regression on a frozen state of the model, behind the task's own prompt without its examples.

Method: Alain and Bengio, "Understanding intermediate layers using linear classifier probes" (2016).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from llmcli.models.adapters import PROBE, Probe
from llmcli.pipelines.probe import depth, last_states
from llmcli.pipelines.tokens import Encoded
from llmcli.train.examples import Example

DEPTHS = (0.5, 0.75, 1.0)
"""Where states are read, of all layers."""
PULLS = (1e-3, 1e-2, 1e-1)
"""How strongly small weights are preferred: each is tried."""
BATCH = 16


def states(pipeline: Any, examples: Sequence[Example]) -> dict[int, torch.Tensor]:
    """The states of prompts' last tokens, (examples, width), behind each layer that is tried."""
    layers = sorted({max(round(depth(pipeline.model) * share), 1) for share in DEPTHS})
    prompts = [pipeline.encoder.prompt(example.prompt) for example in examples]
    order = sorted(range(len(prompts)), key=lambda at: len(prompts[at]))
    found: dict[int, list[torch.Tensor]] = {}
    for begin in range(0, len(order), BATCH):
        places = order[begin : begin + BATCH]
        batch: list[Encoded] = [prompts[at] for at in places]
        read = last_states(pipeline.model, batch, layers=layers)
        for row, at in enumerate(places):
            found[at] = [layer[row].cpu() for layer in read]
    return {layer: torch.stack([found[at][place] for at in range(len(prompts))]).clone()
            for place, layer in enumerate(layers)}  # fmt: skip


def fit(known: torch.Tensor, gold: Sequence[str], labels: tuple[str, ...], *, layer: int, pull: float) -> Probe:
    """The probe of some states, (rows, width); states are centred and scaled first, which its weights then hold."""
    mean, spread = known.mean(0), known.std(0).clamp(min=1e-4)
    scaled = (known - mean) / spread
    right = torch.tensor([labels.index(label) for label in gold])
    weight = torch.zeros(len(labels), known.shape[1], requires_grad=True)
    bias = torch.zeros(len(labels), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        likelihood = torch.nn.functional.cross_entropy(scaled @ weight.T + bias, right)
        total: torch.Tensor = likelihood + pull * weight.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    whole = weight.detach() / spread
    return Probe(layer, labels, whole, bias.detach() - whole @ mean)


def score(probe: Probe, unseen: torch.Tensor, gold: Sequence[str]) -> tuple[float, float]:
    """The share of states that it labels rightly, and the mean log-likelihood of their labels."""
    right = torch.tensor([probe.labels.index(label) for label in gold])
    log_p = (unseen @ probe.weight.T + probe.bias).log_softmax(-1)
    return float((log_p.argmax(-1) == right).float().mean()), float(log_p[torch.arange(len(right)), right].mean())


def save(probe: Probe, folder: Path) -> None:
    """Write a probe, as :func:`llmcli.models.adapters.probe` reads it."""
    save_file({"weight": probe.weight.contiguous(), "bias": probe.bias.contiguous()}, folder / PROBE,
              metadata={"format": "pt", "layer": str(probe.layer), "labels": json.dumps(probe.labels)})  # fmt: skip
