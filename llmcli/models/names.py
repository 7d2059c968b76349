"""From what the user calls a model to its ModelConfig."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from llmcli.config import chosen, places
from llmcli.config.model_config import HubSource, ModelConfig, Source
from llmcli.config.strict_yaml import load
from llmcli.errors import ConfigError, ModelError
from llmcli.models import pairs
from llmcli.models.describing import TOLD

TRAINED = "model.yaml"
"""What the folder of a trained model says of itself."""
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def find(name: str) -> ModelConfig:
    """Find a model by alias, YAML name, folder, GGUF file or Hub id, in this order: as its YAML says, or where it is.

    What is not said, :func:`llmcli.models.describing.describe` adds. No checkpoint is read, and no network asked.
    Raises ModelError for a name that is none of these, ConfigError for a malformed YAML file.
    """
    name = chosen.load().aliases.get(name, name)
    if model := named(name):
        return model
    path = places.absolute(Path(name))
    if (path / TRAINED).is_file():
        return _trained(path.resolve(), name)
    if path.is_dir() or (path.suffix.lower() == ".gguf" and path.is_file()):
        return ModelConfig(name=name, source=Source(path=path.resolve()))
    if _HUB.fullmatch(name):
        return ModelConfig(name=name, source=Source(hub=HubSource(repo=name)))
    raise _unknown(name)


def named(name: str) -> ModelConfig | None:
    """The model of a YAML file, or of a template's; None where there is none of that name."""
    files = list(places.find("models", name)) if "/" not in name else []
    if files:
        return _loaded(files[-1])
    for stem in (stem for stem in places.names("models") if name.startswith(f"{stem}-")):
        if model := pairs.match(_loaded(list(places.find("models", stem))[-1]), name):
            return model
    return None


def _loaded(file: Path) -> ModelConfig:
    """The model of a YAML file. What a shipped one leaves out is meant so: its checkpoint is not asked."""
    model = load(ModelConfig, file)
    if (path := model.source.path) is not None and ((inner := file.parent / path.expanduser()) / TRAINED).is_file():
        return _trained(inner.resolve(), file.stem)  # it says all itself
    if model.name != file.stem:
        raise ConfigError(f"{file}: [name] must be {file.stem!r}, as the file is called")
    if file.is_relative_to(places.shipped()):
        return model.model_copy(update={field: getattr(model, field) for field in TOLD})
    return _placed(model, file.parent)


def _trained(folder: Path, name: str) -> ModelConfig:
    """The model of a folder that `llmcli train` made. What its file leaves out is meant so."""
    model = load(ModelConfig, folder / TRAINED)
    placed = {"name": name, "trained": folder} | {field: getattr(model, field) for field in TOLD}
    return _placed(model.model_copy(update=placed), folder)


def _placed(model: ModelConfig, folder: Path) -> ModelConfig:
    """A path in a YAML file begins at ``~``, or at the file's own folder."""
    path = model.source.path
    if path is None:
        return model
    return model.model_copy(update={"source": Source(path=folder.absolute() / path.expanduser())})


def _unknown(name: str) -> ModelError:
    known = places.names("models")
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known models: {', '.join(known)}"
    what = "no checkpoint" if "/" in name else "no model named"
    return ModelError(f"{what} {name}", code="no-model", hint=hint)
