"""What stands before the row in a prompt: its key/value cache, computed once, and read by every row of a batch."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from llmcli.pipelines.fast import attention, known
from llmcli.pipelines.fast.attention import NAME, Pair, SharedLayer
from llmcli.pipelines.reading import PlainReader, Rows, States
from llmcli.pipelines.tokens import Encoded

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
    """Reads rows behind constant prompt parts, whose caches are kept: the last few in memory, long ones beyond.

    Implements :class:`llmcli.pipelines.reading.Reader`, for models of known families.
    """

    def __init__(self, model: Any, kept: Kept | None = None) -> None:
        self._model, self._shelf = model, kept
        self._kept: OrderedDict[tuple[int, ...], DynamicCache] = OrderedDict()
        self.begun: tuple[tuple[int, ...], DynamicCache] = (), DynamicCache()
        """The beginning of a prompt that was read last."""
        self.head = known.head(model)
        model.set_attn_implementation(NAME)
        parameters = inspect.signature(model.base_model.forward).parameters
        self.held = "cache" if "cache" in parameters else "past_key_values"
        """What the model calls a cache: transformers 5.24 has another name for it than 5.23."""

    def read(self, rows: Sequence[Encoded], *, last: Sequence[int]) -> tuple[States, Rows]:
        """See Reader: padded on the right."""
        cache = self.expand(rows[0].prefix, len(rows))
        mask = torch.ones(len(rows), len(rows[0].prefix), dtype=torch.long, device=self._model.device)
        going = SharedRows(self, cache, mask)
        states = going.go_on([row.row for row in rows])
        return [row[len(row) - count :] for row, count in zip(states, last, strict=True)], going

    def begin(self, ids: Sequence[int]) -> torch.Tensor:
        """See Reader. Who goes on with this beginning then need not read it again."""
        cache, given = DynamicCache(), torch.tensor([ids], device=self._model.device)
        hidden = self.forward(given, torch.ones_like(given), cache)
        self.begun = tuple(ids), cache
        return hidden[0, -1]

    def resumed(self, prompt: Encoded) -> Encoded:
        """The prompt behind its beginning, where :meth:`begin` has read that just now."""
        begun = self.begun[0]
        if prompt.prefix or not begun or prompt.row[: len(begun)] != begun or len(prompt.row) == len(begun):
            return prompt
        return Encoded(begun, prompt.row[len(begun) :])

    def forget(self) -> None:
        """No prompt goes on with what was begun."""
        self.begun = (), DynamicCache()

    def expand(self, prefix: tuple[int, ...], rows: int) -> DynamicCache:
        """A fresh cache that holds the prefix for ``rows`` rows."""
        attention.forget()
        return self.fork(self._held(prefix), rows) if prefix else DynamicCache()

    def pairs(self, prefix: tuple[int, ...]) -> list[Pair]:
        """The keys and values of a prefix, layer by layer, each (1, heads, prefix, width)."""
        return [_whole(layer) for layer in self._held(prefix).layers]

    def _held(self, prefix: tuple[int, ...]) -> DynamicCache:
        if prefix == self.begun[0]:
            return self.begun[1]
        if prefix not in self._kept:
            self._kept[prefix] = self._known(prefix) or self._computed(prefix)
            while len(self._kept) > KEPT_PREFIXES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(prefix)
        return self._kept[prefix]

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
        self.forward(ids, torch.ones_like(ids), cache)
        if self._shelf and len(prefix) >= LONG:
            tensors = {f"{place}.{part}": getattr(layer, part).cpu().contiguous()
                       for place, layer in enumerate(cache.layers) for part in PARTS}  # fmt: skip
            self._shelf.put(prefix, tensors)
        return cache

    @torch.inference_mode()
    def forward(self, ids: torch.Tensor, mask: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
        """Hidden states of tokens, (rows, width, hidden), behind what a cache holds; it then holds them too.

        ``mask`` is of all tokens, (rows, held + width); padding, wherever it stands, takes no place.
        """
        places = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        read = self._model.base_model(input_ids=ids, attention_mask=mask, use_cache=True, position_ids=places,
                                      **{self.held: cache})  # fmt: skip
        hidden: torch.Tensor = read.last_hidden_state
        return hidden

    def placed(self, ids: torch.Tensor, places: torch.Tensor, slots: Any, *, last: bool = False) -> torch.Tensor:
        """Hidden states of tokens, (rows, width, hidden), at ``places`` of the slots that their rows stand in.

        ``last``: each is the last token of what is read, and sees all before it.
        """
        with attention.placed(None if last else places, begin=slots.begin):
            read = self._model.base_model(input_ids=ids, position_ids=places + slots.begin, use_cache=True,
                                          **{self.held: slots})  # fmt: skip
        hidden: torch.Tensor = read.last_hidden_state
        return hidden

    @property
    def layers(self) -> int:
        """How many layers the model has."""
        return int(self._model.config.get_text_config().num_hidden_layers)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        found: torch.device = self._model.device
        return found

    def fork(self, cache: DynamicCache, rows: int) -> DynamicCache:
        """A cache in which ``rows`` rows go on behind what a cache of one row holds; that one stays as it is."""
        forked = DynamicCache()
        for layer in cache.layers:
            held = _whole(layer)
            # One attention kernel reads a short prefix and the row, where there is one row.
            copied = rows == 1 and held[0].shape[-2] < APART
            forked.layers.append(_copied(held) if copied else SharedLayer(*held))
        return forked


def _whole(layer: Any) -> Pair:
    return layer.whole() if isinstance(layer, SharedLayer) else (layer.keys, layer.values)


def _copied(held: Pair) -> DynamicLayer:
    layer = DynamicLayer()
    layer.update(*(part.clone() for part in held))
    return layer


class SharedRows:
    """See Rows: each row's own keys and values stand behind one copy of the prefix. ``mask``: (rows, held)."""

    def __init__(self, reader: PrefixCache, cache: DynamicCache, mask: torch.Tensor) -> None:
        self._reader, self._cache, self._mask = reader, cache, mask

    def go_on(self, tails: Sequence[Sequence[int]]) -> States:
        """See Rows: shorter tails are padded."""
        width = max(map(len, tails))
        gaps = [width - len(tail) for tail in tails]
        ids = torch.tensor([[*tail, *[0] * gap] for tail, gap in zip(tails, gaps, strict=True)])
        real = torch.tensor([[1] * (width - gap) + [0] * gap for gap in gaps])
        self._mask = torch.cat([self._mask, real.to(self._mask)], dim=1)
        hidden = self._reader.forward(ids.to(self._mask.device), self._mask, self._cache)
        return [row[: len(tail)] for row, tail in zip(hidden, tails, strict=True)]

    def repeat(self, count: int) -> Rows:
        """See Rows."""
        self._cache.batch_repeat_interleave(count)
        return SharedRows(self._reader, self._cache, self._mask.repeat_interleave(count, 0))

    def fork(self, count: int) -> Rows:
        """See Rows."""
        return SharedRows(self._reader, self._reader.fork(self._cache, count), self._mask.repeat_interleave(count, 0))

    def chosen(self, places: Sequence[int]) -> Rows:
        """See Rows."""
        rows = torch.tensor(places, device=self._mask.device)
        cache = DynamicCache()
        for layer in self._cache.layers:
            own = SharedLayer(*layer.prefix) if isinstance(layer, SharedLayer) else DynamicLayer()
            own.update(layer.keys[rows], layer.values[rows])
            cache.layers.append(own)
        attention.forget()
        return SharedRows(self._reader, cache, self._mask[rows])

    def select(self, kept: Sequence[int]) -> None:
        """See Rows."""
        chosen = torch.tensor(kept, device=self._mask.device)
        self._cache.batch_select_indices(chosen)
        self._mask = self._mask[chosen]


