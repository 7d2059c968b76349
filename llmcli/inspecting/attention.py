"""Attention: how much of each token every head takes into another, and how one head comes to its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from llmcli.errors import ModelError, UsageError
from llmcli.inspecting import forward, opening, recording
from llmcli.inspecting.forward import Target
from llmcli.inspecting.pieces import Token

Part = Literal["self", "encoder", "decoder", "cross"]
SAME = 1e-4
"""How far softmax of the scores may be from the weights that the model used."""


@dataclass(frozen=True)
class Attention:
    """``weights``: of each layer (heads, queries, keys), each query's weights summing to 1; None for a layer that has
    no attention, or does not tell its weights. ``queries`` take from ``keys``.
    """

    part: Part
    queries: list[Token]
    keys: list[Token]
    weights: list[torch.Tensor | None]

    def layer(self, number: int | None) -> tuple[int, torch.Tensor]:
        """A layer, (heads, queries, keys), and its number; None: the last that has attention. Raises UsageError."""
        known = [place for place, weights in enumerate(self.weights) if weights is not None]
        number = known[-1] if number is None else number
        if number not in known:
            raise UsageError(f"there is no layer {number} with attention", hint=f"layers: {_span(known)}")
        weights = self.weights[number]
        assert weights is not None  # it is known
        return number, weights

    def head(self, layer: int, number: int) -> torch.Tensor:
        """A head's weights, (queries, keys). Raises UsageError."""
        _, weights = self.layer(layer)
        if not 0 <= number < len(weights):
            raise UsageError(f"there is no head {number}", hint=f"heads of layer {layer}: {_span(range(len(weights)))}")
        return weights[number]


UNSEEN = -1e4
"""A mask below this hides a key."""


@dataclass(frozen=True)
class Row:
    """How a head comes to the weights of one query: softmax(q·k · scale + mask). All of (keys); ``width`` is d.

    ``masks``: what is added to each score before softmax: nothing, a bias of the distance, or so much below zero that
    the key is not seen.
    """

    dots: list[float]
    scaled: list[float]
    masks: list[float]
    weights: list[float]
    scale: float
    width: int


def attention(model: Any, text: str, target: Target | None, *, part: Part | None) -> Attention:
    """The weights of all layers and heads. ``part``: of an encoder-decoder; None: what its decoder takes of the source.

    Raises ModelError for a model that has no attention, or does not tell its weights; UsageError.
    """
    opening.eager(model.model)
    found = forward.run(model, text, target, output_attentions=True)
    queries, keys = found.read, found.read
    if found.written:
        part = "cross" if part in (None, "self") else part
        queries = found.read if part == "encoder" else found.written
        keys = found.written if part == "decoder" else found.read
        name = "cross_attentions" if part == "cross" else f"{part}_attentions"
    elif part not in (None, "self"):
        raise UsageError(f"--part {part} is for encoder-decoders")
    else:
        part, name = "self", "attentions"
    told = getattr(found.output, name, None) or getattr(found.output, f"encoder_{name}", None) or ()
    weights = [_weights(one, queries, keys) for one in told]
    if not any(one is not None for one in weights):
        raise ModelError(f"a {type(model.model).__name__} does not tell attention weights", code="no-attention",
                         hint="give another --model")  # fmt: skip
    return Attention(part, queries, keys, weights)


def _weights(told: Any, queries: Sequence[Token], keys: Sequence[Token]) -> torch.Tensor | None:
    """A layer's weights, (heads, queries, keys); None of what has another shape: windows and blocks of some models."""
    if not isinstance(told, torch.Tensor) or told.dim() != 4 or told.shape[2:] != (len(queries), len(keys)):
        return None
    return forward.finite(told[0])


def row(model: Any, text: str, weights: torch.Tensor, *, layer: int, head: int, query: int) -> Row:
    """How a head of a decoder, or of an encoder alone, comes to its ``weights`` (queries, keys) of one query.

    Raises ModelError where softmax of the scores does not give them: then the model does more than the formula.
    """
    module = model.model
    refused = ModelError(f"the attention of a {type(module).__name__} is not softmax(QKᵀ/√d) alone, or cannot be taken "
                         "apart", code="no-attention", hint="leave out --token")  # fmt: skip
    try:
        opening.eager(module, recording.NAME)
        with recording.calls() as calls:
            forward.run(model, text)
    except ModelError:
        raise refused from None
    finally:
        opening.eager(module)
    if layer >= len(calls):
        raise refused
    call = calls[layer]
    q, k = call.query[0, head, query], call.key[0, head * call.key.shape[1] // call.query.shape[1]]
    dots = (k @ q).float().cpu()
    scaled = dots * call.scale
    masked = torch.zeros_like(scaled) if call.mask is None else call.mask[0, -1, query, : len(scaled)].float().cpu()
    if not torch.allclose((scaled + masked).softmax(-1), weights[query], atol=SAME):
        raise refused
    return Row(dots.tolist(), scaled.tolist(), masked.tolist(), weights[query].tolist(), call.scale, q.shape[-1])


def _span(numbers: Sequence[int]) -> str:
    whole = list(numbers) == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]} to {numbers[-1]}" if whole else ", ".join(map(str, numbers))
