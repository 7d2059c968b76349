"""``chosen.yaml`` of the user: the aliases and default models that ``llmcli models`` writes."""

from __future__ import annotations

from pathlib import Path

from llmcli.config import places
from llmcli.config.schemas import Chosen
from llmcli.config.strict_yaml import load as load_file
from llmcli.errors import OutputError, shown


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
    write(path(), f"# Written by `llmcli models`; config.yaml wins over it.\n{text}")


def write(target: Path, content: str) -> None:
    """Write a file of the user's configuration, whole or not at all. Raises OutputError."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        partial.write_text(content, encoding="utf-8", newline="\n")
        partial.replace(target)
    except OSError as error:
        raise OutputError(f"{shown(target)}: {error.strerror or error}", code="write") from error
