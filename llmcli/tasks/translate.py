"""Translate texts and documents."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from llmcli.errors import UsageError
from llmcli.run.fields import Field
from llmcli.run.task import Assembly, Routes, Task
from llmcli.text import languages

if TYPE_CHECKING:
    from typer import Option

    from llmcli.config.run_config import RunConfig, RunOptions
    from llmcli.pipelines.protocol import Emit, Model
    from llmcli.run.records import Record, Result


@dataclass(frozen=True)
class Options:
    """The task's own options."""

    to: Annotated[
        str | None,
        Option("--to", "-t", help="Target language: a code (fr) or a name (French).",
               rich_help_panel="Translation", show_default=False, autocompletion=languages.matching),
    ] = None  # fmt: skip
    from_: Annotated[
        str | None,
        Option("--from", "-f", help="Source language; 'auto' detects it.",
               rich_help_panel="Translation", show_default=False, autocompletion=languages.matching),
    ] = None  # fmt: skip
    rerank: Annotated[
        bool | None,
        Option("--rerank/--no-rerank", help="Choose the beam that also translates back best, of a short sentence among "
               "twice as many.", rich_help_panel="Translation", show_default=False),
    ] = None  # fmt: skip
    samples: Annotated[
        int | None,
        Option(min=0, help="Draw so many translations instead of searching beams, and choose the one that translates "
               "back best.", rich_help_panel="Translation", show_default=False),
    ] = None  # fmt: skip
    keep: Annotated[
        list[str],
        Option("--keep", help="What this regular expression matches stays as it is; repeatable.",
               rich_help_panel="Translation", show_default=False),
    ] = field(default_factory=list)  # fmt: skip
    term: Annotated[
        list[str],
        Option("--term", help="How a term is translated: 'house=Haus'; repeatable.",
               rich_help_panel="Translation", show_default=False),
    ] = field(default_factory=list)  # fmt: skip
    glossary: Annotated[
        Path | None,
        Option("--glossary", help="A .tsv or .csv file of terms and their translations.",
               rich_help_panel="Translation", show_default=False),
    ] = None  # fmt: skip
    memory: Annotated[
        Path | None,
        Option("--memory", help="A .tmx or .tsv file of earlier translations: it is used, and it grows.",
               rich_help_panel="Translation", show_default=False),
    ] = None  # fmt: skip
    strict: Annotated[
        bool, Option("--strict", help="What fails a check is an error: a row fails, a document's segment stays as it "
                     "is, an entry of a PO file is fuzzy.", rich_help_panel="Translation")
    ] = False  # fmt: skip
    check: Annotated[
        bool, Option("--check", help="Only check a translation, that of --against, without a model; exit code 1 "
                     "where it has faults.", rich_help_panel="Translation")
    ] = False  # fmt: skip
    against: Annotated[
        Path | None,
        Option("--against", help="--check: the translation, a file or a folder.",
               rich_help_panel="Translation", show_default=False),
    ] = None  # fmt: skip
    detect: Annotated[
        bool, Option("--detect", help="Only say which language a text is in, and how probable that is.",
                     rich_help_panel="Translation")
    ] = False  # fmt: skip


def prepare(config: RunConfig[Options]) -> RunConfig[Options]:
    """Refuse what makes no sense before a model is loaded. Raises UsageError."""
    options = config.options
    for pattern in options.keep:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(f"--keep {pattern!r} is no regular expression: {error}") from error
    if any(not re.fullmatch(r"(?s)\s*[^\s=\t][^=\t]*[=\t]\s*\S.*", term) for term in options.term):
        raise UsageError("--term is not 'TERM=TRANSLATION'")
    if options.glossary is not None:  # of config.yaml; that of the command line has been read
        from llmcli.tasks import _files

        given = [*options.term, *_files.terms_of(options.glossary)]
        config = replace(config, options=replace(options, glossary=None, term=given))
    if config.spread and (options.memory is not None or options.check or options.detect):
        raise UsageError("--memory, --check and --detect are for one process", hint="leave --shard and --cluster away")
    if options.check and options.against is None:
        raise UsageError("--check needs --against", hint="give --against TRANSLATION")
    if options.against is not None and not options.check:
        raise UsageError("--against is for --check")
    if options.check and options.detect:
        raise UsageError("--check and --detect exclude each other")
    return _sampled(config)


