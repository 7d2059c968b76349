"""The options that commands share, grouped in frozen dataclasses.

A command takes whole groups (``source: InputOptions``); :func:`flatten` shows Typer one parameter a field
and builds the groups again from what was parsed. No command has a long parameter list.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

from typer import Argument, Option

from llmcli import completion
from llmcli.errors import UsageError

INPUT, MODEL, GENERATION, OUTPUT, BATCH = "Input", "Model", "Generation", "Output", "Batches"
ENDINGS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv"}
"""Input formats by file ending; other files hold one text each."""
R = TypeVar("R")


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
class ModelOptions:
    """Which model, and how it runs."""

    model: Annotated[
        str | None,
        Option("--model", "-m", help="A model's YAML name, or the folder of a checkpoint.",
               rich_help_panel=MODEL, show_default=False, autocompletion=completion.models),
    ] = None  # fmt: skip
    device: Annotated[
        str | None,
        Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MODEL, show_default=False),
    ] = None
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"] | None,
        Option(help="Number format of the weights. float32 is the reproducible one.",
               rich_help_panel=MODEL, show_default=False),
    ] = None  # fmt: skip
    quantize: Annotated[
        Literal["auto", "none", "int8"] | None,
        Option(help="int8: several times as fast on a CPU, nearly the same answers. 'auto': for causal models there, "
               "unless --dtype is given.", rich_help_panel=MODEL, show_default=False),
    ] = None  # fmt: skip
    batch_size: Annotated[
        str | None,
        Option(help="'auto', or the most rows at a time.", rich_help_panel=MODEL, show_default=False),
    ] = None
    allow_pickle: Annotated[
        bool, Option("--allow-pickle", help="Read a local folder's pickled weights too: only of people you trust.",
                     rich_help_panel=MODEL)
    ] = False  # fmt: skip
    offline: Annotated[
        bool, Option("--offline", help="Never fetch anything; a missing model is an error.",
                     rich_help_panel=MODEL)
    ] = False  # fmt: skip
    worker: Annotated[
        bool | None,
        Option("--worker/--no-worker", help="Ask the warm worker, which keeps models loaded, or work in this process.",
               rich_help_panel=MODEL, show_default=False),
    ] = None  # fmt: skip


@dataclass(frozen=True)
class GenerationOptions:
    """The generation config, under transformers' own names."""

    max_new_tokens: Annotated[
        int | None, Option(min=1, help="The most tokens to make.", rich_help_panel=GENERATION,
                           show_default=False)
    ] = None  # fmt: skip
    temperature: Annotated[
        float | None, Option(min=0.0, help="Sampling temperature; 0 is greedy.", rich_help_panel=GENERATION,
                             show_default=False)
    ] = None  # fmt: skip
    top_p: Annotated[
        float | None, Option(min=0.0, max=1.0, help="Sample from the likeliest tokens of this total "
                             "probability.", rich_help_panel=GENERATION, show_default=False)
    ] = None  # fmt: skip
    top_k: Annotated[
        int | None, Option(min=0, help="Sample from this many likeliest tokens; 0: all.",
                           rich_help_panel=GENERATION, show_default=False)
    ] = None  # fmt: skip
    num_beams: Annotated[
        int | None, Option(min=1, help="Beams of beam search; 1: none.", rich_help_panel=GENERATION,
                           show_default=False)
    ] = None  # fmt: skip
    repetition_penalty: Annotated[
        float | None, Option(min=0.01, help="Above 1: repeat less.", rich_help_panel=GENERATION,
                             show_default=False)
    ] = None  # fmt: skip
    stop: Annotated[
        list[str], Option(help="End before this text; repeatable.", rich_help_panel=GENERATION,
                          show_default=False)
    ] = field(default_factory=list)  # fmt: skip
    seed: Annotated[
        int | None, Option(min=0, help="Sampling seed: the same seed gives the same text.",
                           rich_help_panel=GENERATION, show_default=False)
    ] = None  # fmt: skip


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


def request(
    task: str,
    *,
    source: InputOptions,
    model: ModelOptions,
    output: OutputOptions,
    generation: GenerationOptions | None = None,
    own: Any = None,
    combine: bool = False,
) -> Request:
    """Gather the flags that were given (not None, not empty) into a layer of settings."""
    flags = given(model) | {"on_long": source.on_long}
    offline, worker = bool(flags.pop("offline", False)), flags.pop("worker", None)
    if generation is not None:
        flags["generation"] = given(generation)
    if own is not None:
        flags["options"] = given(own)
    flags = {key: value for key, value in flags.items() if value not in (None, {}, [])}
    check(source, output)
    return Request(task, source, output, flags, format=input_format(source), offline=offline, worker=worker,
                   combine=combine)  # fmt: skip


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


def given(group: Any) -> dict[str, Any]:
    """The fields of an option group that the user set."""
    unset = {item.name: [] if item.default is MISSING else item.default for item in fields(group)}
    return {key: value for key, value in asdict(group).items() if value != unset[key]}


def flatten(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command of option groups the flat signature that Typer reads."""
    groups: dict[str, Any] = {name: kind for name, kind in get_type_hints(command).items() if is_dataclass(kind)}
    groups.pop("return", None)
    parameters: list[inspect.Parameter] = []
    for kind in groups.values():
        hints = get_type_hints(kind, include_extras=True)
        for item in fields(kind):
            default = [] if item.default is MISSING else item.default
            parameters.append(
                inspect.Parameter(
                    item.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[item.name]
                )
            )

    @functools.wraps(command)
    def flat(**values: Any) -> R:
        built = {name: kind(**{item.name: values[item.name] for item in fields(kind)}) for name, kind in groups.items()}
        return command(**built)

    del flat.__wrapped__
    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flat
