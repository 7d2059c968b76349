"""Models opened as a run opens them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from llmcli.errors import UsageError


def resolve(task: str, folder: Path | str) -> Any:
    from llmcli import tasks
    from llmcli.run import resolve

    # The span head's task may not be there: any task reads the same model.
    try:
        return resolve.resolve(tasks.get(task), {"model": str(folder), "dtype": "float32"})
    except UsageError:
        return replace(resolve.resolve(tasks.get("sentiment"), {"model": str(folder), "dtype": "float32"}), task=task)


def open_model(folder: Path | str, *, task: str = "translate") -> Any:
    from llmcli.pipelines import load as loading

    return loading.load(resolve(task, folder), report=lambda stage, share: None)