_BEFORE = tuple(range(5, 14))
CHECK = (Encoded(_BEFORE, (14,)), Encoded(_BEFORE, (15, 16))) * 5
TAIL = (4,)
"""For a look at what the shortcuts give: a prefix, rows that differ in length, and a token behind them. Each pass is of
more tokens than whole numbers are quicker for (``quantization.few``): other weights would be compared."""
CLOSE, ROUNDED = 1e-3, 0.1
"""How far logits may be from the plain ones, of their spread, in float32 and in fewer bits. What a wrong cache gives is
as far as the spread itself."""


def reader(model: Any, kept: Kept | None = None) -> PrefixCache | None:
    """The shortcuts of a model, where they are known for its family and agree with plain transformers; else None."""
    if known.unfit(model):
        return None
    if known.unchecked(model):
        return PrefixCache(model, kept)
    usual = model.config._attn_implementation
    longer = [Encoded(row.prefix, row.row + TAIL) for row in CHECK]
    plain = torch.stack(PlainReader(model).read(longer, last=[2] * len(longer))[0]).float()
    if _agrees(PrefixCache(model), plain, CLOSE if model.dtype == torch.float32 else ROUNDED):
        return PrefixCache(model, kept)
    model.set_attn_implementation(usual)
    return None


@torch.inference_mode()
def _agrees(cache: PrefixCache, plain: torch.Tensor, close: float) -> bool:
    """Whether the logits behind a prefix, and after one token more, are the plain ones, (rows, 2, vocabulary)."""
    try:
        states, rows = cache.read(CHECK, last=[1] * len(CHECK))
        behind = rows.go_on([TAIL] * len(CHECK))
    except (RuntimeError, TypeError, ValueError, AttributeError, LookupError):
        return False  # a version of transformers that does it otherwise
    quick = cache.head.logits(torch.stack([torch.cat(pair) for pair in zip(states, behind, strict=True)]))
    return quick.shape == plain.shape and bool((quick - plain).abs().max() <= close * plain.std())
