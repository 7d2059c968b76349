"""The tasks, one module each.

A task module has ``command`` (option groups in, :class:`~llmcli.run.request.Request` out; its docstring is the
help text), ``Options`` (its own flags, if any), ``FIELDS`` (the keys of its results) and
``answer(model, config, records)``, which gives one result a record, in order. Tasks never print, never exit, and
import neither torch nor transformers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


def names() -> list[str]:
    """All tasks, sorted."""
    files = os.listdir(__path__[0])
    return sorted(name.removesuffix(".py") for name in files if name.endswith(".py") and not name.startswith("_"))


def get(name: str) -> ModuleType:
    """A task's module."""
    return import_module(f"{__name__}.{name}")


def options(name: str) -> Any:
    """The dataclass of the task's own options, or None."""
    return getattr(get(name), "Options", None)


def window(name: str) -> int:
    """How many rows the task takes at a time: enough for full batches, few enough to show and keep them often."""
    return int(getattr(get(name), "WINDOW", 32))


def columns(name: str, flags: Mapping[str, Any]) -> list[str]:
    """The fields of the task's results, as columns of a table."""
    module = get(name)
    given = flags.get("options", {})
    return [*module.FIELDS, *(field for option, field in getattr(module, "OPTIONAL", {}).items() if given.get(option))]
