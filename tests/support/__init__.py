"""What tests share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
WINGS = ["cli", "api", "worker", "cluster", "train", "evaluate", "inspecting", "tasks", "data", "run", "remote",
         "pipelines", "models", "text", "config", "reports", "errors"]  # fmt: skip
"""The wings of the package, from the roof to the ground."""


@dataclass
class Done:
    """A finished command."""

    code: int
    out: str
    err: str
