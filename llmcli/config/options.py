"""The options that commands share, grouped in frozen dataclasses; a task declares its own beside itself.

Typer is named by annotations alone, and not imported: the worker's client does without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from llmcli.config import offered

if TYPE_CHECKING:
    from typer import Argument, Option

INPUT, OUTPUT, BATCH, MODEL = "Input", "Output", "Batches", "Model"
"""Panels of the help."""
DOCUMENTS = ("markdown", "html", "srt", "vtt", "po", "json-strings", "yaml")
"""Formats of documents: one text a file, of which a task changes some spans."""
SHORT_FORMATS = ("lines", "jsonl", "csv")
"""Flags that stand for a format."""
COMMAND_LINE = frozenset({
    "text", "input", "output", "resume", "retry_failed", "debug", "worker", "check", "against", "detect", "requests",
    "responses", "shard", "cluster",
})  # fmt: skip
"""Options that name one run, or are needed before any file is read: config.yaml cannot hold them."""


@dataclass(frozen=True)
class InputOptions:
    """Where the texts come from. Once resolved, ``format`` is never ``auto``; short flags are folded into it."""

    text: Annotated[
        str | None, Argument(help="The text itself. Missing or '-': standard input.", show_default=False)
    ] = None
    input: Annotated[
        list[Path],
        Option("--input", "-i", help="A file or a folder; repeatable. '-' is standard input.",
               rich_help_panel=INPUT, show_default=False),
    ] = field(default_factory=list)  # fmt: skip
    responses: Annotated[
        list[Path], Option(help="Read a server's answers from this file of OpenAI batch responses; repeatable.",
                           rich_help_panel=BATCH, show_default=False)
    ] = field(default_factory=list)  # fmt: skip
    format: Annotated[
        Literal["auto", "text", "lines", "jsonl", "json", "csv", "tsv", "markdown", "html", "srt", "vtt", "po",
                "json-strings", "yaml"],
        Option(help="'text': one text a file. 'lines': one text a line. 'json': an array of objects. 'markdown' and "
               "so on: documents, for translate. 'auto': by the file's ending, else 'text'.", rich_help_panel=INPUT),
    ] = "auto"  # fmt: skip
    lines: Annotated[
        bool, Option("--lines", help="Short for --format lines. A line in, a line out: empty where it failed; line "
                     "breaks of an answer become blanks, unless it is --json.", rich_help_panel=INPUT)
    ] = False  # fmt: skip
    jsonl: Annotated[bool, Option("--jsonl", help="Short for --format jsonl.", rich_help_panel=INPUT)] = False
    csv: Annotated[bool, Option("--csv", help="Short for --format csv.", rich_help_panel=INPUT)] = False
    field: Annotated[
        str | None,
        Option(help="JSON, CSV: the field that holds the text; 'a.b' is field b within a.", rich_help_panel=INPUT,
               show_default="text; context for answer"),
    ] = None  # fmt: skip
    template: Annotated[
        str | None,
        Option(help="JSON, CSV: the text, made of several fields: '{title}: {body}'.", rich_help_panel=INPUT,
               show_default=False),
    ] = None  # fmt: skip
    id_field: Annotated[
        str | None,
        Option(help="JSON, CSV: the field that holds the row's id. One that is named so must be unique over all files: "
               "a row with an id that was seen before is an error. '' numbers the rows.", rich_help_panel=INPUT,
               show_default="id or custom_id, which may repeat, else the line number"),
    ] = None  # fmt: skip
    delimiter: Annotated[
        str | None,
        Option(help="CSV: what stands between two columns.", rich_help_panel=INPUT, show_default="found in the header"),
    ] = None
    columns: Annotated[
        str | None,
        Option(help="CSV without a header: the names of its columns, with commas between.", rich_help_panel=INPUT,
               show_default=False),
    ] = None  # fmt: skip
    quoting: Annotated[
        Literal["auto", "double", "none"],
        Option(help="CSV: 'double': quotes hold a cell together. 'none': they are characters like others. 'auto': "
               "'double', and of tabs what the file looks like.", rich_help_panel=INPUT),
    ] = "auto"  # fmt: skip
    max_chars: Annotated[
        int, Option(min=1, help="The most characters of a text; a longer one is an error.", rich_help_panel=INPUT)
    ] = 5_000_000
    pattern: Annotated[
        str, Option("--pattern", help="Folders: which files to read, by name.", rich_help_panel=INPUT)
    ] = "*"

    @property
    def text_field(self) -> str:
        """The field of a row that holds its text."""
        return self.field or "text"


@dataclass(frozen=True)
class OutputOptions:
    """Where the results go, and what is said on stderr."""

    output: Annotated[
        Path | None,
        Option("--output", "-o", help="Write to this file (a folder when the input is one); '-' is standard output.",
               rich_help_panel=OUTPUT, show_default=False),
    ] = None  # fmt: skip
    suffix: Annotated[
        str, Option("--suffix", help="Output folders: what stands before the ending of a file's name: '.de' makes "
                    "a.de.md of a.md.", rich_help_panel=OUTPUT, show_default=False)
    ] = ""  # fmt: skip
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
    requests: Annotated[
        Path | None, Option(help="Ask nobody: write the requests to this file of OpenAI batch lines, for any engine.",
                            rich_help_panel=BATCH, show_default=False)
    ] = None  # fmt: skip
    max_errors: Annotated[
        int | None,
        Option(min=1, help="Halt after so many failed rows.", rich_help_panel=BATCH, show_default=False),
    ] = None
    quiet: Annotated[bool, Option("--quiet", "-q", help="Nothing on stderr but errors.", rich_help_panel=OUTPUT)] = (
        False
    )
    cost: Annotated[
        bool,
        Option("--cost", help="Say on stderr what it cost: tokens, seconds, peak memory, and energy where the "
               "machine's counters can be read. With --json a single text's object has it too.",
               rich_help_panel=OUTPUT),
    ] = False  # fmt: skip
    verbose: Annotated[
        bool,
        Option("--verbose", "-v", help="Say on stderr which model answers: in which process, from which folder, on "
               "which device, in which number format.", rich_help_panel=OUTPUT),
    ] = False  # fmt: skip
    no_progress: Annotated[bool, Option("--no-progress", help="No progress bar.", rich_help_panel=OUTPUT)] = False
    debug: Annotated[bool, Option("--debug", help="Show the traceback of an error.", rich_help_panel=OUTPUT)] = False


@dataclass(frozen=True)
class ModelOptions:
    """Which model, and how it runs."""

    model: Annotated[
        str | None,
        Option("--model", "-m", help="A model's YAML name, the folder of a checkpoint, or URL#NAME: a server's.",
               rich_help_panel=MODEL, show_default=False, autocompletion=offered.models),
    ] = None  # fmt: skip
    device: Annotated[
        str | None,
        Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MODEL, show_default=False,
               autocompletion=offered.devices),
    ] = None  # fmt: skip
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
    plain: Annotated[
        bool, Option("--plain", help="Transformers alone, without llmcli's shortcuts: slower, to compare with.",
                     rich_help_panel=MODEL)
    ] = False  # fmt: skip
    batch_size: Annotated[
        str | None,
        Option(help="'auto', or the most rows at a time.", rich_help_panel=MODEL, show_default=False),
    ] = None
    allow_pickle: Annotated[
        bool, Option("--allow-pickle", help="Read a local folder's pickled weights too: only of people you trust.",
                     rich_help_panel=MODEL)
    ] = False  # fmt: skip
    on_long: Annotated[
        Literal["chunk", "truncate", "error"] | None,
        Option(help="What to do with a text longer than the model's context window.",
               rich_help_panel=INPUT, show_default=False),
    ] = None  # fmt: skip


@dataclass(frozen=True)
class ProcessOptions:
    """Whether the network may be asked, and which process works."""

    offline: Annotated[
        bool, Option("--offline", help="Never fetch anything; a missing model is an error.",
                     rich_help_panel=MODEL)
    ] = False  # fmt: skip
    worker: Annotated[
        bool | None,
        Option("--worker/--no-worker", help="Ask the warm worker, which keeps models loaded, or work in this process.",
               rich_help_panel=MODEL, show_default=False),
    ] = None  # fmt: skip


def given(group: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Of all values by name, those of a group's fields that are set: not what an option is by default."""
    unset = {item.name: [] if item.default is MISSING else item.default for item in fields(group)}
    return {name: values[name] for name in unset if name in values and values[name] != unset[name]}
