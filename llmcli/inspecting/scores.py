"""How likely a model finds each token of a text, and what it would have said instead."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from llmcli.errors import ModelError
from llmcli.inspecting import forward, pieces
from llmcli.inspecting.forward import Target
from llmcli.inspecting.pieces import Token


@dataclass(frozen=True)
class Likely:
    """A token, and its probability (0-1)."""

    token: Token
    probability: float


@dataclass(frozen=True)
class Scored:
    """A token of a text: the natural logarithm of its probability after those before it, its rank among all tokens
    (1: none was likelier), and the likeliest ones. The first token has none of them: nothing stands before it.
    """

    token: Token
    log_probability: float | None
    rank: int | None
    likely: list[Likely]

    @property
    def probability(self) -> float | None:
        """From 0 to 1."""
        return None if self.log_probability is None else math.exp(self.log_probability)


def scores(model: Any, text: str, target: Target | None, *, top: int) -> list[Scored]:
    """Each token's score; of an encoder-decoder those of what it writes. Raises ModelError, GenerationError."""
    if not tells(model.model):
        raise ModelError(f"a {type(model.model).__name__} tells no probabilities of tokens", code="wrong-task",
                         hint="give a model that generates text: -m gemma-3-270m")  # fmt: skip
    found = forward.run(model, text, target)
    log_p = log_probabilities(found.output.logits[0])
    scored = [] if found.written else [Scored(found.read[0], None, None, [])]
    return scored + [_scored(model, row, token, top) for token, row in zip(found.answers, log_p, strict=False)]


def tells(module: Any) -> bool:
    """Whether a model has a head for the next token."""
    return module.get_output_embeddings() is not None and bool(module.can_generate())


def log_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """The logarithms of softmax, in float32."""
    return forward.finite(logits).log_softmax(-1)


def likeliest(model: Any, log_p: torch.Tensor, top: int) -> list[Likely]:
    """The likeliest tokens of a row of log-probabilities, (vocabulary)."""
    best = log_p.topk(min(top, len(log_p)))
    named = pieces.of_ids(model.encoder, best.indices.tolist())
    return [Likely(token, math.exp(value)) for token, value in zip(named, best.values.tolist(), strict=True)]


def _scored(model: Any, log_p: torch.Tensor, token: Token, top: int) -> Scored:
    value = float(log_p[token.id])
    return Scored(token, value, int((log_p > value).sum()) + 1, likeliest(model, log_p, top))
