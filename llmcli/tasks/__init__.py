"""The tasks, one module each.

A task's module holds ``TASK``, a :class:`llmcli.run.task.Task`: its options, how it answers, how its results look.
Tasks never print, never exit, and import neither torch nor transformers.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from llmcli.errors import UsageError, nearest
from llmcli.run.task import Task


def names() -> list[str]:
    """All tasks, sorted."""
    files = os.listdir(__path__[0])
    return sorted(name.removesuffix(".py") for name in files if name.endswith(".py") and not name.startswith("_"))


def get(name: str) -> Task[Any]:
    """The task of a name."""
    task: Task[Any] = import_module(f"{__name__}.{name}").TASK
    return task


def named(name: str) -> Task[Any]:
    """The task that a user names. Raises UsageError where there is none."""
    if name not in names():
        raise UsageError(f"no task named {name}", hint=nearest(name, names(), what="tasks"))
    return get(name)
