"""What stands before the row in a prompt: its key/value cache, computed once, and read by every row of a batch."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from llmcli.pipelines.fast.attention import NAME, Pair, SharedLayer

KEPT_PREFIXES = 4
LONG = 64
"""Tokens from which a prefix is worth a file."""
PARTS = ("keys", "values")
APART = 256
"""Tokens below which a lone row has a copy of the prefix: one attention kernel then reads both."""


class Kept(Protocol):
    """Where the keys and values of prefixes are kept between processes."""

    def get(self, prefix: tuple[int, ...]) -> dict[str, torch.Tensor] | None:
        """What was put there; None where nothing was."""

    def put(self, prefix: tuple[int, ...], tensors: Mapping[str, torch.Tensor]) -> None:
        """Keep the tensors of a prefix."""


class PrefixCache:
    """The key/value caches of constant prompt parts, the last few in memory; long ones are ``kept`` beyond."""

    def __init__(self, model: Any, kept: Kept | None = None) -> None:
        self._model, self._shelf = model, kept
        self._kept: OrderedDict[tuple[int, ...], DynamicCache] = OrderedDict()
        self.begun: tuple[tuple[int, ...], DynamicCache] = (), DynamicCache()
        """The beginning of a prompt that was read last."""
        if model.config._attn_implementation == "sdpa":
            model.set_attn_implementation(NAME)
        known = inspect.signature(model.base_model.forward).parameters
        self._placed = "position_ids" in known
        self.held = "cache" if "cache" in known else "past_key_values"
        """What the model calls a cache: transformers 5.24 has another name for it than 5.23."""
        kinds = set(getattr(model.config, "layer_types", None) or ())
        self.plain = self.held in known and kinds <= {"full_attention", "sliding_attention"}
        """Whether a cache is keys and values alone; some families keep other states too."""
        self.shared = model.config._attn_implementation == NAME
        """Whether rows share one copy of the prefix, and windows count tokens: unless attention is its own."""

    def expand(self, prefix: tuple[int, ...], rows: int) -> DynamicCache:
        """A fresh cache that holds the prefix for ``rows`` rows."""
        if not prefix:
            return DynamicCache()
        if prefix == self.begun[0]:
            return self.fork(self.begun[1], rows)
        if prefix not in self._kept:
            self._kept[prefix] = self._known(prefix) or self._computed(prefix)
            while len(self._kept) > KEPT_PREFIXES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(prefix)
        return self.fork(self._kept[prefix], rows)

    def begin(self, ids: Sequence[int]) -> torch.Tensor:
        """Read a prompt's beginning, (1, width, hidden); who goes on with it then need not read it again."""
        cache, given = DynamicCache(), torch.tensor([ids], device=self._model.device)
        if not self.plain:
            found: torch.Tensor = self._model.base_model(input_ids=given).last_hidden_state
            return found
        hidden = self.read(given, torch.ones_like(given), cache)
        self.begun = tuple(ids), cache
        return hidden

    def forget(self) -> None:
        """No prompt goes on with what was begun."""
        self.begun = (), DynamicCache()

    def _known(self, prefix: tuple[int, ...]) -> DynamicCache | None:
        """The cache of a prefix that another process computed."""
        found = self._shelf.get(prefix) if self._shelf and len(prefix) >= LONG else None
        if found is None:
            return None
        cache = DynamicCache()
        for layer in range(len(found) // 2):
            cache.update(*(found[f"{layer}.{part}"].to(self._model.device) for part in PARTS), layer)
        return cache

    def _computed(self, prefix: tuple[int, ...]) -> DynamicCache:
        # Without a config every layer keeps all keys; the mask applies the sliding window.
        cache = DynamicCache()
        ids = torch.tensor([prefix], device=self._model.device)
        with torch.inference_mode():
            self.read(ids, torch.ones_like(ids), cache)
        if self._shelf and len(prefix) >= LONG:
            tensors = {f"{place}.{part}": getattr(layer, part).cpu().contiguous()
                       for place, layer in enumerate(cache.layers) for part in PARTS}  # fmt: skip
            self._shelf.put(prefix, tensors)
        return cache

    def read(self, ids: torch.Tensor, mask: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
        """Hidden states of tokens, (rows, width, hidden), behind what a cache holds; it then holds them too.

        ``mask`` is of all tokens, (rows, held + width); padding, wherever it stands, takes no place.
        """
        places = {"position_ids": (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]} if self._placed else {}
        read = self._model.base_model(input_ids=ids, attention_mask=mask, use_cache=True, **places,
                                      **{self.held: cache})  # fmt: skip
        hidden: torch.Tensor = read.last_hidden_state
        return hidden

    def fork(self, cache: DynamicCache, rows: int) -> DynamicCache:
        """A cache in which ``rows`` rows go on behind what a cache of one row holds; that one stays as it is."""
        forked = DynamicCache()
        for layer in cache.layers:
            held = layer.whole() if isinstance(layer, SharedLayer) else (layer.keys, layer.values)
            apart = rows == 1 and held[0].shape[-2] < APART
            forked.layers.append(SharedLayer(*held) if self.shared and not apart else _copied(held, rows))
        return forked


def _copied(held: Pair, rows: int) -> DynamicLayer:
    """For models whose attention is their own: the prefix once for each row."""
    layer = DynamicLayer()
    layer.update(*(part.repeat_interleave(rows, dim=0) for part in held))
    return layer
