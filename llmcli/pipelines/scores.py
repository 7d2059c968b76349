"""Scores of the next token: from hidden states to logits and log-probabilities.

A vocabulary of 262,144 makes a megabyte of scores for every row. What is wanted of them, the likeliest or a few
of a choice, is taken from a block of the vocabulary or some rows at a time, while they are in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from llmcli.pipelines.stopping import check_finite

FEW, MANY = 32, 256
"""Rows whose scores are held at once: of the whole vocabulary, and of a block of it."""
BLOCKS = 16
"""Rows from which blocks are quicker, measured on a processor with AVX2: for a matrix of (262144, 640) 0.9 of the 8-bit
kernel's time at 16 rows, 0.6 at 32, 0.4 at 128."""


def logits(model: Any, hidden: torch.Tensor) -> torch.Tensor:
    """(…, hidden) to (…, vocabulary) in float32, as the model itself computes them."""
    return _scaled(model, model.get_output_embeddings()(hidden).float())


def some_logits(model: Any, hidden: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
    """(…, hidden) to (…, ids): the logits of a few tokens, by their rows of the output matrix alone."""
    head = model.get_output_embeddings()
    chosen = torch.tensor(ids, device=hidden.device)
    weight = head.rows(chosen) if hasattr(head, "rows") else head.weight[chosen].float()
    bias = None if head.bias is None else head.bias[chosen].float()
    return _scaled(model, torch.nn.functional.linear(hidden.float(), weight, bias))


def log_p(model: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of the next token, (…, hidden) to (…, vocabulary)."""
    return logits(model, hidden).log_softmax(-1)


def likelihoods(model: Any, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of some tokens a row: (rows, hidden) and (rows, tokens) to (rows, tokens)."""
    parts = []
    for states, wanted in _parts(model, hidden, targets):
        rows = torch.arange(len(states), device=hidden.device)[:, None].expand_as(wanted)
        total, own = _Total(), torch.empty(wanted.shape, device=hidden.device)
        for begin, block in _blocks(model, states):
            total.add(block)
            here = (wanted >= begin) & (wanted < begin + len(block))
            own[here] = block[wanted[here] - begin, rows[here]]
        parts.append(own - total.log()[:, None])
    return torch.cat(parts)


def likeliest(model: Any, hidden: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The likeliest next tokens, best first: (rows, hidden) to log-probabilities and ids, each (rows, count).

    Raises GenerationError for scores that are no numbers.
    """
    parts = []
    for (states,) in _parts(model, hidden):
        total, kept = _Total(), _Best(count)
        for begin, block in _blocks(model, states):
            kept.add(begin, block, total.add(block))
        parts.append((kept.values - total.log()[:, None], kept.ids))
    values, ids = zip(*parts, strict=True)
    return torch.cat(values), torch.cat(ids)


class _Total:
    """The logarithm of a sum of exponentials, a block at a time."""

    def __init__(self) -> None:
        self._best: torch.Tensor | None = None

    def add(self, block: torch.Tensor) -> torch.Tensor:
        """Take (tokens, rows); gives the best of the block, (rows)."""
        best = block.amax(0)
        if self._best is None:
            self._best, self._sum = best, torch.zeros_like(best)
        highest = torch.maximum(self._best, best)
        check_finite(highest[:, None])
        self._sum = self._sum * (self._best - highest).exp() + (block - highest).exp_().sum(0)
        self._best = highest
        return best

    def log(self) -> torch.Tensor:
        """The logarithm, (rows)."""
        assert self._best is not None  # a vocabulary has a block at least
        return self._best + self._sum.log()


class _Best:
    """The highest scores and their tokens, a block at a time, each (rows, count)."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.values = self.ids = torch.empty(0)

    def add(self, begin: int, block: torch.Tensor, best: torch.Tensor) -> None:
        """Take (tokens, rows), and the best of each row: only rows that it can change are looked at."""
        if not len(self.values):
            self.values, self.ids = block.t().topk(min(self._count, len(block)))
            self.ids = self.ids + begin
            return
        rows = (best > self.values[:, -1]).nonzero()[:, 0]
        if self.values.shape[1] < self._count:
            rows = torch.arange(len(best), device=best.device)
        if not len(rows):
            return
        values, ids = block[:, rows].t().topk(min(self._count, len(block)))
        values, ids = torch.cat([self.values[rows], values], 1), torch.cat([self.ids[rows], ids + begin], 1)
        best_values, places = values.topk(min(self._count, values.shape[1]))
        if best_values.shape[1] > self.values.shape[1]:
            self.values, self.ids = best_values, ids.gather(1, places)
        else:
            self.values[rows], self.ids[rows] = best_values, ids.gather(1, places)


def _parts(model: Any, *tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """So many rows of tensors at a time as are worked on together."""
    by_blocks = getattr(model.get_output_embeddings(), "by_blocks", False)
    return zip(*(torch.split(tensor, MANY if by_blocks else FEW) for tensor in tensors), strict=True)


def _blocks(model: Any, states: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """Logits of (tokens, rows), with each block's first token; a single block where the whole product is quickest."""
    head = model.get_output_embeddings()
    if not getattr(head, "by_blocks", False) or len(states) < BLOCKS:
        yield 0, logits(model, states).t()
        return
    for begin, block in head.blocks(states):
        yield begin, _scaled(model, block)


def _scaled(model: Any, found: torch.Tensor) -> torch.Tensor:
    """What some families do behind the output matrix: Cohere multiplies, Granite divides, Gemma caps."""
    config = model.config
    if factor := getattr(config, "logit_scale", None):
        found = found * factor
    if divisor := getattr(config, "logits_scaling", None):
        found = found / divisor
    if cap := getattr(config, "final_logit_softcapping", None):
        found = torch.tanh(found / cap) * cap
    return found
