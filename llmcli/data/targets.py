"""Where results go, looked at before any work: no input is overwritten, no result replaces another."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from llmcli.config.run_config import RunOptions, descriptor, ending, plain, real
from llmcli.data import rendering
from llmcli.data.inputs import STDIN, UNFINISHED, InputFile, identity, partial
from llmcli.errors import UsageError, shown
from llmcli.run.task import Task

ANOTHER = "give another --output"


def check(run: RunOptions[Any], files: Sequence[InputFile], *, aside: Path | None = None) -> None:
    """Raise UsageError for outputs that cannot be: a folder, an input, a thing in the way, a format that is none.

    ``aside`` is where rows are set aside. Files of requests are outputs, files of responses are inputs.
    """
    target = run.output.output
    targets = [path for path in (target, aside) if path is not None]
    for path in targets:
        _check_ending(run, path)
        if not plain(path) and (run.output.resume or run.output.retry_failed):
            raise UsageError(f"{shown(path)}: only a file can be resumed", hint="give -o FILE")
    read = _read(run, files)
    if sys.stdout is not None and (target is None or descriptor(target) == 1) and identity(1) in read:
        raise UsageError("standard output is an input too", hint=ANOTHER)
    written: set[Path] = set()
    for path in _written(run, targets, files):
        if path in written or written & {*path.parents}:
            raise UsageError(f"{shown(path)}: two results would be written there", hint=_apart(run))
        written.add(path)
        if identity(path) in read:
            raise UsageError(f"{shown(path)} is both input and output", hint=ANOTHER)


def aside(run: RunOptions[Any], task: Task[Any]) -> Path | None:
    """Where a run sets rows aside; a shard does so in its folder."""
    path = task.routes(run).aside
    if path is None or run.shard is None or run.output.output is None:
        return path
    return run.output.output.with_name(f"{run.shard.name}.{path.name}")


def _check_ending(run: RunOptions[Any], path: Path) -> None:
    if not run.into_folder and path.is_dir():
        raise UsageError(f"{shown(path)}: a folder, and the output is one file", hint="give a file's name")
    _check_unpacked(path)
    if run.output.json and ending(path) in (".csv", ".tsv"):
        raise UsageError(f"{shown(path)}: --json gives no table", hint="leave --json away, or give -o NAME.jsonl")
    tables = rendering.TABLES
    if run.output.merge and rendering.output_format(run, path) in tables and run.format not in tables:
        raise UsageError(f"{shown(path)}: --merge is for JSON", hint="give -o NAME.jsonl")


def _check_unpacked(path: Path) -> None:
    if path.name.lower().endswith(".gz"):
        raise UsageError(f"{shown(path)}: the output is not compressed", hint="leave .gz away, and run gzip on it")


def _read(run: RunOptions[Any], files: Sequence[InputFile]) -> set[tuple[int, int] | None]:
    """The identities of what is read."""
    typed = run.source.text not in (None, "-") and not run.combine
    stdin = any(file.path == STDIN for file in files) or not (files or typed)
    given = {identity(file.path) for file in files if file.path != STDIN} | {*map(identity, run.source.responses)}
    return (given | ({identity(sys.stdin.fileno())} if stdin and sys.stdin is not None else set())) - {None}


def _written(run: RunOptions[Any], targets: Sequence[Path], files: Sequence[InputFile]) -> Iterator[Path]:
    """All paths that the run writes to, links resolved. Raises UsageError for one with a thing in its way."""
    if run.output.requests is not None:
        yield from _requests(run.output.requests)
    if run.journal is not None:
        yield run.journal
    for target in targets:
        if not plain(target):
            yield target
        elif run.into_folder:
            yield from _in_folder(run, target, files)
        else:
            yield real(target)
            _check_free(partial(real(target)))
            yield partial(real(target))


def _requests(path: Path) -> Iterator[Path]:
    """A file of requests, and those that may follow it and are there. Raises UsageError as _written() does."""
    from llmcli.remote.files import numbered

    _check_unpacked(path)
    first = real(path)
    _check_free(partial(first))
    yield from (first, partial(first))
    yield from takewhile(Path.exists, (numbered(first, number) for number in count(2)))


def _in_folder(run: RunOptions[Any], target: Path, files: Sequence[InputFile]) -> Iterator[Path]:
    folder = real(target)
    written = rendering.output_format(run, target)
    unfinished: set[Path] = set()
    for file in files:
        if file.error is not None and written != "json":
            continue  # nothing is written of it
        path = folder / rendering.file_name(file.within, written, suffix=run.output.suffix)
        _check_free(path)
        if not real(path.parent).is_relative_to(folder):
            raise UsageError(f"{shown(path)}: a link leads out of the output folder", hint=ANOTHER)
        unfinished.add(path.with_name(UNFINISHED))
        yield path
    yield from unfinished


def _check_free(path: Path) -> None:
    """Raise UsageError where a link, a device or a folder has the name that a plain file is to have."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode):
        raise UsageError(f"{shown(path)}: in the way, and no plain file", hint=f"move it, or {ANOTHER}")


def _apart(run: RunOptions[Any]) -> str:
    return "give each folder its own --output" if run.into_folder else ANOTHER
