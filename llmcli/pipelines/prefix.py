"""The key/value cache of what stands before the row in a prompt."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import torch
from transformers import DynamicCache

KEPT_PREFIXES = 4


class PrefixCache:
    """The key/value cache of constant prompt parts: computed once, repeated over each batch."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._kept: OrderedDict[tuple[int, ...], DynamicCache] = OrderedDict()

    def expand(self, prefix: tuple[int, ...], rows: int) -> DynamicCache:
        """A fresh cache that holds the prefix in each of ``rows`` rows."""
        if prefix not in self._kept:
            # Without a config every layer keeps all keys; the mask applies the sliding window.
            cache = DynamicCache()
            if prefix:
                ids = torch.tensor([prefix], device=self._model.device)
                with torch.inference_mode():
                    self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            self._kept[prefix] = cache
            while len(self._kept) > KEPT_PREFIXES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(prefix)
        cache = copy.deepcopy(self._kept[prefix])
        if prefix and rows > 1:
            cache.batch_repeat_interleave(rows)
        return cache
