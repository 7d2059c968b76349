"""A causal language model with a probe: labels are told from the state of a prompt's last token, behind a layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from llmcli.errors import ModelError, UsageError
from llmcli.models.adapters import Probe
from llmcli.pipelines.causal import CausalModel
from llmcli.pipelines.protocol import Choice
from llmcli.pipelines.stopping import check_finite
from llmcli.pipelines.tokens import Encoded, Encoder
from llmcli.text.prompts import Rendered


class ProbeModel(CausalModel):
    """Its labels are the probe's own; all else is the base model's."""

    def __init__(self, model: Any, encoder: Encoder, *, probe: Probe, **options: Any) -> None:
        super().__init__(model, encoder, **options)
        self._probe = probe

    def choose(
        self, prompts: Sequence[Rendered], labels: Mapping[str, Sequence[str]], *, multi: bool = False
    ) -> list[Choice]:
        """See Model. Raises UsageError for other labels than the probe's."""
        if multi or set(labels) != {*self._probe.labels}:
            raise UsageError(f"the model was trained for other labels: {', '.join(self._probe.labels)}",
                             code="other-labels", hint="leave out --labels and --multi")  # fmt: skip
        encoded = [self.encoder.prompt(prompt) for prompt in prompts]
        probe = self._probe

        def work(batch: list[Encoded]) -> list[Choice]:
            states = last_states(self.model, batch, layers=[probe.layer])[0]
            scores = states @ probe.weight.to(states).T + probe.bias.to(states)
            check_finite(scores)
            return [Choice(dict(zip(probe.labels, p, strict=True)), len(item))
                    for p, item in zip(scores.softmax(-1).tolist(), batch, strict=True)]  # fmt: skip

        return self.batched(encoded, [len(item) for item in encoded], work)


class _Enough(Exception):
    """All states that are wanted were seen."""


def depth(model: Any) -> int:
    """How many layers a model has."""
    return len(_layers(model))


def _layers(model: Any) -> Any:
    """A model's layers: the longest list of modules that it holds. Raises ModelError where there is none."""
    lists = [module for module in model.base_model.modules() if isinstance(module, torch.nn.ModuleList)]
    if not lists:
        raise ModelError(f"a {type(model).__name__} has no layers that a probe could read", code="wrong-task")
    return max(lists, key=len)


@torch.inference_mode()
def last_states(model: Any, prompts: Sequence[Encoded], *, layers: Sequence[int]) -> list[torch.Tensor]:
    """The states of prompts' last tokens behind some layers, counted from 1, (rows, width) in float32 each.

    Rows are padded on the right; no layer behind the last one that is wanted is run.
    """
    rows = [[*item.prefix, *item.row] for item in prompts]
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=model.device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=model.device)
    last, every = mask.sum(-1) - 1, torch.arange(len(rows), device=model.device)
    found: dict[int, torch.Tensor] = {}

    def seen(layer: int, made: Any) -> None:
        states = made[0] if isinstance(made, tuple) else made
        found[layer] = states[every, last].float()
        if layer == max(layers):
            raise _Enough

    def hook(layer: int) -> Any:
        return lambda module, given, made: seen(layer, made)

    hooks = [_layers(model)[layer - 1].register_forward_hook(hook(layer)) for layer in layers]
    try:
        model.base_model(input_ids=ids, attention_mask=mask, use_cache=False)
    except _Enough:
        pass
    finally:
        for one in hooks:
            one.remove()
    return [found[layer] for layer in layers]
