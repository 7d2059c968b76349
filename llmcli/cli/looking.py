"""What the commands that look into a model share: the text, the files that they write, and columns."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmcli.cli import progress
from llmcli.config import offered
from llmcli.errors import InputError, OutputError, UsageError, shown
from llmcli.reports import above, put
from llmcli.text import languages
from llmcli.text.painted import Span, ansi, isolated, marked, visible

if TYPE_CHECKING:
    from llmcli.cli.progress import Preparing

Input = Annotated[
    Path | None,
    typer.Option("--input", "-i", help="Read the text from this file; '-' is standard input.", show_default=False),
]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="A model's name, or the folder of a checkpoint.",
                 autocompletion=offered.models, show_default="that of your settings, else gemma-3-270m"),
]  # fmt: skip
Device = Annotated[
    str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", show_default=False, autocompletion=offered.devices)
]
Offline = Annotated[bool, typer.Option("--offline", help="Never fetch anything.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Nothing on stderr but errors.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object.")]
Svg = Annotated[Path | None, typer.Option(help="Write a picture.", show_default=False)]
Npy = Annotated[Path | None, typer.Option(help="Write the numbers as a NumPy array.", show_default=False)]
Top = Annotated[int, typer.Option("--top", min=1, max=50, help="How many likely tokens are shown.")]
Target = Annotated[
    str, typer.Option("--target", help="Encoder-decoders: what is written; missing: what the model would write.",
                      show_default=False)
]  # fmt: skip
From = Annotated[
    str, typer.Option("--from", "-f", help="Translation models: the text's language.", show_default=False,
                      autocompletion=languages.matching)
]  # fmt: skip
To = Annotated[
    str, typer.Option("--to", "-t", help="Translation models: the other language.", show_default=False,
                      autocompletion=languages.matching)
]  # fmt: skip
LARGEST = 1 << 19
"""The most bytes of a text."""


def texts(given: Sequence[str] | None, path: Path | None, *, writes: Sequence[Path | None] = ()) -> list[str]:
    """The texts of the command line, or the one of a file or of standard input.

    ``writes``: the files that are to be written: refused, before any work, in place of what is read, and where they
    cannot be. Raises UsageError, InputError, OutputError.
    """
    from llmcli.data import inputs, stdin
    from llmcli.run.records import decode

    if given and path is not None:
        raise UsageError("TEXT and --input exclude each other")
    said = [text for text in given or [] if text != "-"]
    if any("\ud800" <= c <= "\udfff" for text in said for c in text):
        raise UsageError("TEXT is not UTF-8")
    read = path if path != inputs.STDIN else None
    _check(writes, inputs.identity(read) if read else inputs.identity(0) if not said else None)
    if said:
        found = said
    elif read is not None:
        try:
            with read.open("rb") as stream:
                found = [decode(_whole(stream))]
        except OSError as error:
            raise inputs.unreadable(read, error) from error
    elif (given or path is not None or stdin.piped()) and sys.stdin is not None:
        found = [decode(_whole(sys.stdin.buffer))]
    else:
        raise UsageError("no text", hint="give it as the argument, with -i FILE, or pipe it")
    found = [text if said else text.removeprefix("\ufeff").removesuffix("\n").removesuffix("\r") for text in found]
    if any(len(text) > LARGEST for text in found):
        raise _too_large()
    if not all(text.strip() for text in found):
        raise InputError("the text is empty", code="empty")
    return found


def _whole(stream: Any) -> bytes:
    raw: bytes = stream.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise _too_large()
    return raw


def _too_large() -> InputError:
    return InputError(f"the text is longer than {LARGEST >> 10} kB", code="too-large", hint="give a part of it")


def _check(writes: Sequence[Path | None], read: tuple[int, int] | None) -> None:
    from llmcli.config.run_config import real
    from llmcli.data.inputs import identity

    paths = [path for path in writes if path is not None]
    for path in paths:
        if path.is_dir():
            raise UsageError(f"{shown(path)}: a folder", hint="give a file's name")
        if not path.parent.is_dir():
            raise OutputError(f"{shown(path)}: {os.strerror(errno.ENOENT)}", code="write")
        if read is not None and identity(path) == read:
            raise UsageError(f"{shown(path)} is both input and output", hint="give another file")
    if len({real(path) for path in paths}) < len(paths):
        raise UsageError("two results would be written to one file", hint="give each its own")


def preparing(*, quiet: bool) -> AbstractContextManager[Preparing]:
    """What is said while a model is made ready."""
    return progress.preparing({"quiet": quiet})


def save(path: Path | None, make: Callable[[], Any]) -> None:
    """Write a picture, or an array, whole, if it has a name: before anything is printed, as a pipe may close.

    Raises OutputError.
    """
    if path is None:
        return
    from llmcli.config.run_config import plain

    content = make()
    if isinstance(content, str):
        raw = content.encode()
    else:
        import numpy

        stream = io.BytesIO()
        numpy.save(stream, numpy.asarray(content), allow_pickle=False)
        raw = stream.getvalue()
    try:
        if plain(path):
            partial = path.with_name(path.name + ".partial")
            partial.write_bytes(raw)
            partial.replace(path)
        else:
            path.write_bytes(raw)
    except OSError as error:
        raise OutputError(f"{shown(path)}: {error.strerror or error}", code="write") from error


def say_json(value: Any) -> None:
    """A line of JSON on standard output."""
    put(json.dumps(value, ensure_ascii=False, allow_nan=False))


def terminal() -> bool:
    """Whether people read standard output."""
    return sys.stdout is not None and sys.stdout.isatty()


def blocks(spans: Sequence[Span]) -> None:
    """Text in colours on a terminal; elsewhere with bars between its pieces."""
    if sys.stdout is None:
        return
    if not terminal():
        put(marked(spans))
        return
    with above(sys.stdout):
        print(ansi(Span(isolated(span.text), span.fill) for span in spans), flush=True)


def columns(header: Sequence[str], rows: Sequence[Sequence[str | Span]]) -> None:
    """A table: aligned on a terminal, with a header; tab-separated elsewhere. Wide letters and those that are written
    from right to left keep their columns.
    """
    if sys.stdout is None:
        return
    if not terminal():
        for row in rows:
            put("\t".join(_plain(cell) for cell in row).rstrip("\t"))
        return
    from rich.cells import cell_len

    whole = [header, *rows]
    widths = [max(cell_len(visible(_plain(row[place]))) for row in whole) for place in range(len(header))]
    with above(sys.stdout):
        for row in whole:
            spans = []
            for cell, width in zip(row, widths, strict=True):
                text = visible(_plain(cell))
                fill = cell.fill if isinstance(cell, Span) else None
                spans += [Span(isolated(text), fill), Span(" " * (width - cell_len(text) + 2))]
            print(ansi(spans).rstrip(), flush=True)


def _plain(cell: str | Span) -> str:
    return cell.text if isinstance(cell, Span) else cell
