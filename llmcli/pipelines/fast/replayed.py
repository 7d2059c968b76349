"""Beams in slots, on a GPU: a step is recorded once and replayed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from llmcli.pipelines import scores
from llmcli.pipelines.fast import attention, graphs
from llmcli.pipelines.fast.beams import Beams, Likeliest
from llmcli.pipelines.fast.prefix import PrefixCache
from llmcli.pipelines.fast.slots import Slots
from llmcli.pipelines.stopping import check_finite
from llmcli.pipelines.tokens import Encoded


class Replayed:
    """Implements :class:`llmcli.pipelines.fast.beams.Begin`: what was recorded last may serve the next prompts."""

    def __init__(self, prefixes: PrefixCache) -> None:
        self._prefixes = prefixes
        self._kept: tuple[Any, SlotBeams] | None = None

    def __call__(
        self, prompts: Sequence[Encoded], *, beams: int, most: int, width: int, without: Sequence[int]
    ) -> tuple[Beams, Likeliest]:
        """See Begin."""
        longest, prefix = max(len(prompt.row) for prompt in prompts), prompts[0].prefix
        count, room = graphs.slots(len(prompts) * beams), graphs.room(longest + most)
        key = (prefix, count, room, width, tuple(without))
        if self._kept is None or self._kept[0] != key:
            self._kept = None  # before there is another
            pairs = self._prefixes.pairs(prefix) if prefix else []
            slots = Slots(pairs, layers=self._prefixes.layers, begin=len(prefix), count=count, room=room)
            self._kept = key, SlotBeams(self._prefixes, slots, width=width, without=without)
        try:
            return self._kept[1], self._kept[1].begin(prompts)
        except BaseException:
            self._kept = None
            raise


class SlotBeams:
    """See Beams: each in a slot; all are read anew from the slots that they go on from."""

    def __init__(self, prefixes: PrefixCache, slots: Slots, *, width: int, without: Sequence[int]) -> None:
        self._prefixes, self._slots, self._width = prefixes, slots, width
        device, count = prefixes.device, slots.count
        self._numbers = torch.arange(count, device=device)
        self._without = torch.tensor(without, dtype=torch.long, device=device)
        self._order = self._numbers.clone()
        self._last, self._places = (torch.zeros(count, 1, dtype=torch.long, device=device) for _ in range(2))
        self._values = torch.full((count, width), -torch.inf, device=device)
        self._ids = torch.zeros(count, width, dtype=torch.long, device=device)
        self._graphs: dict[int, graphs.Step] = {}

    def begin(self, prompts: Sequence[Encoded]) -> Likeliest:
        """Read whole prompts."""
        attention.forget()
        size, device = max(len(prompt.row) for prompt in prompts), self._last.device
        ids = torch.tensor([[*prompt.row, *[0] * (size - len(prompt.row))] for prompt in prompts], device=device)
        last = torch.tensor([[len(prompt.row) - 1] for prompt in prompts], device=device)
        places = torch.arange(size, device=device).expand(len(prompts), -1)
        self._slots.join(0, places, held=0)
        hidden = self._prefixes.placed(ids, places, self._slots)
        self._places[: len(prompts)] = last
        states = hidden.gather(1, last[:, :, None].expand(-1, -1, hidden.shape[-1]))[:, 0]
        return scores.likeliest(self._prefixes.head, states, self._width, without=self._without)

    def go_on(self, order: Sequence[int], tokens: Sequence[int]) -> Likeliest:
        """See Beams."""
        rows = len(order)
        device = self._last.device
        self._order[:rows] = torch.tensor(order, device=device)
        self._last[:rows] = torch.tensor(tokens, device=device)[:, None]
        size = graphs.size(self._slots.count, rows)
        self._order[rows:size] = 0
        if size in self._graphs:
            self._graphs[size]()
        else:
            self._step(size)
            self._graphs[size] = graphs.recorded(partial(self._step, size))
        check_finite(self._values[:rows, :1])
        return self._values[:rows], self._ids[:rows]

    def _step(self, size: int) -> None:
        order = self._order[:size]
        self._slots.follow(order)
        self._places[:size] = (self._places.index_select(0, order) + 1).clamp(max=self._slots.room - 1)
        places = self._places[:size]
        self._slots.step(places, self._numbers[:size], width=self._slots.room, even=False)
        hidden = self._prefixes.placed(self._last[:size], places, self._slots)
        logits = self._prefixes.head.logits(hidden[:, -1])
        total = logits.logsumexp(-1, keepdim=True)
        if len(self._without):
            logits = logits.index_fill(1, self._without, float("-inf"))
        values, ids = logits.topk(min(self._width, logits.shape[1]))
        self._values[:size, : values.shape[1]] = values - total
        self._ids[:size, : ids.shape[1]] = ids
