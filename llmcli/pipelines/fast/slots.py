"""Keys and values of rows that come and go: each row has a slot, its first token at the slot's beginning.

Nothing is padded on the left and nothing grows, so that rows of all ages share a step, and a step is the same sequence
of operations each time: on a GPU it can be recorded once and replayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from llmcli.pipelines.fast import attention
from llmcli.pipelines.fast.attention import Pair


class SlotLayer(DynamicLayer):  # type: ignore[misc]
    """A layer's slots: keys and values, each (slots, heads, room, width), behind a prefix that all rows share."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, slots: Slots, prefix: Pair | None) -> None:
        super().__init__()
        self._slots, self._prefix = slots, prefix

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Take the room that all rows need."""
        sizes = [(self._slots.count, part.shape[1], self._slots.room, part.shape[3])
                 for part in (key_states, value_states)]  # fmt: skip
        # What a slot holds beyond its row is masked; it must be numbers all the same.
        self.keys, self.values = (part.new_zeros(size) for part, size in zip((key_states, value_states), sizes,
                                                                             strict=True))  # fmt: skip
        self.is_initialized = True

    def update(self, *states: torch.Tensor, **_: Any) -> Pair:
        """Put the tokens' keys and values into their slots; gives those that attention reads."""
        if not self.is_initialized:
            self.lazy_initialization(*states)
        slots = self._slots
        read: list[torch.Tensor] = []
        for kept, new in zip((self.keys, self.values), states, strict=True):
            if slots.joining:
                kept[slots.rows, :, slots.held : slots.width] = new
                read.append(kept[slots.rows, :, : slots.width] if slots.held else new)
            else:
                if slots.even:
                    kept[slots.rows, :, slots.width - 1] = new[:, :, 0]
                else:
                    kept[slots.numbers, :, slots.places[:, 0]] = new[:, :, 0]
                read.append(kept[slots.rows, :, : slots.width])
        attention.updated(read[0], self._prefix)
        return read[0], read[1]

    def get_seq_length(self) -> int:
        """Tokens of the prefix: the rows differ."""
        return self._slots.begin

    def get_mask_sizes(self, *_: Any) -> tuple[int, int]:
        """Keys of the prefix and of a slot, as far as it is read."""
        return self._slots.begin + self._slots.width, 0


class Slots(DynamicCache):  # type: ignore[misc]
    """The cache of ``count`` slots of ``room`` tokens each; rows stand in the first of them, without a gap."""

    def __init__(self, prefix: Sequence[Pair], *, layers: int, begin: int, count: int, room: int) -> None:
        super().__init__()
        self.begin, self.count, self.room = begin, count, room
        self.layers = [SlotLayer(self, prefix[place] if prefix else None) for place in range(layers)]
        self.rows, self.width, self.held, self.joining, self.even = slice(0, 0), 0, 0, False, False
        self.numbers = self.places = torch.empty(0)

    def hold(self, prefix: Sequence[Pair]) -> None:
        """Put a prefix into each slot: where there is one row, that is quicker than one that is shared."""
        for layer, pair in zip(self.layers, prefix, strict=True):
            layer.lazy_initialization(*pair)
            for kept, part in zip((layer.keys, layer.values), pair, strict=True):
                kept[:, :, : part.shape[2]] = part

    def join(self, first: int, places: torch.Tensor, *, held: int) -> None:
        """The next pass reads whole rows, into slots from ``first`` on: ``places``, (rows, width), behind ``held``."""
        self.rows, self.joining = slice(first, first + len(places)), True
        self.places, self.held, self.width = places, held, held + places.shape[1]

    def step(self, places: torch.Tensor, numbers: torch.Tensor, *, width: int, even: bool) -> None:
        """The next pass reads one token of each of the first rows, at ``places``, (rows, 1), below ``width``.

        ``even``: at the last of them. ``numbers``: from 0, (rows).
        """
        self.rows, self.width, self.joining = slice(0, len(places)), width, False
        self.places, self.numbers, self.even = places, numbers, even

    def follow(self, order: torch.Tensor) -> None:
        """Each of the first rows goes on from what another one holds: ``order``, (rows)."""
        for layer in self.layers:
            for part in (layer.keys, layer.values):
                part[: len(order)] = part.index_select(0, order)

    def move(self, sources: torch.Tensor, targets: torch.Tensor) -> None:
        """Move some rows into other slots."""
        for layer in self.layers:
            layer.keys[targets], layer.values[targets] = layer.keys[sources], layer.values[sources]
