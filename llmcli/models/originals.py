"""The 32-bit weights that a GGUF file was converted to: they go when rounded ones are stored, and come when asked for.

They take four times the room of 8-bit weights. What they can be made of again stays: the GGUF file, where it is the
user's or a package's that is installed, else a copy in the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from llmcli.config.model_config import ModelConfig
from llmcli.models import manifest, packages
from llmcli.models.checking import INDEX

WHOLE, HALF, REST, FULL = "int8", "bfloat16", "float32", "model.safetensors"
"""How the files of 8-bit weights and their scales begin, of all weights in bfloat16, and of those in float32 that are
not rounded; the checkpoint's own file."""
COPY = "source.gguf"
"""The copy of a package's file that was fetched for llmcli alone."""
LOCK = "originals.lock"


def missing(folder: Path) -> bool:
    """Whether a stored checkpoint is without its 32-bit weights."""
    return not (folder / FULL).is_file() and not (folder / INDEX).is_file()


def rounded(folder: Path) -> Path | None:
    """The file of 8-bit weights of a stored checkpoint, if there is one."""
    listed = (folder / name for name in _files(folder) if name.startswith(f"{WHOLE}-"))
    return next((path for path in listed if path.is_file()), None)


@contextlib.contextmanager
def held(folder: Path | None) -> Iterator[IO[str] | None]:
    """Within, no other process lets go of the weights of a stored checkpoint. What is given lets go of them."""
    with contextlib.ExitStack() as stack:
        lock = None
        if folder is not None:
            with contextlib.suppress(OSError):  # where nothing can be written, nothing is removed either
                lock = stack.enter_context(open(folder / LOCK, "a"))
                fcntl.flock(lock, fcntl.LOCK_SH)
        yield lock


def let_go(model: ModelConfig, folder: Path, lock: IO[str]) -> None:
    """Remove 32-bit weights that others stand for, unless they were asked for, or another process reads them."""
    files = _files(folder)
    beside = any(name.startswith((f"{HALF}-", f"{REST}-")) for name in files)
    kept = files.get(FULL, {"made": True}).get("made")
    if kept or not beside or rounded(folder) is None or not _again(model, folder):
        return
    with contextlib.suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with manifest.locked(folder):
            manifest.remove(folder, FULL)
            (folder / FULL).unlink(missing_ok=True)


def _files(folder: Path) -> dict[str, Any]:
    files: dict[str, Any] = (manifest.read(folder) or {"files": {}})["files"]
    return files


def _again(model: ModelConfig, folder: Path) -> bool:
    package = model.source.package
    return model.source.converted and (package is None or (folder / COPY).is_file() or packages.installed(package))
