"""Translate texts and documents."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from llmcli.errors import ROW_ERRORS, GenerationError, UsageError
from llmcli.run.records import Record, Result, failed
from llmcli.run.task import Assembly, Routes, Task
from llmcli.tasks import _files, _lines
from llmcli.tasks._lines import Line
from llmcli.tasks._translating import UNTRANSLATED, Job, Translated, Translator
from llmcli.text import glossary, languages, protected

if TYPE_CHECKING:
    from typer import Option

    from llmcli.config.run_config import RunConfig, RunOptions
    from llmcli.pipelines.protocol import Completion, Emit, Model


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
        Option("--rerank/--no-rerank", help="Choose the beam that also translates back best.",
               rich_help_panel="Translation", show_default=False),
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


@dataclass(frozen=True)
class Row:
    """A record, its language, and its lines."""

    record: Record
    source: str
    lines: tuple[Line, ...]


def answer(
    model: Model, config: RunConfig[Options], records: Sequence[Record], *, emit: Emit | None = None
) -> list[Result]:
    """One result a record: ``text``, ``source``, ``target``, and ``checks``: what is wrong with it."""
    target = _target(config)
    results: dict[int, Result] = {}
    rows: dict[int, Row] = {}
    for index, record in enumerate(records):
        try:
            rows[index] = _row(record, model, config, target)
        except ROW_ERRORS as error:
            results[index] = failed(record, error, model=config.model.name)
    jobs = [
        Job(sentence, row.source)
        for row in rows.values() for line in row.lines for sentence in line.sentences if sentence.has_words
    ]  # fmt: skip
    options = config.options
    translate = Translator(model, config, target, rerank=bool(options.rerank), keep=protected.kept(options.keep),
                           terms=glossary.given(options.term))  # fmt: skip
    made = iter(translate(jobs))
    for index, row in rows.items():
        results[index] = _result(row, target, made, config)
    return [results[index] for index in range(len(records))]


def _target(config: RunConfig[Options]) -> str:
    """The target language as far as the model tells its scripts and regions apart."""
    only = config.model.target_languages
    name = config.options.to or (only[0] if len(only) == 1 else "")
    if not name:
        raise UsageError("no target language", hint="give --to LANG, for example --to fr")
    return languages.variant(_wanted(config, name), config.model.targets)


def _wanted(run: RunOptions[Options], name: str) -> str:
    """The target language as it was asked for, with its script and region."""
    target = languages.tag(name)
    source = run.options.from_
    if source not in (None, "auto") and languages.parse(str(source)) == target:  # zh to zh-Hant is a translation
        raise UsageError(f"source and target are both {languages.name(target)}")
    return target


def _source(text: str, config: RunConfig[Options]) -> str:
    name = config.options.from_
    if name not in (None, "auto"):
        return languages.parse(str(name))
    only = config.model.source_languages
    return only[0] if len(only) == 1 else languages.detect(text, config.model.sources or list(languages.COMMON))


def _check_pair(source: str, target: str, config: RunConfig[Options]) -> None:
    for code, known, way in ((source, config.model.sources, "from"), (target, config.model.targets, "to")):
        if known and code not in known:
            raise UsageError(
                f"{config.model.name} does not translate {way} {languages.name(code)}",
                code="bad-pair",
                hint=f"it translates {way} {languages.listed(known)}",
            )


def _row(record: Record, model: Model, config: RunConfig[Options], target: str) -> Row:
    """A record's lines. Raises ROW_ERRORS."""
    source = _source(record.part.get("sample", record.text), config)
    _check_pair(source, target, config)
    texts = record.text.split("\n")
    if source == target:
        return Row(record, source, tuple(Line(text, ()) for text in texts))
    syntax, kept = record.part.get("syntax", "plain"), protected.kept(config.options.keep)
    lines = (_lines.split(text, source, syntax=syntax, keep=kept) for text in texts)
    return Row(record, source, tuple(_lines.fitted(line, model, config, syntax=syntax, keep=kept) for line in lines))


