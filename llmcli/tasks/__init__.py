"""The tasks, one module each.

A task module has ``command`` (option groups in, :class:`~llmcli.options.Request` out; its docstring is the
help text), ``Options`` (its own flags, if any), and ``answer(model, config, records)``, which yields one result
a record, in order. Tasks never print, never exit, and import neither torch nor transformers.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType
from typing import Any


def names() -> list[str]:
    """All tasks, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def get(name: str) -> ModuleType:
    """A task's module."""
    return import_module(f"{__name__}.{name}")


def options(name: str) -> Any:
    """The dataclass of the task's own options, or None."""
    return getattr(get(name), "Options", None)
