"""The cheapest training: a temperature, and a bias for each label, on the scores of the prompt as it is.

Method: Platt scaling of several classes, as Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

PULL = 0.001
"""How strongly a temperature of 1 and no bias are preferred: of few rows little is believed."""


@dataclass(frozen=True)
class Calibration:
    """What divides log-probabilities, and what is added to each label's before."""

    temperature: float
    bias: dict[str, float]


def fit(scores: Sequence[Mapping[str, float]], gold: Sequence[str], *, biases: bool = True) -> Calibration:
    """The calibration under which the right labels are likeliest. ``scores``: each row's, of all labels."""
    labels = list(scores[0])
    log_p = (
        torch.tensor([[row[label] for label in labels] for row in scores], dtype=torch.float64).clamp(min=1e-30).log()
    )
    right = torch.tensor([labels.index(label) for label in gold])
    heat = torch.zeros((), dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(len(labels), dtype=torch.float64, requires_grad=True)
    free = [heat, bias] if biases else [heat]
    optimizer = torch.optim.LBFGS(free, max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        likelihood = torch.nn.functional.cross_entropy((log_p + bias) / heat.exp(), right)
        total: torch.Tensor = likelihood + PULL * (heat.square() + bias.square().sum())
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    middle = bias.detach() - bias.detach().mean()
    return Calibration(float(heat.detach().exp()), dict(zip(labels, middle.tolist(), strict=True)))
