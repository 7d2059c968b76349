"""Word embeddings: the vectors that a model has for tokens, how near they are, and a map of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from llmcli.errors import InputError
from llmcli.inspecting import forward, pieces
from llmcli.inspecting.pieces import Token
from llmcli.inspecting.scores import Likely

AT_ONCE = 1 << 15
"""Rows of the embedding matrix that are compared together."""


@dataclass(frozen=True)
class Word:
    """A word: its tokens, and the tokens of the vocabulary whose vectors point nearest its own (cosine, -1 to 1).

    The vector of a word of several tokens is their mean.
    """

    text: str
    tokens: list[Token]
    nearest: list[Likely]


@dataclass(frozen=True)
class Embedded:
    """Words, their vectors (words, width), and the cosines between them (words, words).

    ``map``: two coordinates a word, the first two principal components.
    """

    words: list[Word]
    vectors: torch.Tensor
    cosines: torch.Tensor
    map: torch.Tensor


@torch.inference_mode()
def embedded(model: Any, words: Sequence[str], *, top: int) -> Embedded:
    """The rows of the embedding matrix that stand for words. Raises InputError for a word without a token."""
    matrix = model.model.get_input_embeddings().weight
    spelled = [_tokens(model.encoder, word) for word in words]
    vectors = forward.finite(torch.stack([matrix[[token.id for token in tokens]].mean(0) for tokens in spelled]))
    unit = torch.nn.functional.normalize(vectors, dim=-1)
    named = _nearest(model, matrix, unit, spelled, top)
    found = [Word(word, tokens, near) for word, tokens, near in zip(words, spelled, named, strict=True)]
    return Embedded(found, vectors, unit @ unit.T, _components(unit))


def _tokens(encoder: Any, word: str) -> list[Token]:
    """A word's tokens, as it stands within a text: with a blank before it, where that takes fewer tokens."""
    spelled = [encoder.ids(word), encoder.ids(f" {word}")]
    ids = min(reversed(spelled), key=len)
    if not ids:
        raise InputError("a word has no token", code="empty")
    return pieces.of_ids(encoder, ids)


def _nearest(
    model: Any, matrix: torch.Tensor, unit: torch.Tensor, spelled: Sequence[Sequence[Token]], top: int
) -> list[list[Likely]]:
    """Of each word the nearest tokens, its own left out."""
    cosines = torch.cat([torch.nn.functional.normalize(part.float(), dim=-1) @ unit.T.to(part.device)
                         for part in torch.split(matrix, AT_ONCE)]).T.cpu()  # fmt: skip
    cosines = torch.nan_to_num(cosines, nan=-1.0)[:, : len(model.encoder.tokenizer)]
    found = []
    for row, own in zip(cosines, spelled, strict=True):
        row[[token.id for token in own]] = -2.0
        best = row.topk(min(top, len(row)))
        named = pieces.of_ids(model.encoder, best.indices.tolist())
        found.append([Likely(token, value) for token, value in zip(named, best.values.tolist(), strict=True)])
    return found


def _components(unit: torch.Tensor) -> torch.Tensor:
    """The first two principal components, (words, 2); each one's largest value is positive, so that they are fixed."""
    middle = unit - unit.mean(0)
    u, s, _ = torch.linalg.svd(middle, full_matrices=False)
    plane = torch.nn.functional.pad((u * s)[:, :2], (0, max(0, 2 - min(unit.shape))))
    peaks = plane.gather(0, plane.abs().argmax(0, keepdim=True))
    return plane * torch.where(peaks < 0, -1.0, 1.0)
