"""Precedence and resolution: which setting wins, and where it came from.

flag > environment > user config > this model's settings for the task > task YAML > model YAML
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from llmcli.config import places
from llmcli.config.run_config import RunConfig
from llmcli.config.schemas import ModelConfig, Settings, TaskConfig, UserConfig, WorkerSettings
from llmcli.config.strict_yaml import load, load_yaml, parse
from llmcli.errors import ConfigError, UsageError
from llmcli.models import describing, names
from llmcli.reports import Report, unheard

Layer = tuple[str, dict[str, Any]]
MERGED = ("generation", "options")
"""Settings that are merged key by key; all others are replaced whole."""
COMPLETION_ONLY = ("stop", "no_repeat_ngram_size")
"""Generation settings that hold the continuation of examples in check. A chat model ends by itself."""


def resolve(task: str, flags: Mapping[str, Any], *, offline: bool = False, report: Report = unheard) -> RunConfig:
    """Merge all layers for a task.

    Raises ConfigError for a malformed YAML file, ModelError for an unknown model.
    """
    task_layers = [(str(path), _task(path)) for path in places.find("tasks", task)]
    if not task_layers:
        raise ConfigError(f"no tasks/{task}.yaml")
    upper: list[Layer] = [*_chosen(task), *_user(task), ("environment", _environment()), ("flag", dict(flags))]
    chosen, _ = merge([*task_layers, *upper])
    if not chosen.get("model"):
        raise UsageError(f"no model for {task}", hint="give --model NAME")
    options = chosen.get("options", {})
    model = describing.fill(
        names.find(chosen["model"], offline=offline, report=report),
        source=options.get("from_", "auto"),
        target=options.get("to", ""),
    )
    file = f"model {model.name}"
    base = {key: value for key, value in _dump(model).items() if key in ("device", "dtype", "generation")}
    own = _dump(model.tasks[task]) if task in model.tasks else {}
    layers = [(file, base), *task_layers, (f"{file}, tasks.{task}", own), *upper]
    merged, origins = merge([_suited(*layer, model) for layer in layers])
    settings = parse(Settings, merged, origin=f"settings of {task}")
    _check_options(task, settings.options or {}, origins)
    _check_pickle(settings, model, origins)
    return RunConfig(task, model, settings, offline=offline, origins=origins)


def fingerprint(config: RunConfig) -> dict[str, str]:
    """What decides the answers, by name: a short value as it is, a long one by its digest.

    Where and how fast it runs (device, batch size) is left out; the seed counts only where tokens are drawn.
    """
    from llmcli.models import store

    values: dict[str, Any] = {"task": config.task, "model": f"{config.model.name} {store.identity(config.model)}"}
    values |= config.settings.model_dump(exclude_none=True, exclude={"model", "device", "batch_size", "generation"})
    drawn = {"seed"} if not config.generation.sampled else set()
    for group in ("options", "generation"):
        inner = values.pop(group, {}) if group == "options" else config.generation.model_dump(exclude_none=True)
        values |= {f"{group}.{name}": value for name, value in inner.items() if name not in drawn}
    return {name: _short(value) for name, value in values.items()}


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 80 else hashlib.sha256(text.encode()).hexdigest()[:16]


def _suited(origin: str, layer: dict[str, Any], model: ModelConfig) -> Layer:
    """What of a layer holds for a model: a chat model has a prompt of its own.

    The shipped prompts and generation settings are for causal models; one trained for the task brings its own.
    """
    shipped = Path(origin).is_relative_to(places.shipped())
    kept = {key: value for key, value in layer.items() if key != "chat_prompt"}
    if shipped and model.pipeline != "causal":
        kept = {key: value for key, value in kept.items() if key not in ("prompt", "generation")}
    if model.chat and "chat_prompt" in layer:
        kept["prompt"] = layer["chat_prompt"]
        if shipped:
            values = layer.get("generation", {})
            kept["generation"] = {key: value for key, value in values.items() if key not in COMPLETION_ONLY}
    return origin, kept


def merge(layers: list[Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    """Merge layers, weakest first, to the settings and each one's origin (``generation.seed`` -> ``flag``)."""
    result: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        for key, value in layer.items():
            if key in MERGED:
                result[key] = result.get(key, {}) | value
                origins.update({f"{key}.{inner}": origin for inner in value})
            else:
                result[key] = value
                origins[key] = origin
    return result, origins


def _dump(settings: Settings | ModelConfig) -> dict[str, Any]:
    return settings.model_dump(exclude_unset=True, exclude_none=True)


def _task(path: Any) -> dict[str, Any]:
    layer = _dump(load(TaskConfig, path)) if path.is_relative_to(places.shipped()) else _dump(
        parse(Settings, {k: v for k, v in (load_yaml(path) or {}).items() if k != "description"},
              origin=str(path)))  # fmt: skip
    layer.pop("description", None)
    return layer


def _chosen(task: str) -> list[Layer]:
    defaults = names.chosen().defaults
    return [(str(places.user() / "chosen.yaml"), {"model": defaults[task]})] if task in defaults else []


def _user(task: str) -> list[Layer]:
    path = places.user() / "config.yaml"
    if not path.is_file():
        return []
    user = load(UserConfig, path)
    general = _dump(user)
    for own in ("tasks", "worker"):
        general.pop(own, None)
    layers = [(str(path), general)]
    if task in user.tasks:
        layers.append((f"{path}, tasks.{task}", _dump(user.tasks[task])))
    return layers


def worker() -> WorkerSettings:
    """The user's settings of the worker. Raises ConfigError."""
    path = places.user() / "config.yaml"
    return load(UserConfig, path).worker if path.is_file() else WorkerSettings()


def _environment() -> dict[str, Any]:
    found: dict[str, Any] = {"model": model} if (model := os.environ.get("LLMCLI_MODEL")) else {}
    if plain := os.environ.get("LLMCLI_PLAIN"):
        if plain not in ("0", "1"):
            raise UsageError("LLMCLI_PLAIN is neither 1 nor 0")
        found["plain"] = plain == "1"
    return found


def _check_pickle(settings: Settings, model: ModelConfig, origins: Mapping[str, str]) -> None:
    if settings.allow_pickle is None:
        return
    if origins["allow_pickle"] != "flag":
        raise ConfigError(f"{origins['allow_pickle']}: [allow_pickle] can only be given on the command line")
    if model.source.path is None:
        raise UsageError(
            "--allow-pickle is for a folder of your own", hint="download the checkpoint, and give its path"
        )


def _check_options(task: str, options: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    from llmcli import tasks

    known = tasks.options(task)
    allowed = {item.name for item in fields(known)} if known else set()
    for name in options:
        if name not in allowed:
            origin = origins.get(f"options.{name}", "")
            raise ConfigError(f"{origin}: [options.{name}] {task} has no such option")
