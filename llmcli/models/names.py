"""From what the user calls a model to its ModelConfig."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from llmcli.config import places
from llmcli.config.schemas import Chosen, HubSource, ModelConfig, Source
from llmcli.config.strict_yaml import load
from llmcli.errors import ConfigError, ModelError
from llmcli.models import describing, store
from llmcli.reports import Report, unheard

_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def find(name: str, *, offline: bool = False, report: Report = unheard) -> ModelConfig:
    """Find a model by alias, YAML name, folder, GGUF file or Hub id, in this order.

    What a GGUF file or a Hub repository is, only its own files tell: it is converted or fetched here.
    Raises ModelError for a name that is none of these, ConfigError for a malformed YAML file.
    """
    name = chosen().aliases.get(name, name)
    if found := named(name):
        return found
    path = places.absolute(Path(name))
    if path.is_dir():
        return describing.infer(path, name=name, source=Source(path=path.resolve()))
    if path.suffix.lower() == ".gguf" and path.is_file():
        return _told(ModelConfig(name=name, source=Source(path=path.resolve())), offline=offline, report=report)
    if _HUB.fullmatch(name) and not name.startswith("."):
        return _told(ModelConfig(name=name, source=Source(hub=HubSource(repo=name))), offline=offline, report=report)
    raise _unknown(name)


def named(name: str) -> ModelConfig | None:
    """The model of a YAML file, or of a template's; None where there is none of that name."""
    files = list(places.find("models", name)) if "/" not in name else []
    if files:
        model = load(ModelConfig, files[-1])
        if model.name != name:
            raise ConfigError(f"{files[-1]}: [name] must be {name!r}, as the file is called")
        return model
    for stem in (stem for stem in places.names("models") if name.startswith(f"{stem}-")):
        if found := describing.match(load(ModelConfig, list(places.find("models", stem))[-1]), name):
            return found
    return None


def chosen() -> Chosen:
    """The aliases and default models that ``llmcli models`` wrote."""
    path = places.user() / "chosen.yaml"
    return load(Chosen, path) if path.is_file() else Chosen()


def _told(model: ModelConfig, *, offline: bool, report: Report) -> ModelConfig:
    folder = store.checkpoint(model, offline=offline, report=report)
    return describing.infer(folder, name=model.name, source=model.source)


def _unknown(name: str) -> ModelError:
    known = places.names("models")
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known models: {', '.join(known)}"
    what = "no checkpoint" if "/" in name else "no model named"
    return ModelError(f"{what} {name}", code="no-model", hint=hint)
