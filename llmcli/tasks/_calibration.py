"""Probabilities of labels without what the prompt itself prefers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from llmcli.text.prompts import Rendered

if TYPE_CHECKING:
    from llmcli.config.run_config import AnyConfig
    from llmcli.pipelines.protocol import Model

PRIORS = 64
"""How many prompts' preferences are remembered for a loaded model."""
_priors: WeakKeyDictionary[Model, dict[str, dict[str, float]]] = WeakKeyDictionary()
"""What :func:`prior` measured on each loaded model."""


def prior(
    model: Model, neutral: Sequence[Rendered], words: Mapping[str, Sequence[str]], *, multi: bool
) -> dict[str, float]:
    """What the prompt alone prefers: each label's mean log-probability over texts without content."""
    if not neutral:
        return dict.fromkeys(words, 0.0)
    measured, key = _priors.setdefault(model, {}), repr((neutral, words, multi))
    if key not in measured:
        if len(measured) == PRIORS:
            measured.clear()
        choices = model.choose(neutral, words, multi=multi)
        measured[key] = {
            name: sum(math.log(max(choice.scores[name], 1e-30)) for choice in choices) / len(choices) for name in words
        }
    return measured[key]


def calibrate(
    scores: Mapping[str, float], *, config: AnyConfig, prior: Mapping[str, float], multi: bool
) -> dict[str, float]:
    """Probabilities without the prompt's own preference, with each label's bias, at the label temperature.

    Method: Zhao et al., "Calibrate Before Use" (ICML 2021). A bias is a preference that was measured beforehand. Where
    several labels may hold, each is weighed against itself: above 0.5 where the text makes it likelier than no text.
    """
    bias = {label.name: label.bias - prior[label.name] for label in config.settings.labels or []}
    heat = config.settings.label_temperature or 1.0
    weights = {name: math.exp((math.log(max(p, 1e-30)) + bias[name]) / heat) for name, p in scores.items()}
    if multi:
        return {name: weight / (1 + weight) for name, weight in weights.items()}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}
