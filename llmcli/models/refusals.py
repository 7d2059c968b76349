"""Files of a checkpoint that are never read, because they may hold code: pickles, and Python of its author."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")
"""Endings of files that torch and others unpickle."""
CODE = (".py",)


def refused(names: Collection[str]) -> list[str]:
    """Those of some files that are not read, each with the reason."""
    return [f"{name} (a pickle)" for name in sorted(names) if name.endswith(PICKLES)] + [
        f"{name} (code of its author)" for name in sorted(names) if name.endswith(CODE)
    ]


def of_folder(folder: Path) -> list[str]:
    """Those of a checkpoint's folder."""
    try:
        with os.scandir(folder) as entries:
            return refused([entry.name for entry in entries if entry.is_file()])
    except OSError:
        return []
