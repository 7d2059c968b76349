"""Where files are: shipped configs, the user's configs, the cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent


def shipped() -> Path:
    """The shipped YAML folder: beside the package in the source tree, inside it in a wheel."""
    inside = PACKAGE / "configs"
    return inside if inside.is_dir() else PACKAGE.parent / "configs"


def user() -> Path:
    """The user's YAML folder; it may not exist."""
    if override := os.environ.get("LLMCLI_CONFIG_DIR"):
        return Path(override)
    return _xdg("XDG_CONFIG_HOME", ".config") / "llmcli"


def cache() -> Path:
    """The cache folder; it may not exist."""
    if override := os.environ.get("LLMCLI_CACHE_DIR"):
        return Path(override)
    return _xdg("XDG_CACHE_HOME", ".cache") / "llmcli"


def find(kind: str, name: str) -> Iterator[Path]:
    """YAML files of that name, weakest first: the shipped one, then the user's. ``kind``: models or tasks."""
    for folder in (shipped(), user()):
        path = folder / kind / f"{name}.yaml"
        if path.is_file():
            yield path


def names(kind: str) -> list[str]:
    """All names of a kind, sorted."""
    return sorted({path.stem for folder in (shipped(), user()) for path in (folder / kind).glob("*.yaml")})


def _xdg(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    return Path(value) if os.path.isabs(value) else Path.home() / default
