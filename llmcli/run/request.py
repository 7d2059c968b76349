"""What a command asks for: the parsed command line of one task, with its options of input and output.

Typer is named by annotations alone, and not imported: the worker's client does without it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from llmcli.errors import UsageError

if TYPE_CHECKING:
    from typer import Argument, Option

INPUT, OUTPUT, BATCH = "Input", "Output", "Batches"
ENDINGS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv"}
"""Input formats by file ending; other files hold one text each."""


@dataclass(frozen=True)
class InputOptions:
    """Where the texts come from."""

    text: Annotated[
        str | None, Argument(help="The text itself. Missing or '-': standard input.", show_default=False)
    ] = None
    input: Annotated[
        list[Path],
        Option("--input", "-i", help="A file or a folder; repeatable. '-' is standard input.",
               rich_help_panel=INPUT, show_default=False),
    ] = field(default_factory=list)  # fmt: skip
    format: Annotated[
        Literal["auto", "text", "lines", "jsonl", "csv", "tsv"],
        Option(help="'text': one text a file. 'lines': one text a line. 'auto': by the file's ending, else 'text'.",
               rich_help_panel=INPUT),
    ] = "auto"  # fmt: skip
    lines: Annotated[bool, Option("--lines", help="Short for --format lines.", rich_help_panel=INPUT)] = False
    jsonl: Annotated[bool, Option("--jsonl", help="Short for --format jsonl.", rich_help_panel=INPUT)] = False
    csv: Annotated[bool, Option("--csv", help="Short for --format csv.", rich_help_panel=INPUT)] = False
    field: Annotated[
        str | None,
        Option(help="JSONL, CSV: the field that holds the text.", rich_help_panel=INPUT,
               show_default="text; context for answer"),
    ] = None  # fmt: skip
    id_field: Annotated[
        str | None,
        Option(help="JSONL, CSV: the field that holds the row's id.", rich_help_panel=INPUT,
               show_default="id or custom_id, else the line number"),
    ] = None  # fmt: skip
    delimiter: Annotated[
        str | None,
        Option(help="CSV: what stands between two columns.", rich_help_panel=INPUT, show_default="found in the header"),
    ] = None
    pattern: Annotated[
        str, Option("--pattern", help="Folders: which files to read, by name.", rich_help_panel=INPUT)
    ] = "*"
    on_long: Annotated[
        Literal["chunk", "truncate", "error"] | None,
        Option(help="What to do with a text longer than the model's context window.",
               rich_help_panel=INPUT, show_default=False),
    ] = None  # fmt: skip

    @property
    def text_field(self) -> str:
        """The field of a row that holds its text."""
        return self.field or "text"


@dataclass(frozen=True)
class OutputOptions:
    """Where the results go, and what is said on stderr."""

    output: Annotated[
        Path | None,
        Option("--output", "-o", help="Write to this file (a folder when the input is one).",
               rich_help_panel=OUTPUT, show_default=False),
    ] = None  # fmt: skip
    json: Annotated[
        bool, Option("--json", help="One JSON object a result, each on one line.", rich_help_panel=OUTPUT)
    ] = False
    merge: Annotated[
        bool, Option("--merge", help="JSON: keep the fields of the input row.", rich_help_panel=OUTPUT)
    ] = False
    resume: Annotated[
        bool | None,
        Option("--resume/--no-resume", help="Go on where an unfinished run with this --output stopped, or start anew.",
               rich_help_panel=BATCH, show_default=False),
    ] = None  # fmt: skip
    retry_failed: Annotated[
        bool, Option("--retry-failed", help="Resume, and run the failed rows again.", rich_help_panel=BATCH)
    ] = False
    max_errors: Annotated[
        int | None,
        Option(min=1, help="Halt after so many failed rows.", rich_help_panel=BATCH, show_default=False),
    ] = None
    quiet: Annotated[bool, Option("--quiet", "-q", help="Nothing on stderr but errors.", rich_help_panel=OUTPUT)] = (
        False
    )
    verbose: Annotated[bool, Option("--verbose", "-v", help="Say on stderr what is used.", rich_help_panel=OUTPUT)] = (
        False
    )
    no_progress: Annotated[bool, Option("--no-progress", help="No progress bar.", rich_help_panel=OUTPUT)] = False
    debug: Annotated[bool, Option("--debug", help="Show the traceback of an error.", rich_help_panel=OUTPUT)] = False


@dataclass(frozen=True)
class Request:
    """What a command asks for: the parsed command line of one task. ``format`` is never ``auto``."""

    task: str
    source: InputOptions
    output: OutputOptions
    flags: dict[str, Any]
    format: str = "text"
    offline: bool = False
    worker: bool | None = None
    """Whether the worker is wanted; None: what the environment says."""
    combine: bool = False
    """Standard input and TEXT make one prompt, in this order."""

    @property
    def batch(self) -> bool:
        """Whether there are rows: several texts, each with a result of its own."""
        folder = any(path.is_dir() for path in self.source.input)
        return self.format != "text" or len(self.source.input) > 1 or folder

    @property
    def into_folder(self) -> bool:
        """Whether each file of an input folder gives a file of the output folder. ``-o NAME.jsonl`` is one file."""
        target = self.output.output
        if target is None or self.format != "text" or not any(path.is_dir() for path in self.source.input):
            return False
        return target.is_dir() or target.suffix.lower() not in ENDINGS

    @property
    def journal(self) -> Path | None:
        """Where a batch's journal is; None where the run keeps none: no output file, or a single text."""
        target = self.output.output
        if target is None or not self.batch:
            return None
        return target / ".llmcli.journal" if self.into_folder else target.with_name(target.name + ".journal")


def input_format(source: InputOptions) -> str:
    """The input's format: named on the command line, else by file ending. Raises UsageError where two differ."""
    named = [name for name in ("lines", "jsonl", "csv") if getattr(source, name)]
    named += [source.format] if source.format not in ("auto", *named) else []
    if len(named) > 1:
        raise UsageError(f"two input formats: {' and '.join(named)}", hint="give one")
    if named:
        return named[0]
    found = {"text" if path.is_dir() else ENDINGS.get(path.suffix.lower(), "text") for path in source.input}
    if len(found) > 1:
        raise UsageError(f"inputs of different formats: {', '.join(sorted(found))}", hint="give --format")
    return found.pop() if found else "text"


def check(source: InputOptions, output: OutputOptions) -> None:
    """Refuse options that make no sense together."""
    if (output.resume or output.retry_failed) and output.output is None:
        raise UsageError("--resume and --retry-failed need --output", hint="give -o FILE")
    if output.resume is False and output.retry_failed:
        raise UsageError("--no-resume and --retry-failed exclude each other")
    if source.delimiter is not None and len(source.delimiter) != 1:
        raise UsageError("--delimiter must be one character")
    if output.output is not None and any(_same(path, output.output) for path in source.input):
        raise UsageError(f"{output.output} is both input and output", hint="give another --output")


def _same(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)
