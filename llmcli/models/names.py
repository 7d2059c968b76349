"""From what the user calls a model to its ModelConfig."""

from __future__ import annotations

import difflib
from pathlib import Path

from llmcli import places
from llmcli.errors import ConfigError, ModelError
from llmcli.models import inference
from llmcli.schemas import ModelConfig, Source, load


def find(name: str) -> ModelConfig:
    """Find a model by YAML name, or by the folder of a checkpoint.

    Raises ModelError for a name that is neither, ConfigError for a malformed YAML file.
    """
    files = list(places.find("models", name)) if "/" not in name else []
    if files:
        model = load(ModelConfig, files[-1])
        if model.name != name:
            raise ConfigError(f"{files[-1]}: [name] must be {name!r}, as the file is called")
        return model
    for stem in (stem for stem in places.names("models") if name.startswith(f"{stem}-")):
        if found := inference.match(load(ModelConfig, list(places.find("models", stem))[-1]), name):
            return found
    if Path(name).is_dir():
        return inference.infer(Path(name), name=name, source=Source(path=Path(name).resolve()))
    known = places.names("models")
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known models: {', '.join(known)}"
    if "/" in name:
        raise ModelError(f"no checkpoint folder {name}", code="no-model", hint=hint)
    raise ModelError(f"no model named {name}", code="no-model", hint=hint)
