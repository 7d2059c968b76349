"""From what the user calls a model to its ModelConfig."""

from __future__ import annotations

import re
from pathlib import Path

from llmcli.config import chosen, places
from llmcli.config.model_config import HubSource, ModelConfig, Source
from llmcli.config.strict_yaml import load
from llmcli.errors import ConfigError, ModelError, nearest, redact
from llmcli.models import pairs
from llmcli.models.describing import TOLD

NOWHERE = "http://localhost"
"""In place of a server's URL, where only files are written and read."""
TRAINED = "model.yaml"
"""What the folder of a trained model says of itself."""
_URL = re.compile(r"https?://", re.IGNORECASE)
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def find(name: str) -> ModelConfig:
    """Find a model by alias, YAML name, ``URL#model`` of a server, folder, GGUF file or Hub id, in this order.

    What is not said, :func:`llmcli.models.describing.describe` adds. No checkpoint is read, and no network asked.
    Raises ModelError for a name that is none of these, ConfigError for a malformed YAML file.
    """
    name = chosen.load().aliases.get(name, name)
    if _URL.match(name):
        return _at(name)
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
    if model.source.server is not None:
        return served(model)
    path = model.source.path
    if path is None:
        return model
    return model.model_copy(update={"source": Source(path=folder.absolute() / path.expanduser())})


def served(model: ModelConfig) -> ModelConfig:
    """A server's model with what its YAML leaves out: it is a chat model."""
    said = model.model_fields_set
    return model.model_copy(update={"pipeline": "server"} | ({} if "chat" in said else {"chat": True}))


def requested(name: str) -> ModelConfig:
    """The model that request files are written for: a server's, or one that some engine calls by this name."""
    name = chosen.load().aliases.get(name, name)
    if _URL.match(name):
        return _at(name)
    if (known := named(name)) is not None and known.source.server is not None:
        return known
    return served(ModelConfig(name=name, source=Source(server=NOWHERE, model=name)))


def _at(name: str) -> ModelConfig:
    """The model of ``URL#model``. Raises ModelError."""
    url, _, model = name.partition("#")
    if not model:
        raise ModelError("a server's URL needs the model behind it", code="no-model",
                         hint=f"give {redact(url)}#MODEL; {redact(url.rstrip('/'))}/models lists them")  # fmt: skip
    try:
        source = Source(server=url.rstrip("/"), model=model)
    except ValueError as error:
        raise ModelError("not a server's URL: http(s)://HOST[:PORT]/v1, without a password", code="no-model",
                         hint="keys come from the environment: LLMCLI_API_KEY") from error  # fmt: skip
    return served(ModelConfig(name=f"{source.server}#{model}", source=source))


def _unknown(name: str) -> ModelError:
    if "/" in name:
        return ModelError(
            f"no checkpoint {name}", code="no-model", hint="give a folder or a file that is there, or a name"
        )
    hint, what = nearest(name, places.names("models"), what="known models"), "no model named"
    return ModelError(f"{what} {name}", code="no-model", hint=hint)
