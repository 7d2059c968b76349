"""What tests share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class Done:
    """A finished command."""

    code: int
    out: str
    err: str
