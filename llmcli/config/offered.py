"""What a shell is offered for the value of an option: read from small files, without pydantic, and at once.

A file that cannot be read offers nothing: its error belongs to the command that uses it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from llmcli.config import places


def models(incomplete: str) -> Iterator[str]:
    """The names of shipped models, of the user's own, and aliases."""
    yield from _beginning({*places.names("models"), *_aliases()}, incomplete)


def aliases(incomplete: str) -> Iterator[str]:
    """The user's aliases."""
    yield from _beginning(_aliases(), incomplete)


def tasks(incomplete: str) -> Iterator[str]:
    """The tasks."""
    yield from _beginning(places.names("tasks"), incomplete)


def devices(incomplete: str) -> Iterator[str]:
    """Where a model can run."""
    yield from _beginning(("auto", "cpu", "cuda", "mps"), incomplete)


def labels(ctx: Any, incomplete: str) -> Iterator[str]:
    """The labels that an answer can be: those of ``--labels`` on the same line, of the model, or of the task's YAML."""
    given = str(ctx.params.get("labels") or "").split(",")
    names = [name.strip() for name in given if name.strip()] or _of_model(str(ctx.params.get("model") or ""))
    yield from _beginning(names or _of_task(str(ctx.info_name)), incomplete)


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in sorted(names) if name.startswith(incomplete)]


def _aliases() -> dict[str, str]:
    found = _yaml(places.user() / "chosen.yaml").get("aliases")
    return found if isinstance(found, dict) else {}


def _of_model(name: str) -> list[str]:
    """The labels of a classifier's folder, which a path, a YAML file or an alias names."""
    name = _aliases().get(name, name)
    for file in places.find("models", name) if "/" not in name else ():
        source = _yaml(file).get("source")
        name = str(file.parent / source["path"]) if isinstance(source, dict) and "path" in source else name
    try:
        config = json.loads((places.absolute(Path(name)) / "config.json").read_bytes()) if name else {}
        return [str(label) for label in config.get("id2label", {}).values()]
    except (OSError, ValueError, AttributeError):
        return []


def _of_task(name: str) -> list[str]:
    listed = [label for file in places.find("tasks", name) for label in _yaml(file).get("labels") or []]
    return [str(label["name"] if isinstance(label, dict) else label) for label in listed]


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        read = yaml.safe_load(path.read_bytes())
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return read if isinstance(read, dict) else {}
