"""From the command line's sources to records: arguments, standard input, files and folders, in every format."""

from __future__ import annotations

import codecs
import fcntl
import fnmatch
import os
import stat
import sys
import termios
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmcli.config.run_config import RunOptions
from llmcli.data.lines import LineReader
from llmcli.errors import InputError, UsageError, one_line
from llmcli.reports import say
from llmcli.run import records
from llmcli.run.records import Record, bad, check

SHELLS = ("sh", "ash", "bash", "busybox", "dash", "fish", "ksh", "mksh", "zsh")
"""Programs whose loops read standard input line by line."""


def read(run: RunOptions[Any]) -> Iterator[Record]:
    """Read what the command line names.

    Raises UsageError where there is nothing to read, InputError where a named file cannot be read.
    """
    source = run.source
    text = None if source.text == "-" else source.text
    if text is not None and not run.output.quiet:
        _suspect(text)
    if source.input and text is not None and not run.combine:
        raise UsageError("both TEXT and --input were given", hint="give one of them; each file has its own -i")
    if source.input:
        yield from _files(run, prompt=text)
    elif text is not None and not (run.combine and _piped() and not _left(quiet=run.output.quiet)):
        yield from _literal(text, by_line=run.format == "lines")
    else:
        yield from _stdin(run, prompt=text)


def count(run: RunOptions[Any]) -> int | None:
    """How many records the input holds, where that is known before it is read: files, not pipes.

    None for a table with quotes too: a quoted cell may hold line breaks.
    """
    paths = run.source.input
    if not paths or any(not path.is_file() and not path.is_dir() for path in paths):
        return None
    files = [file for path in paths for file in _expand(path, run.source.pattern)]
    if run.format == "text":
        return len(files)
    from llmcli.data.formats import DELIMITED

    rows = 0
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                if run.format in DELIMITED and b'"' in block:
                    return None
                rows += block.count(b"\n")
    return max(rows - (len(files) if run.format in DELIMITED else 0), 1)


def _literal(text: str, *, by_line: bool) -> Iterator[Record]:
    rows = text.split("\n") if by_line else [text]
    for number, row in enumerate(rows, 1):
        yield check(Record(id=number, text=row, line=number, where=f"argument:{number}"))


def _piped() -> bool:
    """Whether standard input holds something to read: a pipe or a file, not a terminal."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def _left(*, quiet: bool) -> bool:
    """Whether standard input is left to a loop that reads it too, as ``while read line; do llmcli ...`` does.

    A loop's file was read from already; a loop's pipe is the calling shell's own standard input.
    """
    try:
        ours, caller = os.fstat(0), Path(f"/proc/{os.getppid()}")
        if stat.S_ISREG(ours.st_mode):
            shared = os.lseek(0, 0, os.SEEK_CUR) > 0
        else:
            shared = os.path.samestat(ours, (caller / "fd/0").stat()) and (caller / "exe").readlink().name in SHELLS
        waiting = fcntl.ioctl(0, termios.FIONREAD, b"\0" * 4)
    except OSError:  # no /proc, or another user's caller
        return False
    if shared and any(waiting) and not quiet:
        say("llmcli: standard input is left to the calling shell; with -i - it is read here")
    return shared


def _suspect(text: str) -> None:
    """Say so where a TEXT is the name of a file: its content was meant, most likely."""
    if len(text.split()) == 1 and (os.path.isfile(text) or ("/" in text and os.path.isdir(text))):
        say(f"llmcli: {one_line(text)} is taken as the text itself; with -i it is read")


def _stdin(run: RunOptions[Any], *, prompt: str | None) -> Iterator[Record]:
    if sys.stdin is None:
        raise InputError("standard input is closed", code="no-input")
    if sys.stdin.isatty():
        raise UsageError("no text given", code="no-input", hint="give TEXT, -i FILE, or pipe text in; see --help")
    stream = sys.stdin.buffer
    if run.format == "text":
        yield _whole(stream.read(), name="stdin", id=1, prompt=prompt)
    else:
        yield from _rows(LineReader(stream.fileno()), run, name="stdin", prompt=prompt, path=None)


def _files(run: RunOptions[Any], *, prompt: str | None) -> Iterator[Record]:
    for path in run.source.input:
        if str(path) == "-":
            yield from _stdin(run, prompt=prompt)
            continue
        for file in _expand(path, run.source.pattern):
            name = str(file.relative_to(path)) if path.is_dir() else str(file)
            try:
                with file.open("rb", buffering=0) as stream:
                    if run.format == "text":
                        yield _whole(stream.read(), name=str(file), id=name, prompt=prompt, path=file)
                    else:
                        lines = LineReader(stream.fileno())
                        yield from _rows(lines, run, name=str(file), prompt=prompt, path=file)
            except OSError as error:
                raise unreadable(file, error) from error


def _rows(
    lines: LineReader, run: RunOptions[Any], *, name: str, prompt: str | None, path: Path | None
) -> Iterator[Record]:
    from llmcli.data import formats

    for record in formats.rows(lines, run, name=name):
        text = record.text if record.error else _join(record.text, prompt)
        yield check(replace(record, text=text, argument=prompt or "", path=path, last=lines.waiting()))


def _expand(path: Path, pattern: str) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(
        file
        for file in path.rglob("*")
        if file.is_file()
        and fnmatch.fnmatch(file.name, pattern)
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not files:
        raise InputError(f"{path}: the folder has no files that match {pattern}", code="no-input")
    return files


def unreadable(path: Path, error: OSError) -> InputError:
    """The one line for a file that the system will not give."""
    return InputError(f"{path}: {error.strerror or error}", code="unreadable")


def _whole(raw: bytes, *, name: str, id: str | int, prompt: str | None, path: Path | None = None) -> Record:
    empty = Record(id=id, text="", where=name, path=path, named=path is not None)
    try:
        text = records.decode(raw.removeprefix(codecs.BOM_UTF8)).replace("\r\n", "\n")
    except InputError as error:
        return bad(empty, error)
    return check(replace(empty, text=_join(text, prompt), argument=prompt or ""))


def _join(text: str, prompt: str | None) -> str:
    if prompt is None:
        return text
    return f"{text.rstrip()}\n\n{prompt}" if text.strip() else prompt
