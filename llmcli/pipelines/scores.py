"""Scores of the next token: from what a reader gives to logits and log-probabilities.

A vocabulary of 262,144 makes a megabyte of scores for every row. What is wanted of them, the likeliest or a few
of a choice, is taken from a block of the vocabulary or some rows at a time, while they are in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch

from llmcli.pipelines.stopping import check_finite

FEW, MANY = 32, 256
"""Rows whose scores are held at once: of the whole vocabulary, and of a block of it."""
AT_ONCE = 1024
"""And on a GPU, where each operation takes a while to start."""
BLOCKS = 16
"""Rows from which blocks are quicker, measured on a processor with AVX2: for a matrix of (262144, 640) 0.9 of the 8-bit
kernel's time at 16 rows, 0.6 at 32, 0.4 at 128."""


class Scores(Protocol):
    """What makes logits of the states that a reader gives."""

    by_blocks: bool
    """Whether many rows are quickest by blocks."""

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """(…, width) to (…, vocabulary) in float32, as the model itself computes them."""

    def some(self, states: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
        """(…, width) to (…, ids): the logits of a few tokens."""

    def blocks(self, states: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
        """(rows, width) to logits of (tokens, rows), with each block's first token."""


class Logits:
    """For a reader whose states are the model's own logits."""

    by_blocks = False

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """See Scores."""
        return states.float()

    def some(self, states: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
        """See Scores."""
        return states[..., list(ids)].float()

    def blocks(self, states: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
        """See Scores."""
        yield 0, self.logits(states).t()


class Head:
    """For a reader whose states are hidden ones: the output matrix, and what the family does behind it."""

    def __init__(self, matrix: Any, *, factor: float = 0, divisor: float = 0, cap: float = 0) -> None:
        self._matrix, self._factor, self._divisor, self._cap = matrix, factor, divisor, cap
        self.by_blocks = bool(getattr(matrix, "by_blocks", False))

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """See Scores."""
        return self._scaled(self._matrix(states).float())

    def some(self, states: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
        """See Scores: by their rows of the matrix alone."""
        chosen, matrix = torch.tensor(ids, device=states.device), self._matrix
        weight = matrix.rows(chosen) if hasattr(matrix, "rows") else matrix.weight[chosen].float()
        bias = None if matrix.bias is None else matrix.bias[chosen].float()
        return self._scaled(torch.nn.functional.linear(states.float(), weight, bias))

    def blocks(self, states: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
        """See Scores: a single block where the whole product is quickest."""
        if not self.by_blocks or len(states) < BLOCKS:
            yield 0, self.logits(states).t()
            return
        for begin, block in self._matrix.blocks(states):
            yield begin, self._scaled(block)

    def _scaled(self, logits: torch.Tensor) -> torch.Tensor:
        if self._factor:
            logits = logits * self._factor
        if self._divisor:
            logits = logits / self._divisor
        return torch.tanh(logits / self._cap) * self._cap if self._cap else logits


def log_p(head: Scores, states: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of the next token, (…, width) to (…, vocabulary)."""
    return head.logits(states).log_softmax(-1)


def likelihoods(head: Scores, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of some tokens a row: (rows, width) and (rows, tokens) to (rows, tokens)."""
    parts = []
    for part, wanted in _parts(head, states, targets):
        rows = torch.arange(len(part), device=part.device)[:, None].expand_as(wanted)
        total, own = _Total(), torch.empty(wanted.shape, device=part.device)
        for begin, block in head.blocks(part):
            total.add(block)
            here = (wanted >= begin) & (wanted < begin + len(block))
            own[here] = block[wanted[here] - begin, rows[here]]
        parts.append(own - total.log()[:, None])
    return torch.cat(parts)


def likeliest(
    head: Scores, states: torch.Tensor, count: int, *, without: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The likeliest next tokens, best first: (rows, width) to log-probabilities and ids, each (rows, count).

    ``without``, (tokens): ids that are left out. Raises GenerationError for scores that are no numbers.
    """
    parts = []
    for (part,) in _parts(head, states):
        total, kept = _Total(), _Best(count)
        for begin, block in head.blocks(part):
            best = total.add(block)
            if len(without):
                left_out = without[(without >= begin) & (without < begin + len(block))] - begin
                block = block.index_fill(0, left_out, float("-inf"))
                best = block.amax(0)
            kept.add(begin, block, best)
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


def _parts(head: Scores, *tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """So many rows of tensors at a time as are worked on together."""
    count = MANY if head.by_blocks else FEW
    if tensors[0].device.type == "cuda":
        count = AT_ONCE
    return zip(*(torch.split(tensor, count) for tensor in tensors), strict=True)
