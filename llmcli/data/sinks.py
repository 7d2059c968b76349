"""Where results go: standard output, a file that appears when it is whole, a folder of files, a device or pipe."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, TextIO

from llmcli.config.run_config import RunOptions, descriptor, plain, real
from llmcli.data.inputs import UNFINISHED, partial
from llmcli.errors import OutputError, shown
from llmcli.reports import above


class Sink(Protocol):
    """Takes what was made of each result. All raise OutputError where the system refuses; a closed pipe stays one."""

    terminal: bool
    """Whether a person reads it as it comes."""

    def open(self) -> None:
        """Make ready to write."""

    def put(self, content: str, *, name: Path | None = None) -> None:
        """Write what was made of a result; ``name`` is that of its file, for a folder."""

    def close(self, *, whole: bool) -> None:
        """Nothing more comes; ``whole``: all of it came."""


def sink(run: RunOptions[Any], target: Path | None) -> Sink:
    """The sink of a run, or of rows that are set aside into another target."""
    if target is None or descriptor(target) == 1:
        return Standard()
    if not plain(target):
        return Through(target)
    return Folder(real(target)) if run.into_folder else File(real(target))


class Standard:
    """Standard output."""

    terminal = False

    def open(self) -> None:
        """See Sink."""
        if sys.stdout is None:
            raise OutputError("standard output is closed", code="closed")
        self.terminal = sys.stdout.isatty()

    def put(self, content: str, *, name: Path | None = None) -> None:
        """See Sink."""
        with reported(None), above(sys.stdout, ends=content.endswith("\n")):
            sys.stdout.write(content)
            sys.stdout.flush()

    def close(self, *, whole: bool) -> None:
        """See Sink."""


class Through:
    """A device, a pipe, or a file that is open already: written as it is, and never replaced."""

    terminal = False

    def __init__(self, target: Path) -> None:
        self._target = target
        self._stream: TextIO | None = None

    def open(self) -> None:
        """See Sink."""
        with reported(self._target):
            held = descriptor(self._target)
            opened = os.dup(held) if held is not None else os.open(self._target, os.O_WRONLY | os.O_NOCTTY)
            self._stream = os.fdopen(opened, "w", encoding="utf-8", newline="\n")
            self.terminal = self._stream.isatty()

    def put(self, content: str, *, name: Path | None = None) -> None:
        """See Sink."""
        assert self._stream is not None  # opened before
        with reported(self._target), above(self._stream, ends=content.endswith("\n")):
            self._stream.write(content)
            self._stream.flush()

    def close(self, *, whole: bool) -> None:
        """See Sink."""
        if self._stream is not None:
            with reported(self._target):
                self._stream.close()


class File:
    """A file: ``NAME.partial`` until it is whole. A write that fails leaves whole rows."""

    terminal = False

    def __init__(self, target: Path) -> None:
        self._target, self._partial = target, partial(target)
        self._stream: TextIO | None = None

    def open(self) -> None:
        """See Sink."""
        with reported(self._target):
            self._stream = _anew(self._partial, like=self._target)

    def put(self, content: str, *, name: Path | None = None) -> None:
        """See Sink."""
        assert self._stream is not None  # opened before
        with reported(self._target):
            place = self._stream.tell()
            try:
                self._stream.write(content)
                self._stream.flush()
            except OSError:
                os.truncate(self._partial, place)
                raise

    def close(self, *, whole: bool) -> None:
        """See Sink. Where nothing was put, nothing is left."""
        if self._stream is None:
            return
        with reported(self._target):
            if whole:
                self._stream.flush()
                os.fsync(self._stream.fileno())
            empty = not os.fstat(self._stream.fileno()).st_size
            self._stream.close()
            if whole:
                self._partial.replace(self._target)
            elif empty:
                self._partial.unlink()


class Folder:
    """A folder with a file for each result, each of which appears when it is whole."""

    terminal = False

    def __init__(self, target: Path) -> None:
        self._target = target

    def open(self) -> None:
        """See Sink."""
        with reported(self._target):
            self._target.mkdir(parents=True, exist_ok=True)

    def put(self, content: str, *, name: Path | None = None) -> None:
        """See Sink."""
        assert name is not None  # each result has a file
        path = self._target / name
        with reported(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_name(UNFINISHED)
            with _anew(unfinished, like=path) as stream:
                stream.write(content)
            unfinished.replace(path)

    def close(self, *, whole: bool) -> None:
        """See Sink."""


def _anew(path: Path, *, like: Path) -> TextIO:
    """A new file in place of the one that a run left, never what a link leads to; with the rights of ``like``."""
    path.unlink(missing_ok=True)
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    stream = os.fdopen(opened, "w", encoding="utf-8", newline="\n")
    with contextlib.suppress(FileNotFoundError):
        os.fchmod(stream.fileno(), stat.S_IMODE(like.stat().st_mode))
    return stream


@contextlib.contextmanager
def reported(target: Path | None) -> Iterator[None]:
    """Turn the system's refusal to write into OutputError; a closed pipe stays what it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        place = shown(target) if target else "standard output"
        raise OutputError(f"{place}: {error.strerror or error}", code="write") from error
