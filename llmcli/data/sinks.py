"""Where results go: standard output, a file that appears under its name when it is whole, a folder of files."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, TextIO

from llmcli.config.run_config import RunOptions
from llmcli.errors import OutputError
from llmcli.reports import above


class Sink(Protocol):
    """Takes what was made of each result. All raise OutputError where the system refuses; a closed pipe stays one."""

    terminal: bool
    """Whether a person reads it as it comes."""

    def open(self) -> None:
        """Make ready to write."""

    def put(self, content: str, *, name: str) -> None:
        """Write what was made of the result of this name (its id)."""

    def close(self, *, whole: bool) -> None:
        """Nothing more comes; ``whole``: all of it came."""


def sink(run: RunOptions[Any], target: Path | None) -> Sink:
    """The sink of a run, or of rows that are set aside into another target."""
    if target is None:
        return Standard()
    return Folder(target) if run.into_folder else File(target)


class Standard:
    """Standard output."""

    terminal = False

    def open(self) -> None:
        """See Sink."""
        if sys.stdout is None:
            raise OutputError("standard output is closed", code="closed")
        self.terminal = sys.stdout.isatty()

    def put(self, content: str, *, name: str = "") -> None:
        """See Sink."""
        with reported(None), above(sys.stdout, ends=content.endswith("\n")):
            sys.stdout.write(content)
            sys.stdout.flush()

    def close(self, *, whole: bool) -> None:
        """See Sink."""


class File:
    """A file: ``NAME.partial`` until it is whole. A write that fails leaves whole rows."""

    terminal = False

    def __init__(self, target: Path) -> None:
        self._target = target
        self._partial = target.with_name(target.name + ".partial")
        self._stream: TextIO | None = None

    def open(self) -> None:
        """See Sink."""
        with reported(self._target):
            self._stream = self._partial.open("w", encoding="utf-8", newline="\n")

    def put(self, content: str, *, name: str = "") -> None:
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
        """See Sink."""
        if self._stream is None:
            return
        with reported(self._target):
            if whole:
                self._stream.flush()
                os.fsync(self._stream.fileno())
            self._stream.close()
            if whole:
                self._partial.replace(self._target)


class Folder:
    """A folder with a file for each result, each of which appears when it is whole."""

    terminal = False

    def __init__(self, target: Path) -> None:
        self._target = target

    def open(self) -> None:
        """See Sink."""
        with reported(self._target):
            self._target.mkdir(parents=True, exist_ok=True)

    def put(self, content: str, *, name: str) -> None:
        """See Sink."""
        path = self._target / name
        with reported(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(path.name + ".partial")
            partial.write_text(content, encoding="utf-8", newline="\n")
            partial.replace(path)

    def close(self, *, whole: bool) -> None:
        """See Sink."""


@contextlib.contextmanager
def reported(target: Path | None) -> Iterator[None]:
    """Turn the system's refusal to write into OutputError; a closed pipe stays what it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"{target or 'standard output'}: {error.strerror or error}", code="write") from error
