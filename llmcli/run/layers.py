"""Layers of settings: each from one place, what of it holds for a model, and all of them as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmcli.config import places
from llmcli.config.model_config import ModelConfig

MERGED = ("generation", "options")
"""Settings that are merged key by key; all others are replaced whole."""
COMPLETION_ONLY = ("stop", "no_repeat_ngram_size")
"""Generation settings that hold the continuation of examples in check. A chat model ends by itself."""
SERVED = frozenset({"max_new_tokens", "temperature", "top_p", "seed", "num_return_sequences"})
"""Shipped generation settings that a server is asked for too."""
ASKED = SERVED | {"stop"}
"""All that it is asked for."""


@dataclass(frozen=True)
class Layer:
    """Settings from one place; ``origin`` names it."""

    origin: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Merged:
    """The settings that won, and each one's origin (``generation.seed`` -> ``flag``)."""

    values: dict[str, Any]
    origins: dict[str, str]


def suited(layer: Layer, model: ModelConfig) -> Layer:
    """What of a layer holds for a model: a chat model has a prompt of its own.

    The shipped prompts and generation settings are for models that read instructions; one that was trained for the
    task brings its own.
    """
    shipped = Path(layer.origin).is_relative_to(places.shipped())
    if model.source.server is not None:
        return _served(layer, model, shipped=shipped)
    values = {key: value for key, value in layer.values.items() if key not in ("chat_prompt", "server_prompt")}
    if shipped and not model.facts.instructed:
        values = {key: value for key, value in values.items() if key not in ("prompt", "generation")}
    if model.chat and "chat_prompt" in layer.values:
        values["prompt"] = layer.values["chat_prompt"]
        if shipped:
            general = layer.values.get("generation", {})
            values["generation"] = {key: value for key, value in general.items() if key not in COMPLETION_ONLY}
    return Layer(layer.origin, values)


def _served(layer: Layer, model: ModelConfig, *, shipped: bool) -> Layer:
    """What of a layer holds for a server's model: a chat model's prompt, beside the one that labels are scored with."""
    values = {key: value for key, value in layer.values.items() if key not in ("chat_prompt", "server_prompt")}
    prompt = layer.values.get("server_prompt") or layer.values.get("chat_prompt")
    prompt = prompt or (None if shipped else values.get("prompt"))
    if model.chat and prompt:
        values["chat_prompt"] = prompt
    if shipped and "generation" in values:
        values["generation"] = {key: value for key, value in values["generation"].items() if key in SERVED}
    return Layer(layer.origin, values)


def merge(layers: list[Layer]) -> Merged:
    """Merge layers, weakest first."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        for key, value in layer.values.items():
            if key in MERGED:
                values[key] = values.get(key, {}) | value
                origins.update({f"{key}.{inner}": layer.origin for inner in value})
            else:
                values[key] = value
                origins[key] = layer.origin
    return Merged(values, origins)
