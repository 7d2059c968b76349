"""Which files a run reads: those that are named, and those that stand in a named folder."""

from __future__ import annotations

import fnmatch
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmcli.config.run_config import RunOptions, plain, real
from llmcli.errors import InputError, shown
from llmcli.run import journal

STDIN = Path("-")
UNFINISHED = ".llmcli.partial"
"""What a file of an output folder is called until it is whole."""


@dataclass(frozen=True)
class InputFile:
    """A file to read; ``path`` is ``-`` for standard input.

    ``within`` is its path in the folder that was named, or its name: what an output folder calls it. ``named`` tells
    whether it was named itself. ``error`` says why a part of a folder cannot be read.
    """

    path: Path
    within: Path
    named: bool
    error: InputError | None = None

    @property
    def id(self) -> str:
        """What results call it, where a file is a row."""
        return shown(self.path if self.named else self.within)


def listed(run: RunOptions[Any], *, aside: Path | None = None) -> list[InputFile]:
    """The files of a run, in order. What the run itself writes, or wrote, is none of a folder's files.

    ``aside`` is where rows are set aside. Raises InputError for a file that is named and cannot be read, and for a
    folder without files.
    """
    if not run.source.input:
        return []
    written = _Written(run, aside)
    files: list[InputFile] = []
    for path in run.source.input:
        if path.is_dir():
            files += _folder(path, run.source.pattern, written)
            continue
        if path != STDIN:
            _try(path)
        files.append(InputFile(path, Path("stdin" if path == STDIN else path.name), named=True))
    return files


def unreadable(path: Path, error: OSError) -> InputError:
    """The one line for a file that the system will not give."""
    return InputError(f"{shown(path)}: {error.strerror or error}", code="unreadable")


def identity(path: Path | int) -> tuple[int, int] | None:
    """What tells a file, a folder or a pipe from others, however it is called; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    tells = any(kind(found.st_mode) for kind in (stat.S_ISREG, stat.S_ISDIR, stat.S_ISFIFO))
    return (found.st_dev, found.st_ino) if tells else None


def partial(target: Path) -> Path:
    """Where an output is until it is whole."""
    return target.with_name(f"{target.name}.partial")


def _try(path: Path) -> None:
    """Raise InputError for a file that cannot be opened; a pipe is not tried, it could be read only once."""
    try:
        if stat.S_ISREG(path.stat().st_mode):
            path.open("rb").close()
    except OSError as error:
        raise unreadable(path, error) from error


class _Written:
    """What a run writes: no input of it, where a folder holds both.

    The output itself is one only where it is of an earlier run of llmcli: then a journal stands beside it.
    """

    def __init__(self, run: RunOptions[Any], aside: Path | None) -> None:
        place = run.journal
        ours = place is not None and journal.ours(place)
        targets = [real(target) for target in (run.output.output, aside) if target is not None and plain(target)]
        self._suffix = run.output.suffix if run.into_folder else ""
        self.folders = [identity(target) for target in targets] if run.into_folder else []
        paths = [*map(partial, targets), *([place] if place else []), *(targets if ours else [])]
        self.files = {identity(path) for path in paths} | ({identity(1)} if sys.stdout is not None else set())

    def named(self, name: str) -> bool:
        """Whether a file is called as the run calls those that it makes, in a folder that is both."""
        return bool(self._suffix) and Path(name).stem.endswith(self._suffix)

    def has(self, entry: os.DirEntry[str]) -> bool:
        """Whether it is written by the run, and not for it to read."""
        if entry.is_dir(follow_symlinks=False):
            return identity(Path(entry.path)) in self.folders
        found = identity(Path(entry.path))
        return (found is not None and found in self.files) or _of_a_run(Path(entry.path))


def _of_a_run(path: Path) -> bool:
    """Whether a file is the journal of any run, or what such a run has not finished."""
    if path.suffix == ".partial":
        path = path.with_suffix(".journal")
    return path.suffix == ".journal" and journal.ours(path)


def _folder(path: Path, pattern: str, written: _Written) -> list[InputFile]:
    try:
        os.scandir(path).close()
    except OSError as error:
        raise unreadable(path, error) from error
    files = sorted(_walk(path, path, pattern, written), key=lambda file: file.within.parts)
    if not files:
        raise InputError(f"{shown(path)}: the folder has no files that match {pattern}", code="no-input")
    return files


def _walk(folder: Path, top: Path, pattern: str, written: _Written) -> Iterator[InputFile]:
    """The files of a folder and of those in it; no hidden ones, and no folder behind a link."""
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".") and not written.has(entry)]
    except OSError as error:
        yield InputFile(folder, folder.relative_to(top), named=False, error=unreadable(folder, error))
        return
    for entry in visible:
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path, top, pattern, written)
        elif path.is_file() and not written.named(entry.name) and fnmatch.fnmatch(entry.name, pattern):
            yield InputFile(path, path.relative_to(top), named=False)
