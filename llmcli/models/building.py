"""How a folder of the cache comes to be: one builder at a time, elsewhere first, in its place when whole."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from llmcli.errors import OutputError


@contextlib.contextmanager
def lock(target: Path) -> Iterator[None]:
    """Hold the right to build a folder; others wait. Raises OutputError where the cache cannot be written."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(f"{target}.lock", "w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield
    except OSError as error:
        hint = "free some room" if error.errno == errno.ENOSPC else "set LLMCLI_CACHE_DIR to a writable folder"
        raise OutputError(f"{target}: {error.strerror or error}", code="cache", hint=hint) from error


def place(built: Path, target: Path) -> None:
    """Put a folder that is whole where it belongs, in place of an older one."""
    _sync(built)
    shutil.rmtree(target, ignore_errors=True)
    built.rename(target)


def _sync(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
