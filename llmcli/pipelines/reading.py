"""How a causal model reads prompts. The plain way is here, the one with shortcuts in ``fast/prefix.py``."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Protocol

import torch

from llmcli.pipelines import batching
from llmcli.pipelines.budgets import ROWS, TOKENS
from llmcli.pipelines.scores import Logits, Scores
from llmcli.pipelines.tokens import Encoded

States = list[torch.Tensor]
"""For each row, (tokens, width): what ``Reader.head`` makes logits of."""


class Rows(Protocol):
    """Rows that were read, and may go on."""

    def go_on(self, tails: Sequence[Sequence[int]]) -> States:
        """Read on, a tail a row; gives the states of the tails' tokens."""

    def repeat(self, count: int) -> Rows:
        """Each row so many times, side by side; these rows are not used any more."""

    def fork(self, count: int) -> Rows:
        """Rows that all go on behind a lone one; that one stays as it is."""

    def chosen(self, places: Sequence[int]) -> Rows:
        """Some rows, each as often as it is named; these rows stay as they are."""

    def select(self, kept: Sequence[int]) -> None:
        """Keep some rows."""


class Reader(Protocol):
    """Reads prompts."""

    @property
    def head(self) -> Scores:
        """What makes logits of the states."""

    def read(self, rows: Sequence[Encoded], *, last: Sequence[int]) -> tuple[States, Rows]:
        """The states of each row's last tokens, ``last`` many, and the rows. They share a prefix, and none is empty."""

    def begin(self, ids: Sequence[int]) -> torch.Tensor:
        """Read a prompt's beginning: the states of its last token, (width)."""


class PlainReader:
    """Transformers and nothing else: a forward pass over whole sequences, of one length, without a cache.

    So no family can be read wrongly: padding, positions and windows are as for a row alone.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.head = Logits()
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters

    def read(self, rows: Sequence[Encoded], *, last: Sequence[int]) -> tuple[States, Rows]:
        """See Reader."""
        sequences = [[*row.prefix, *row.row] for row in rows]
        return self.logits(sequences, last=last), PlainRows(self, sequences)

    def begin(self, ids: Sequence[int]) -> torch.Tensor:
        """See Reader."""
        return self.logits([ids], last=[1])[0][-1]

    def logits(self, sequences: Sequence[Sequence[int]], *, last: Sequence[int]) -> States:
        """The model's own logits at each sequence's last tokens."""
        found: dict[int, torch.Tensor] = {}
        for places in batching.plan([*map(len, sequences)], rows=ROWS, tokens=TOKENS, padded=False):
            ids = torch.tensor([[*sequences[place]] for place in places], device=self._model.device)
            wanted = max(last[place] for place in places)
            options = {"logits_to_keep": wanted} if self._keeps else {}
            with torch.inference_mode():
                logits = self._model(input_ids=ids, attention_mask=torch.ones_like(ids), **options).logits
            found |= {place: row[len(row) - last[place] :].clone() for place, row in zip(places, logits, strict=True)}
        return [found[place] for place in range(len(sequences))]


class PlainRows:
    """See Rows: what was read is read again."""

    def __init__(self, reader: PlainReader, sequences: Sequence[list[int]]) -> None:
        self._reader, self._sequences = reader, sequences

    def go_on(self, tails: Sequence[Sequence[int]]) -> States:
        """See Rows."""
        self._sequences = [[*row, *tail] for row, tail in zip(self._sequences, tails, strict=True)]
        return self._reader.logits(self._sequences, last=[*map(len, tails)])

    def repeat(self, count: int) -> Rows:
        """See Rows."""
        return PlainRows(self._reader, [row for row in self._sequences for _ in range(count)])

    fork = repeat

    def chosen(self, places: Sequence[int]) -> Rows:
        """See Rows."""
        return PlainRows(self._reader, [self._sequences[place] for place in places])

    def select(self, kept: Sequence[int]) -> None:
        """See Rows."""
        self._sequences = [self._sequences[place] for place in kept]