def _result(row: Row, target: str, made: Iterator[Translated], config: RunConfig[Options]) -> Result:
    out: list[str] = []
    used: list[Completion] = []
    faults: list[dict[str, Any]] = []
    record, number = row.record, int(row.record.part.get("line", row.record.line or 1))
    for at, line in enumerate(row.lines):
        pieces = []
        for sentence in line.sentences:
            translated = next(made) if sentence.has_words else Translated(sentence.text)
            used += translated.made
            pieces.append((sentence, translated.text))
            faults += [asdict(fault) | {"line": number + at, "source": sentence.text, "target": translated.text}
                       for fault in translated.faults]  # fmt: skip
        out.append(line.mark + _lines.together(pieces, target) + line.tail)
    if faults and config.options.strict and not record.part:
        error = GenerationError(f"it fails checks: {', '.join(sorted({fault['check'] for fault in faults}))}",
                                code="checks")  # fmt: skip
        return failed(record, error, model=config.model.name)
    where = record.where or "the text"
    place = where.rpartition(":")[0] if record.part and ":" in where else where
    notices = [] if row.source != target else [f"{place} is in {languages.name(target)} already: passed through"]
    if any(completion.finish_reason == UNTRANSLATED for completion in used):
        notices.append(f"{place}: the model had no translation of its own for some sentences: they are as they were")
    wanted = languages.tag(config.options.to) if config.options.to and "-" not in target else target
    if wanted != target and used:
        notices.append(f"{config.model.name} does not tell {wanted} from other {languages.name(target)}")
    weak = [languages.name(code) for code in (row.source, target) if code in config.model.weak_languages]
    if weak and used:
        notices.append(f"{config.model.name} is weak in {' and '.join(weak)}: check the translation")
    return Result(
        record.id, {"text": "\n".join(out), "source": row.source, "target": target, "checks": faults},
        model=config.model.name,
        input_tokens=sum(c.input_tokens for c in used), output_tokens=sum(c.output_tokens for c in used),
        finish_reason="length" if any(c.finish_reason == "length" for c in used) else "stop",
        truncated=any(line.truncated for line in row.lines), notices=tuple(notices), record=record,
    )  # fmt: skip


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
        given = [*options.term, *_files.terms_of(options.glossary)]
        config = replace(config, options=replace(options, glossary=None, term=given))
    if options.check and options.against is None:
        raise UsageError("--check needs --against", hint="give --against TRANSLATION")
    if options.against is not None and not options.check:
        raise UsageError("--against is for --check")
    if options.check and options.detect:
        raise UsageError("--check and --detect exclude each other")
    return config


def assemble(run: RunOptions[Options]) -> Assembly | None:
    """What takes the run's documents apart. Raises UsageError, InputError for its other files."""
    return _files.assemble(run, target=_wanted(run, run.options.to) if run.options.to else "")


def routes(run: RunOptions[Options]) -> Routes:
    """A translation with faults makes --check say no."""
    return Routes(refuses=lambda result: run.options.check and bool(result.fields["checks"]))


def text(result: Result, options: Options) -> str:
    """The translation; with --detect the language and its probability; with --check a line for each fault."""
    fields = result.fields
    if options.detect:
        return f"{fields['language']}\t{fields['probability']:.4f}"
    if options.check:
        return _files.listed(result)
    return str(fields["text"])


def read(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The terms of --glossary as --term. Raises InputError."""
    options = dict(settings.get("options", {}))
    path = options.pop("glossary", None)
    if path is None:
        return settings
    terms = [*options.get("term", []), *_files.terms_of(path)]
    return {**settings, "options": {**options, "term": terms}}


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
    fields=("text", "source", "target", "checks"),
    instead={"detect": ("language", "probability"), "check": ("checks", "segments")},
    read=read,
    prepare=prepare,
    assemble=assemble,
    routes=routes,
    text=text,
    streams=lambda options: not (options.check or options.detect),
    documents=True,
    window=16,
)
