"""What decides the answers of a run, by name: a run that goes on must have the same."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import Any

from llmcli import __version__
from llmcli.config import places
from llmcli.config.run_config import AnyConfig
from llmcli.models import store

LEFT_OUT = {
    "settings.model": "the model's name and weights stand for it",
    "settings.models": "the model's name and weights stand for it",
    "settings.device": "where it runs",
    "settings.batch_size": "how fast it runs",
    "settings.allow_pickle": "whether it may run",
    "settings.server_prompt": "it is the chat prompt already, where it counts",
    "settings.options": "they are typed by now",
    "settings.generation.seed": "counts only where tokens are drawn",
    "model.description": "for people",
    "model.license": "for people",
    "model.size": "for people",
    "model.source": "the weights' identity stands for it",
    "model.trained": "the weights' identity stands for it",
    "model.base": "the weights' identity stands for it",
    "model.base_weights": "the weights' identity stands for it",
    "model.tasks": "its settings for this task have been merged",
    "model.device": "merged into the settings",
    "model.dtype": "merged into the settings",
    "model.generation": "merged into the settings",
    "model.weak_languages": "a notice on stderr",
    "source": "rows are found by their text, wherever it was read",
    "output": "how answers are written, not what they are",
    "offline": "whether it may be fetched",
    "origins": "where settings were found",
    "cluster": "which process does it",
    "combine": "a fact of the task",
    "documents": "a fact of the task",
}
"""Fields that decide no answer, and why."""
OPTIONS_LEFT_OUT = {
    "no_stream": "when the text is shown",
    "grep": "which rows are shown",
    "unsure": "where rows are put",
    "abstain": "where rows are put",
    "memory": "what is in it is not asked for",
    "detect": "it keeps no journal",
    "check": "it keeps no journal, or which rows are shown",
    "against": "it keeps no journal",
    "top": "how many rows are shown",
    "groups": "how rows are shown",
}
"""Options of tasks that decide no answer, and why."""


def fingerprint(config: AnyConfig) -> dict[str, str]:
    """A short value as it is, a long one by its digest. Raises ModelError where the weights cannot be read."""
    values: dict[str, Any] = {
        "task": config.task,
        "model": f"{_name(config)} {store.identity(config.model, offline=config.offline)}",
        "versions": f"llmcli {__version__}, transformers {metadata.version('transformers')}",
    }
    values |= {name: value for name, value in config.settings.model_dump(exclude_none=True).items()
               if f"settings.{name}" not in LEFT_OUT and name != "generation"}  # fmt: skip
    values |= {f"model.{name}": value for name, value in config.model.model_dump(mode="json", exclude={"name"}).items()
               if f"model.{name}" not in LEFT_OUT}  # fmt: skip
    drawn = set() if config.generation.sampled else {"seed"}
    values |= {f"generation.{name}": value for name, value in
               config.generation.model_dump(exclude_none=True, exclude=drawn).items()}  # fmt: skip
    for item in fields(config.options):
        if item.name not in OPTIONS_LEFT_OUT:
            values[f"options.{item.name}"] = getattr(config.options, item.name)
    if config.document:
        values["format"] = config.document
    return {name: _short(value) for name, value in values.items()}


def _name(config: AnyConfig) -> str:
    """The model's name; none where it is a folder's, which can be spelled in many ways."""
    name, path = config.model.name, config.model.trained or config.model.source.path
    return "" if path is not None and places.absolute(Path(name)).resolve() == path.resolve() else name


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= 80 else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