def _sampled(config: RunConfig[Options]) -> RunConfig[Options]:
    """Samples, or the beams or the temperature that were asked for instead. Raises UsageError for both."""
    options = config.options
    if not options.samples:
        return config
    origins = config.origins
    asked = origins.get("options.samples") == "flag"
    able = config.model.facts.instructed and config.model.facts.beams
    if asked and not able:
        raise UsageError(f"{config.model.name} cannot tell how likely a text is read back", hint="leave out --samples")
    others = {"--num-beams": "generation.num_beams", "--temperature": "generation.temperature"}
    instead = [flag for flag, name in others.items() if origins.get(name) == "flag"]
    if origins.get("options.rerank") == "flag" and not options.rerank:
        instead.append("--no-rerank")
    if instead and asked:
        raise UsageError(f"--samples and {instead[0]} exclude each other")
    if instead or not able:
        return replace(config, options=replace(options, samples=0))
    generation = config.generation.model_copy(update={"num_beams": 1, "temperature": None})
    return replace(config, settings=config.settings.model_copy(update={"generation": generation}))


def answer(
    model: Model, config: RunConfig[Options], records: Sequence[Record], *, emit: Emit | None = None
) -> list[Result]:
    """See :func:`llmcli.tasks._rows.answer`: a worker's client and --help do without it."""
    from llmcli.tasks import _rows

    return _rows.answer(model, config, records, emit=emit)


def assemble(run: RunOptions[Options]) -> Assembly | None:
    """What takes the run's documents apart. Raises UsageError, InputError for its other files."""
    from llmcli.tasks import _files, _rows

    return _files.assemble(run, target=_rows.wanted(run, run.options.to) if run.options.to else "")


def routes(run: RunOptions[Options]) -> Routes:
    """A translation with faults makes --check say no; of one without, no line is written."""
    from llmcli.data import rendering

    silent = run.options.check and rendering.output_format(run, run.output.output) == "text"
    return Routes(drops=lambda result: silent and not result.fields["checks"],
                  refuses=lambda result: run.options.check and bool(result.fields["checks"]))  # fmt: skip


def text(result: Result, options: Options) -> str:
    """The translation; with --detect the language and its probability; with --check a line for each fault."""
    fields = result.fields
    if options.detect:
        return f"{fields['language']}\t{fields['probability']:.4f}"
    if options.check:
        from llmcli.tasks import _files

        return _files.listed(result)
    return str(fields["text"])


def read(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The terms of --glossary as --term. Raises InputError."""
    options = dict(settings.get("options", {}))
    path = options.pop("glossary", None)
    if path is None:
        return settings
    from llmcli.tasks import _files

    terms = [*options.get("term", []), *_files.terms_of(path)]
    return {**settings, "options": {**options, "term": terms}}


CHECKS = Field(
    "checks", "array of objects", "what is wrong with it",
    parts=(
        Field("check", "string", "the name of the check that it fails"),
        Field("message", "string", "what is wrong, in words"),
        Field("line", "integer", "the line where it is"),
        Field("source", "string", "the sentence"),
        Field("target", "string", "its translation"),
    ),
)  # fmt: skip
TASK = Task(
    name="translate",
    help="""Translate texts and documents: sentences change, markup and code do not.

    Markdown, HTML, SRT, VTT, PO, JSON and YAML are known by their files' endings.

    Example: echo "Le chat dort." | llmcli translate --to en

    Example: llmcli translate --to German --from en -i README.md -o README.de.md

    Example: llmcli translate -t fr -i site/ -o site.fr/ --glossary terms.tsv

    Example: llmcli translate --check -f en -t de -i README.md --against README.de.md
    """,
    options=Options,
    answer=answer,
    fields=(
        Field("text", "string", "the translation, line for line"),
        Field("source", "string", "the language it is from, as a BCP-47 code: given or detected"),
        Field("target", "string", "the language it is in"),
        CHECKS,
    ),
    instead={
        "detect": (
            Field("language", "string", "the language, as a BCP-47 code"),
            Field("probability", "number", "how probable that is"),
        ),
        "check": (CHECKS, Field("segments", "integer", "how many pairs were compared")),
    },
    read=read,
    prepare=prepare,
    assemble=assemble,
    routes=routes,
    text=text,
    streams=lambda options: not (options.check or options.detect),
    documents=True,
    window=16,
)
