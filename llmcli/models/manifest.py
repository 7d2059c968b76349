"""What a stored checkpoint's files were when they were stored: sizes, times and sha256."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmcli.errors import ModelError

NAME = "manifest.json"
"""Written last: a folder without it is not whole."""
FACTS = {"sha256", "size", "mtime_ns"}
"""What is known of each file."""


def write(folder: Path, **facts: str) -> None:
    """List the folder's files. ``facts`` say where they came from: repo, revision, commit."""
    files = {
        str(path.relative_to(folder)): {"sha256": sha256(path), **_stamp(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != NAME and ".cache" not in path.relative_to(folder).parts
    }
    (folder / NAME).write_text(json.dumps({**facts, "files": files}, indent=1) + "\n")


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the right to add files and to remove them.

    Raises OSError where the folder cannot be written or, unless ``wait``, another process holds it: nobody waits for
    what can be made again.
    """
    with open(folder / "manifest.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def add(folder: Path, name: str) -> None:
    """List a file that was made later, and can be made again."""
    found = read(folder)
    if found is not None:
        found["files"][name] = {"sha256": sha256(folder / name), **_stamp(folder / name), "made": True}
        _replace(folder, found)


def remove(folder: Path, name: str) -> None:
    """List a file no more."""
    found = read(folder)
    if found is not None and found["files"].pop(name, None):
        _replace(folder, found)


def _replace(folder: Path, found: dict[str, Any]) -> None:
    partial = folder / f"{NAME}.{os.getpid()}.partial"
    partial.write_text(json.dumps(found, indent=1) + "\n")
    partial.replace(folder / NAME)


def read(folder: Path) -> dict[str, Any] | None:
    """The manifest of a stored checkpoint; None where there is none, or none that can be read."""
    try:
        found = json.loads((folder / NAME).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and _listed(found.get("files")) else None


def _listed(files: Any) -> bool:
    """Whether these are files of the folder: what a stranger's list names elsewhere is not looked at, or deleted."""
    return isinstance(files, dict) and all(
        not os.path.isabs(name) and ".." not in Path(name).parts and isinstance(facts, dict) and facts.keys() >= FACTS
        for name, facts in files.items()
    )


def discard(folder: Path) -> None:
    """Delete the files that a folder lists, the list, and the folder where nothing else is in it. Raises OSError."""
    for name in [*(read(folder) or {"files": {}})["files"], NAME]:
        (folder / name).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def check(folder: Path, *, name: str, whole: bool = False) -> None:
    """Raise ModelError for a file that is not what it was.

    A file of the same size and time is believed, unless ``whole``: then every byte is read.
    """
    for file, facts in (read(folder) or {"files": {}})["files"].items():
        path, stamp = folder / file, {"size": facts["size"], "mtime_ns": facts["mtime_ns"]}
        try:
            same = (not whole and _stamp(path) == stamp) or sha256(path) == facts["sha256"]
        except FileNotFoundError as error:
            if facts.get("made") or file not in (read(folder) or {"files": {}})["files"]:
                continue  # another process removed it just now
            raise _changed(name, f"{file} is gone") from error
        if not same:
            raise _changed(name, f"{file} has changed since it was stored")


def sha256(path: Path) -> str:
    """The digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _stamp(path: Path) -> dict[str, int]:
    facts = path.stat()
    return {"size": facts.st_size, "mtime_ns": facts.st_mtime_ns}


def _changed(name: str, what: str) -> ModelError:
    return ModelError(f"{name}: {what}", code="changed-weights",
                      hint=f"llmcli models remove {name}, then pull it again")  # fmt: skip
