"""Numbers of a checkpoint that do not fit its weights, and tokenizers that make texts many times as long: refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llmcli.errors import ModelError
from llmcli.models.safetensors import Tensor

Json = dict[str, Any]
GROWTH = 256
"""How many times as long a tokenizer may make a text; those in use put one character, or a few, in place of another."""
LAYERS, PARTS, SIZES = 128, 1024, 1 << 20
"""So many layers, other repeated parts and sizes of anything are believed without a look at the weights: they may be
shared, or one tensor for all."""
POSITIONS, COMPUTED = 1 << 26, 1 << 13
"""The most positions of a model, and of one whose table of positions transformers computes number by number."""
SINUSOIDAL = ("marian", "pegasus", "distilbert", "xlm", "flaubert", "roformer")
"""Families of such models."""
LEAST, HUGE = -(1 << 31), 1 << 62
"""Between these is every number that means something; beyond, a library's own arithmetic overflows."""
_LAYERS = re.compile(r"(^|_)n?_?layers?$")
_PARTS = re.compile(r"(experts|groups|blocks|codebooks)$")
_SIZES = re.compile(r"(size|dim|heads?|hidden|embd|d_model|d_ff|d_kv|inner|width|labels|channels|rank|buckets)$")
_POSITIONS = re.compile(r"(positions?|position_embeddings|n_ctx|sequence_length)$")
_SOME = re.compile(r"^(n_layers?|num_layers|num_hidden_layers|encoder_layers|decoder_layers|num_decoder_layers|"
                   r"hidden_size|d_model|n_embd|dim|vocab_size|n_heads?|num_heads|num_attention_heads|"
                   r"encoder_attention_heads|decoder_attention_heads|max_position_embeddings|n_positions|n_ctx|"
                   r"max_sequence_length)$")  # fmt: skip
"""Of these there is at least one."""


def check_numbers(config: Json, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Refuse numbers that no such weights could have: a library would make what they ask for. Raises ModelError."""
    widest = max((size for tensor in tensors.values() for size in tensor.shape), default=0)
    positions = COMPUTED if config.get("model_type") in SINUSOIDAL else POSITIONS

    def most(key: str) -> int:
        if _LAYERS.search(key):
            return max(LAYERS, len(tensors))
        if _PARTS.search(key):
            return max(PARTS, len(tensors))
        return positions if _POSITIONS.search(key) else max(SIZES, widest) if _SIZES.search(key) else HUGE

    for key, value in walk(config):
        some = _SOME.match(key) is not None
        if some and value is not None and type(value) is not int:
            raise ModelError(f"{where}: {key} must be a whole number", code="bad-model")
        if type(value) is int and not (1 if some else LEAST) <= value <= most(key):
            raise ModelError(f"{where}: {key} of {_short(value)} does not fit its weights", code="bad-model")


def walk(value: object, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """All keys with their values, of dictionaries within dictionaries."""
    if depth > 20:
        raise ModelError("its config.json is nested too deeply", code="bad-model")
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from walk(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner, depth + 1)


def check_growth(parts: Iterable[bytes], *, where: str) -> None:
    """Refuse a tokenizer that makes a text many times as long: it would take all memory, and end the process.

    ``parts`` are its normalizer and decoder, in JSON. Raises ModelError.
    """
    growth = 1
    for part in parts:
        for step in _steps(json.loads(part)):
            content, pattern = step.get("content") or step.get("prepend") or "", step.get("pattern") or {}
            growth *= max(len(content) // max(len(pattern.get("String", "")), 1), 1)
    if growth > GROWTH:
        raise ModelError(f"{where}: refused: its tokenizer makes texts {growth:,} times as long", code="hostile")


def _steps(part: object) -> Iterator[Json]:
    """A step of a tokenizer, and those that it is a sequence of."""
    if isinstance(part, dict):
        yield part
        for inner in (*(part.get("normalizers") or ()), *(part.get("decoders") or ())):
            yield from _steps(inner)


def _short(value: int) -> str:
    return str(value) if abs(value) < 10**18 else f"{value:.0e}" if abs(value) < 10**300 else "a huge number"
