"""Attention that keeps its queries and keys: each model's own eager attention, listened to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from llmcli.errors import ModelError

NAME = "llmcli_recorded"


@dataclass(frozen=True)
class Call:
    """A layer's queries and keys, (rows, heads, tokens, width), what their products are multiplied with, and what is
    added to them, (rows, 1, tokens, tokens).
    """

    query: torch.Tensor
    key: torch.Tensor
    scale: float
    mask: torch.Tensor | None


_calls: ContextVar[list[Call] | None] = ContextVar("calls", default=None)


@contextmanager
def calls() -> Iterator[list[Call]]:
    """All calls within this, in their order: a layer each."""
    kept: list[Call] = []
    before = _calls.set(kept)
    try:
        yield kept
    finally:
        _calls.reset(before)


def _recorded(module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
              attention_mask: torch.Tensor | None, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    own = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    if own is None:
        raise ModelError(f"the attention of a {type(module).__name__} cannot be taken apart", code="no-attention")
    scale = options.get("scaling")
    kept = _calls.get()
    if kept is not None:
        kept.append(Call(query, key, query.shape[-1] ** -0.5 if scale is None else float(scale), attention_mask))
    output, weights = own(module, query, key, value, attention_mask, **options)
    return output, weights


AttentionInterface.register(NAME, _recorded)
AttentionMaskInterface.register(NAME, eager_mask)
