"""From what the user calls a model to its ModelConfig."""

from __future__ import annotations

import difflib
import json
from pathlib import Path

from llmcli import places
from llmcli.errors import ConfigError, ModelError
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
    if Path(name).is_dir():
        return from_folder(Path(name))
    known = places.names("models")
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known models: {', '.join(known)}"
    if "/" in name:
        raise ModelError(f"no checkpoint folder {name}", code="no-model", hint=hint)
    raise ModelError(f"no model named {name}", code="no-model", hint=hint)


def from_folder(folder: Path) -> ModelConfig:
    """Infer a ModelConfig from a checkpoint's own config.json and chat template."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_bytes())
        architectures = config.get("architectures") or []
    except FileNotFoundError as error:
        raise ModelError(f"{folder}: no config.json: not a checkpoint", code="bad-model") from error
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: not readable as JSON", code="bad-model") from error
    if any(str(name).endswith("ForSequenceClassification") for name in architectures):
        pipeline = "classification"
    elif any(str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in architectures):
        pipeline = "causal"
    else:
        found = ", ".join(map(str, architectures)) or "none named"
        raise ModelError(f"{folder}: unsupported architecture ({found})", code="bad-model")
    return ModelConfig(
        name=str(folder), source=Source(path=folder.resolve()), pipeline=pipeline, chat=_has_template(folder)
    )


def _has_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file():
        return True
    try:
        return "chat_template" in json.loads((folder / "tokenizer_config.json").read_bytes())
    except (OSError, ValueError):
        return False
