"""``chosen.yaml`` of the user: the aliases and default models that ``llmcli models`` writes."""

from __future__ import annotations

from pathlib import Path

from llmcli.config import places, whole_file
from llmcli.config.schemas import Chosen
from llmcli.config.strict_yaml import load as load_file


def path() -> Path:
    """Where the file is; it may not be there."""
    return places.user() / "chosen.yaml"


def load() -> Chosen:
    """What was chosen. Raises ConfigError for a malformed file."""
    return load_file(Chosen, path()) if path().is_file() else Chosen()


def save(**changed: dict[str, str]) -> None:
    """Write the file with other ``aliases`` or ``defaults``. Raises OutputError."""
    import yaml

    values = load().model_copy(update=changed).model_dump(exclude_defaults=True)
    text = yaml.safe_dump(values, allow_unicode=True) if values else ""
    whole_file.write(path(), f"# Written by `llmcli models`; config.yaml wins over it.\n{text}")
