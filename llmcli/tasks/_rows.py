"""Rows to translate: each one's language, its lines through a model, and its result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from llmcli.errors import ROW_ERRORS, GenerationError, UsageError
from llmcli.run.records import Record, Result, failed
from llmcli.tasks import _lines
from llmcli.tasks._candidates import UNTRANSLATED, Candidates
from llmcli.tasks._lines import Line
from llmcli.tasks._translating import Job, Translated, Translator
from llmcli.text import glossary, languages, protected

if TYPE_CHECKING:
    from llmcli.config.run_config import AnyConfig, RunOptions
    from llmcli.pipelines.protocol import Completion, Emit, Model


@dataclass(frozen=True)
class Row:
    """A record, its language, and its lines."""

    record: Record
    source: str
    lines: tuple[Line, ...]


def answer(model: Model, config: AnyConfig, records: Sequence[Record], *, emit: Emit | None = None) -> list[Result]:
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
    candidates = Candidates(model, config, target, rerank=bool(options.rerank), samples=options.samples or 0)
    translate = Translator(candidates, protected.kept(options.keep), glossary.given(options.term))
    made = iter(translate(jobs))
    for index, row in rows.items():
        results[index] = _result(row, target, made, config)
    return [results[index] for index in range(len(records))]


def _target(config: AnyConfig) -> str:
    """The target language as far as the model tells its scripts and regions apart."""
    only = config.model.target_languages
    name = config.options.to or (only[0] if len(only) == 1 else "")
    if not name:
        raise UsageError("no target language", hint="give --to LANG, for example --to fr")
    return languages.variant(wanted(config, name), config.model.targets)


def wanted(run: RunOptions[Any], name: str) -> str:
    """The target language as it was asked for, with its script and region."""
    target = languages.tag(name)
    source = run.options.from_
    if source not in (None, "auto") and languages.parse(str(source)) == target:  # zh to zh-Hant is a translation
        raise UsageError(f"source and target are both {languages.name(target)}")
    return target


def _source(text: str, config: AnyConfig) -> str:
    name = config.options.from_
    if name not in (None, "auto"):
        return languages.parse(str(name))
    only = config.model.source_languages
    return only[0] if len(only) == 1 else languages.detect(text, config.model.sources or list(languages.COMMON))


def _check_pair(source: str, target: str, config: AnyConfig) -> None:
    for code, known, way in ((source, config.model.sources, "from"), (target, config.model.targets, "to")):
        if known and code not in known:
            raise UsageError(
                f"{config.model.name} does not translate {way} {languages.name(code)}",
                code="bad-pair",
                hint=f"it translates {way} {languages.listed(known)}",
            )


def _row(record: Record, model: Model, config: AnyConfig, target: str) -> Row:
    """A record's lines. Raises ROW_ERRORS."""
    source = _source(record.part.get("sample", record.text), config)
    _check_pair(source, target, config)
    texts = record.text.split("\n")
    if source == target:
        return Row(record, source, tuple(Line(text, ()) for text in texts))
    syntax, kept = record.part.get("syntax", "plain"), protected.kept(config.options.keep)
    lines = (_lines.split(text, source, syntax=syntax, keep=kept) for text in texts)
    return Row(record, source, tuple(_lines.fitted(line, model, config, syntax=syntax, keep=kept) for line in lines))


def _result(row: Row, target: str, made: Iterator[Translated], config: AnyConfig) -> Result:
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
        notices.append(f"{config.model.name} is weak in {' and '.join(weak)}: check the translation"
                       + _elsewhere(config, row.source, target))  # fmt: skip
    return Result(
        record.id, {"text": "\n".join(out), "source": row.source, "target": target, "checks": faults},
        model=config.model.name,
        input_tokens=sum(c.input_tokens for c in used), output_tokens=sum(c.output_tokens for c in used),
        finish_reason="length" if any(c.finish_reason == "length" for c in used) else "stop",
        truncated=any(line.truncated for line in row.lines), notices=tuple(notices), record=record,
    )  # fmt: skip


def _elsewhere(config: AnyConfig, source: str, target: str) -> str:
    """How the model of a pair of languages is asked, where the pair was known too late to choose it."""
    named = (config.settings.models or {}).get(f"{source}-{languages.base(target)}", config.model.name)
    return f", or give -m {named}" if named != config.model.name else ""
