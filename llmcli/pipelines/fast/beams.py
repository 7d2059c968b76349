"""Beam search of causal models, with the results of transformers' own in a fraction of its time.

The prompt is read once a row instead of once a beam, the scores of all beams are never held together, and a row that
has ended leaves the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from llmcli.pipelines import scores
from llmcli.pipelines.fast.prefix import PrefixCache
from llmcli.pipelines.stopping import Stops
from llmcli.pipelines.tokens import Encoded, Encoder

Hypothesis = tuple[float, list[int]]
"""A score, the mean log-probability by length, and the tokens."""


@dataclass(frozen=True)
class Rules:
    """How many beams there are, when a row has ended, and how its texts are ranked."""

    beams: int
    wanted: int
    ends: frozenset[int]
    max_new_tokens: int
    length_penalty: float = 1.0
    early_stopping: bool = False
    suppress_tokens: Sequence[int] = ()


@dataclass
class Row:
    """A row of the batch: the texts that have ended, best first, and those that go on."""

    place: int
    beams: int
    ended: list[Hypothesis] = field(default_factory=list)
    tokens: list[list[int]] = field(default_factory=lambda: [[]])
    scores: list[float] = field(default_factory=lambda: [0.0])

    def keep(self, found: list[Hypothesis], hits: Sequence[bool], rules: Rules) -> bool:
        """Take the best candidates of a step (log-probability and tokens); whether the row goes on.

        The rules are those of transformers (``GenerationMixin._beam_search``): of the first ``num_beams`` candidates
        those that have ended are kept, and a row ends when no beam that goes on is better than the worst of them.
        """
        length, penalty = len(found[0][1]), rules.length_penalty
        ended = [(score / length**penalty, tokens)
                 for (score, tokens), hit in list(zip(found, hits, strict=True))[: self.beams] if hit]  # fmt: skip
        self.ended = sorted(self.ended + ended, key=lambda one: -one[0])[: self.beams]
        going = [one for one, hit in zip(found, hits, strict=True) if not hit][: self.beams]
        self.scores, self.tokens = [score for score, _ in going], [tokens for _, tokens in going]
        if not going or length >= rules.max_new_tokens:
            return False
        full = len(self.ended) == self.beams
        return not full or (not rules.early_stopping and going[0][0] / length**penalty > self.ended[-1][0])


Likeliest = tuple[torch.Tensor, torch.Tensor]
"""The likeliest next tokens of beams, best first: log-probabilities and ids, each (beams, width)."""


class Beams(Protocol):
    """Texts that go on side by side."""

    def go_on(self, order: Sequence[int], tokens: Sequence[int]) -> Likeliest:
        """Beams that each go on from one of those before, with a token."""


class Begin(Protocol):
    """Reads prompts that share a prefix; gives a beam each, and what may follow it."""

    def __call__(
        self, prompts: Sequence[Encoded], *, beams: int, most: int, width: int, without: Sequence[int]
    ) -> tuple[Beams, Likeliest]:
        """For ``beams`` beams a prompt of ``most`` tokens, of which ``width`` candidates are looked at.

        ``without``: tokens that no text has.
        """


class Growing:
    """See Beams: their own keys and values grow behind a prefix that they share."""

    def __init__(
        self, prefixes: PrefixCache, prompts: Sequence[Encoded], *, width: int, without: Sequence[int]
    ) -> None:
        self._prefixes, self._width = prefixes, width
        size, device = max(len(prompt.row) for prompt in prompts), prefixes.device
        self._without = torch.tensor(without, dtype=torch.long, device=device)
        gaps = [size - len(prompt.row) for prompt in prompts]
        self._cache = prefixes.expand(prompts[0].prefix, len(prompts))
        held = [1] * self._cache.get_seq_length()
        self._mask = torch.tensor([[*held, *[0] * gap, *[1] * (size - gap)] for gap in gaps], device=device)
        ids = [[*[0] * gap, *prompt.row] for prompt, gap in zip(prompts, gaps, strict=True)]
        self.first = self._read(torch.tensor(ids, device=device))

    def go_on(self, order: Sequence[int], tokens: Sequence[int]) -> Likeliest:
        """See Beams."""
        chosen = torch.tensor(order, device=self._mask.device)
        self._cache.batch_select_indices(chosen)
        self._mask = torch.cat([self._mask[chosen], self._mask.new_ones(len(order), 1)], dim=1)
        return self._read(torch.tensor(tokens, device=self._mask.device)[:, None])

    def _read(self, ids: torch.Tensor) -> Likeliest:
        hidden = self._prefixes.forward(ids, self._mask, self._cache)[:, -1]
        return scores.likeliest(self._prefixes.head, hidden, self._width, without=self._without)


def growing(prefixes: PrefixCache) -> Begin:
    """See Begin."""

    def begin(
        prompts: Sequence[Encoded], *, beams: int, most: int, width: int, without: Sequence[int]
    ) -> tuple[Beams, Likeliest]:
        read = Growing(prefixes, prompts, width=width, without=without)
        return read, read.first

    return begin


class BeamSearch:
    """Searches after a batch of prompts that share a prefix; for settings of which ``known.searched`` is true."""

    def __init__(self, encoder: Encoder, begin: Begin) -> None:
        self._encoder, self._begin = encoder, begin

    def __call__(self, prompts: Sequence[Encoded], rules: Rules, *, stop: Sequence[str]) -> list[list[Hypothesis]]:
        """The best texts of each prompt, best first, ``rules.wanted`` at most."""
        beams, ends, stops = rules.beams, rules.ends, Stops(self._encoder, stop)
        rows = [Row(place, beams) for place in range(len(prompts))]
        found: list[list[Hypothesis]] = [[] for _ in rows]
        width = max(2, 1 + len(ends)) * beams
        read, likeliest = self._begin(prompts, beams=beams, most=rules.max_new_tokens, width=width,
                                      without=rules.suppress_tokens)  # fmt: skip
        while rows:
            candidates = _candidates(rows, *likeliest, width)
            order: list[int] = []
            left: list[Row] = []
            at = 0
            for row, (best, parents) in zip(rows, candidates, strict=True):
                hits = [tokens[-1] in ends or stops(tokens) for _, tokens in best]
                hits = [hit or len(best[0][1]) >= rules.max_new_tokens for hit in hits]
                going = [parent for parent, hit in zip(parents, hits, strict=True) if not hit][:beams]
                size = len(row.tokens)
                if row.keep(best, hits, rules):
                    left.append(row)
                    order += [at + parent for parent in going]
                else:
                    found[row.place] = row.ended[: rules.wanted]
                at += size
            rows = left
            if rows:
                likeliest = read.go_on(order, [tokens[-1] for row in rows for tokens in row.tokens])
        return found


def _candidates(
    rows: Sequence[Row], values: torch.Tensor, ids: torch.Tensor, width: int
) -> list[tuple[list[Hypothesis], list[int]]]:
    """For each row the ``width`` likeliest longer texts, best first, and the beams that they come from."""
    each, most = values.shape[1], max(len(row.tokens) for row in rows)
    # A row with fewer beams is filled up: what cannot be stands last.
    places = [most * place + beam for place, row in enumerate(rows) for beam in range(len(row.tokens))]
    before = torch.tensor([score for row in rows for score in row.scores])
    total = torch.full((len(rows) * most, each), float("-inf"))
    tokens = torch.zeros(len(rows) * most, each, dtype=torch.long)
    total[places], tokens[places] = values.cpu() + before[:, None], ids.cpu()
    total, tokens = total.view(len(rows), -1), tokens.view(len(rows), -1)
    best, order = total.topk(min(width, total.shape[1]))
    found = []
    for row, *chosen in zip(rows, best.tolist(), order.tolist(), tokens.gather(1, order).tolist(), strict=True):
        log_p, places_of, newest = (part[: min(width, len(row.tokens) * each)] for part in chosen)
        origins = [place // each for place in places_of]
        longer = [[*row.tokens[parent], token] for parent, token in zip(origins, newest, strict=True)]
        found.append((list(zip(log_p, longer, strict=True)), origins))
    return found
