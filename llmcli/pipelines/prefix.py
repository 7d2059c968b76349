"""What stands before the row in a prompt: its key/value cache, computed once, and read by every row of a batch.

The rows share the prefix's keys and values: they are held once, whatever the number of rows and beams, and attention to
them is one matrix product for the whole batch.
"""

from __future__ import annotations

import inspect
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import causal_mask_function, sdpa_mask

KEPT_PREFIXES = 4
LONG = 64
"""Tokens from which a prefix is worth a file."""
PARTS = ("keys", "values")
APART = 256
"""Tokens below which a lone row has a copy of the prefix: one attention kernel then reads both."""
SCORES = 1 << 25
"""The most attention scores held at once; more are left to torch's own kernel, on a copy of the prefix for each row."""
NAME = "llmcli_shared_prefix"


Pair = tuple[torch.Tensor, torch.Tensor]


class SharedLayer(DynamicLayer):  # type: ignore[misc]
    """A layer's cache: a prefix's keys and values, (1, heads, prefix, width), and behind them each row's own."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.prefix = (keys, values)

    def update(self, *states: torch.Tensor, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the rows' own keys and values, and give them; the attention that follows finds the prefix."""
        own: tuple[torch.Tensor, torch.Tensor] = super().update(*states, **options)
        _updated.keys, _updated.prefix = own[0], self.prefix
        return own

    def get_seq_length(self) -> int:
        """Tokens of prefix and row."""
        return int(self.prefix[0].shape[-2]) + int(super().get_seq_length())

    def whole(self) -> Pair:
        """Keys and values of prefix and row, of a lone row."""
        own: Pair = (self.keys, self.values)
        keys, values = (torch.cat(pair, dim=-2) for pair in zip(self.prefix, own, strict=True))
        return keys, values

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Reorder the rows' own part: the prefix is the same for all."""
        self.batch_select_indices(beam_idx)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep some rows."""
        if self.is_initialized:
            self.keys, self.values = self.keys[indices], self.values[indices]

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row."""
        if self.is_initialized:
            self.keys, self.values = (part.repeat_interleave(repeats, dim=0) for part in (self.keys, self.values))


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


_updated = threading.local()
"""The keys that a cache gave last, in this thread, and the prefix that stands before them."""


def attend(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:  # fmt: skip
    """Attention of (rows, heads, queries, width) to the shared prefix and to each row's own keys, as one softmax.

    Gives (rows, queries, heads, width). Without a prefix it is torch's own.
    """
    shared = getattr(_updated, "keys", None) is key
    before, before_values = _updated.prefix if shared else (key[:0], value[:0])
    _updated.keys = _updated.prefix = None
    rows, heads, queries, width = query.shape
    if not shared:
        return _torch(module, query, key, value, attention_mask, **options)
    length, groups = before.shape[-2], key.shape[1]
    if (attention_mask is None and queries > 1) or rows * heads * queries * (length + key.shape[-2]) > SCORES:
        key, value = (torch.cat([part.expand(rows, -1, -1, -1), own], dim=-2)
                      for part, own in ((before, key), (before_values, value)))  # fmt: skip
        return _torch(module, query, key, value, attention_mask, **options)
    # Heads that share keys stand together: (groups, rows x heads of a group x queries, width).
    own_query = query.reshape(rows, groups, -1, width)
    flat = own_query.transpose(0, 1).reshape(groups, -1, width)
    to_prefix = (flat @ before[0].transpose(-1, -2)).view(groups, rows, -1, length).transpose(0, 1)
    scores = torch.cat([to_prefix, own_query @ key.transpose(-1, -2)], dim=-1).float() * options["scaling"]
    scores = scores.view(rows, groups, -1, queries, scores.shape[-1])
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask[:, :, None], float("-inf"))
    weights = scores.softmax(-1).nan_to_num(0.0).to(value.dtype).view(rows, groups, -1, scores.shape[-1])
    of_prefix = weights[..., :length].transpose(0, 1).reshape(groups, -1, length) @ before_values[0]
    made = of_prefix.view(groups, rows, -1, width).transpose(0, 1) + weights[..., length:] @ value
    return made.reshape(rows, heads, queries, width).transpose(1, 2).contiguous(), None


def _torch(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, **options: Any
) -> tuple[torch.Tensor, None]:
    if query.shape[2] == 1 and query.device.type == "cpu" and not options.get("position_bias"):
        made = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=options["scaling"],
                                            enable_gqa=query.shape[1] != key.shape[1])  # fmt: skip
        return made.transpose(1, 2), None
    found: tuple[torch.Tensor, None] = sdpa_attention_forward(module, query, key, value, mask, **options)
    return found


def _mask(*arguments: Any, **options: Any) -> torch.Tensor | None:
    """torch's mask, written out but for a single token: what may be left out there depends on where the keys begin.

    A sliding window counts tokens, not places: padding between a prefix and a shorter row takes nothing from it.
    """
    options["allow_is_causal_skip"] = False
    window, padding = options.get("local_size"), options.get("attention_mask")
    near = window is None or options["kv_length"] <= window
    if options["q_length"] == 1 and near and (padding is None or bool(padding.all())):
        return None  # a last token sees all before it
    if window is None or padding is None or window != getattr(options["config"], "sliding_window", None):
        found: torch.Tensor | None = sdpa_mask(*arguments, **options)
        return found
    causal: torch.Tensor = sdpa_mask(*arguments, **options | {"mask_function": causal_mask_function})
    places = padding.long().cumsum(-1)
    keys = places[:, options["kv_offset"] :][:, : options["kv_length"]]
    queries = places[:, options["q_offset"] :][:, : options["q_length"]]
    inside: torch.Tensor = queries[:, None, :, None] - keys[:, None, None, :] < window
    return causal & inside


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, _mask)
