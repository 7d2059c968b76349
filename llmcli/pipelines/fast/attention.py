"""Attention of a batch's rows to a prefix that they share, and to their own tokens.

The prefix's keys and values are held once, whatever the number of rows and beams, and attention to them is one matrix
product for the whole batch.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import causal_mask_function, sdpa_mask

from llmcli.models import memory

NAME = "llmcli_shared_prefix"
SCORES = 1 << 25
"""The most attention scores held at once; more are left to torch's own kernel, on a copy of the prefix for each row."""
FEW_ROWS, FEW_QUERIES = 4, 8
"""On a CPU, rows of more queries, and so few rows in bfloat16, are quicker by torch's kernel on a copy of the
prefix for each row: 180 tokens behind 435, in the sizes of Qwen 2.5 0.5B, take 1.6 ms a layer for 11."""
PARTS = 128
"""Bytes of a GPU's memory for each of them: a score is held several times."""
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
        updated(own[0], self.prefix)
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


_updated = threading.local()
"""The keys that a cache gave last, in this thread, and the prefix that stands before them."""


def updated(keys: torch.Tensor, prefix: Pair | None) -> None:
    """A cache gave these keys, which stand behind the prefix."""
    _updated.keys, _updated.prefix = keys, prefix


def forget() -> None:
    """No attention follows what a cache gave last: an error came between."""
    _updated.keys = _updated.prefix = None


@contextlib.contextmanager
def placed(places: torch.Tensor | None, *, begin: int) -> Iterator[None]:
    """Within, a mask is of tokens at ``places`` of their rows, (rows, queries), behind ``begin`` tokens of all rows.

    None: of a last token each, which sees all before it.
    """
    _updated.places = (places, begin)
    try:
        yield
    finally:
        _updated.places = None


def attend(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:  # fmt: skip
    """Attention of (rows, heads, queries, width) to the shared prefix and to each row's own keys, as one softmax.

    Gives (rows, queries, heads, width). Without a prefix it is torch's own. Raises RuntimeError for a family whose
    keys are others than its cache's: the prefix could not be found.
    """
    given: torch.Tensor | None = getattr(_updated, "keys", None)
    prefix: Pair | None = getattr(_updated, "prefix", None)
    forget()
    if given is None:
        return _torch(module, query, key, value, attention_mask, **options)
    if prefix is None:
        lone = query.shape[2] == 1 and query.device.type == "cuda" and not options.get("position_bias")
        attention = _grouped if lone else _torch
        return attention(module, query, key, value, attention_mask, **options)
    if given is not key:
        raise RuntimeError(
            "the model's keys are not those that its cache gave"
        )  # of a row of one token: silently wrong
    before, before_values = prefix
    rows, heads, queries, width = query.shape
    length, groups = before.shape[-2], key.shape[1]
    scores_held = rows * heads * queries * (length + key.shape[-2])
    if (attention_mask is None and queries > 1) or _copies(query) or scores_held > _most(query.device):
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


def _copies(query: torch.Tensor) -> bool:
    """Whether a copy of the prefix for each row is quicker."""
    rows, _, queries, _ = query.shape
    few = rows <= FEW_ROWS and query.dtype == torch.bfloat16
    return query.device.type == "cpu" and (few or queries > FEW_QUERIES)


@cache
def _most(device: torch.device) -> int:
    """The most attention scores held at once: on a GPU, a part of its memory."""
    if device.type != "cuda":
        return SCORES
    return max(SCORES, memory.spare(str(device)) // PARTS)


def _grouped(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, **options: Any
) -> tuple[torch.Tensor, None]:
    """One query a row: heads that share keys read them together, and no key is copied for each head."""
    rows, heads, _, width = query.shape
    scores = (query.view(rows, key.shape[1], -1, width) @ key.transpose(-1, -2)).float() * options["scaling"]
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    made = scores.softmax(-1).to(value.dtype) @ value
    return made.reshape(rows, 1, heads, -1), None


def _torch(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, **options: Any
) -> tuple[torch.Tensor, None]:
    written_out = query.shape[2] == 1 or mask is not None
    if written_out and query.device.type == "cpu" and not options.get("position_bias"):
        made = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=options["scaling"],
                                            enable_gqa=query.shape[1] != key.shape[1])  # fmt: skip
        return made.transpose(1, 2), None
    found: tuple[torch.Tensor, None] = sdpa_attention_forward(module, query, key, value, mask, **options)
    return found


def _mask(*arguments: Any, **options: Any) -> torch.Tensor | None:
    """torch's mask, written out but for a single token: what may be left out there depends on where the keys begin.

    A sliding window counts tokens, not places: padding between a prefix and a shorter row takes nothing from it.
    """
    if (placed := getattr(_updated, "places", None)) is not None:
        return _placed(*placed, **options)
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


def _placed(places: torch.Tensor | None, begin: int, **options: Any) -> torch.Tensor | None:
    """The mask of rows that stand in slots, (rows, 1, queries, keys)."""
    window, length = options.get("local_size"), options["kv_length"]
    if places is None and (window is None or length <= window):
        return None
    keys = torch.arange(length, device=options["device"])
    queries = torch.full((1, 1), length - 1, device=options["device"]) if places is None else places + begin
    seen: torch.Tensor = keys <= queries[:, None, :, None]
    return seen if window is None else seen & (queries[:, None, :, None] - keys < window)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, _mask)
