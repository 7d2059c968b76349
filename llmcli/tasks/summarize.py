"""Summarize texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from llmcli.errors import ROW_ERRORS, GenerationError, InputError
from llmcli.run.fields import Field
from llmcli.run.records import Record, Result, failed
from llmcli.run.task import Task
from llmcli.text import chunking, languages, prompts, prose, ranking
from llmcli.text.prompts import Rendered

if TYPE_CHECKING:
    from typer import Option

    from llmcli.config.run_config import RunConfig
    from llmcli.pipelines.protocol import Completion, Emit, Model


SHORT, SHARE = 24, 0.2
"""Without --sentences a summary has a fifth of a text's words, 24 at least: measured on dialogues, docs/quality.md."""
LONG, OF_LONG = 200, 0.05
"""Words from which a text is long, and the share of what it has more."""


@dataclass(frozen=True)
class Options:
    """The task's own options."""

    sentences: Annotated[
        int | None,
        Option("--sentences", "-n", min=1, help="The most sentences of the summary.",
               rich_help_panel="Summary", show_default=False),
    ] = None  # fmt: skip
    auto_method: Annotated[Literal["abstractive", "extractive"] | None, Option(hidden=True)] = None
    """What auto stands for: set in YAML, by measurement."""
    method: Annotated[
        Literal["auto", "abstractive", "extractive"] | None,
        Option(help="'extractive' picks sentences of the text word for word and cannot invent; 'abstractive' "
               "writes new ones; 'auto' is what measures best for the model.",
               rich_help_panel="Summary", show_default=False),
    ] = None  # fmt: skip


def answer(
    model: Model, config: RunConfig[Options], records: Sequence[Record], *, emit: Emit | None = None
) -> list[Result]:
    """One result a record: ``text`` and the ``method`` that made it."""
    extractive = _method(config) == "extractive"
    results: dict[int, Result] = {}
    drafts: dict[int, Draft] = {}
    for index, record in enumerate(records):
        try:
            if extractive:
                results[index] = _extractive(model, config, record)
            else:
                drafts[index] = _draft(model, config, record)
        except ROW_ERRORS as error:
            results[index] = failed(record, error, model=config.model.name)
    _write(model, config, list(drafts.values()))
    for index, draft in drafts.items():
        try:
            results[index] = _abstractive(draft, model, config)
        except ROW_ERRORS as error:
            results[index] = failed(draft.record, error, model=config.model.name)
    return [results[index] for index in range(len(records))]


def _method(config: RunConfig[Options]) -> str:
    """``auto``: what measures best for a causal model; a checkpoint trained to summarize writes."""
    options = config.options
    if options.method not in (None, "auto"):
        return str(options.method)
    picks = config.model.facts.instructed and not config.model.facts.reads_whole
    return options.auto_method or "extractive" if picks else "abstractive"


def _extractive(model: Model, config: RunConfig[Options], record: Record) -> Result:
    document = prose.read(record.text)
    language = _language(document.text)
    found = document.sentences(language)
    if not found.texts:
        raise InputError("the text has no sentence", code="empty")
    picked = ranking.pick(found.texts, fits=_room(found.texts, config))
    joint = "\n" if found.by_line else _joint(language)
    tokens = model.count(record.text)
    return Result(
        record.id, {"text": joint.join(found.texts[i] for i in picked), "method": "extractive"},
        model=config.model.name, input_tokens=tokens, record=record,
        notices=_covered(tokens, 1, model),
    )  # fmt: skip


def _room(sentences: list[str], config: RunConfig[Options]) -> Callable[[list[int]], bool]:
    """Whether sentences make a summary: by their number where it was given, else by their length."""
    limit = config.options.sentences
    sizes = [words(sentence) for sentence in sentences]
    total = sum(sizes)
    budget = max(SHORT, SHARE * min(total, LONG) + OF_LONG * max(total - LONG, 0))
    return lambda picked: (
        len(picked) <= limit if limit else sum(sizes[i] for i in picked) - sizes[picked[-1]] / 2 <= budget
    )


def words(text: str) -> float:
    """Words of a text; scripts without spaces count two characters a word."""
    unspaced = len(re.findall(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]", text))
    spaced = re.sub(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]", " ", text)
    return unspaced / 2 + len(re.findall(r"\w+", spaced))


def _joint(language: str) -> str:
    return "" if language in languages.UNSPACED else " "


def _language(text: str) -> str:
    try:
        return languages.detect(text, tuple(languages.COMMON))
    except InputError:
        return "en"


@dataclass
class Draft:
    """A summary in the making: the pieces still to be summarized, and what was made of them last."""

    record: Record
    fit: chunking.Fitted
    budget: int
    pieces: list[str]
    made: list[Completion] = field(default_factory=list)
    spent: tuple[int, int] = (0, 0)

    @property
    def text(self) -> str:
        """The summaries of the pieces, one a line."""
        return "\n".join(completion.text.strip() for completion in self.made)


def _draft(model: Model, config: RunConfig[Options], record: Record) -> Draft:
    # An encoder-decoder's answer has a window of its own.
    answer_room = config.generation.max_new_tokens or 128 if config.model.facts.shared_window else 0
    window = model.context_window
    read = window if config.model.facts.reads_whole else min(window, READ_AT_ONCE)
    budget = read - answer_room - model.size(_prompt("", config))
    fit = chunking.fit(record.text, budget=budget, on_long=config.settings.on_long or "chunk", model=model)
    return Draft(record, fit, budget, fit.pieces)


def _prompt(piece: str, config: RunConfig[Options]) -> Rendered:
    limit = int(config.options.sentences or 2)
    return prompts.render(prompts.of(config), piece.strip(), variables={"sentences": str(limit)})


def _write(model: Model, config: RunConfig[Options], drafts: list[Draft]) -> None:
    """Summarize the pieces, then the summaries, until each text has one; a round takes all texts together."""
    while drafts:
        rows = [_prompt(piece, config) for draft in drafts for piece in draft.pieces]
        made = iter([completions[0] for completions in model.complete(rows, config.generation)])
        again = []
        for draft in drafts:
            draft.made = [next(made) for _ in draft.pieces]
            draft.spent = (draft.spent[0] + sum(c.input_tokens for c in draft.made),
                           draft.spent[1] + sum(c.output_tokens for c in draft.made))  # fmt: skip
            shorter = model.count(draft.text) < sum(model.count(piece) for piece in draft.pieces)
            if len(draft.pieces) > 1 and shorter:
                draft.pieces = chunking.chunks(draft.text, budget=draft.budget, count=model.count)
                again.append(draft)
        drafts = again


def _abstractive(draft: Draft, model: Model, config: RunConfig[Options]) -> Result:
    """The result of a draft. Raises GenerationError."""
    text, record = draft.text, draft.record
    prompts.check_own(text, source=record.text, prompt=prompts.of(config))
    sentences = chunking.sentences(text, _language(text))
    if not sentences:
        raise GenerationError("the model wrote no summary", code="empty-answer", hint="try --method extractive")
    limit = config.options.sentences or (2 if config.model.facts.instructed else None)
    tokens, cut = model.count(record.text), any(made.finish_reason == "length" for made in draft.made)
    return Result(
        record.id, {"text": _joint(_language(text)).join(sentences[:limit]), "method": "abstractive"},
        model=config.model.name, input_tokens=draft.spent[0], output_tokens=draft.spent[1],
        finish_reason="length" if cut else "stop", chunks=len(draft.fit.pieces), truncated=draft.fit.truncated,
        record=record, notices=_covered(tokens, len(draft.fit.pieces), model),
    )  # fmt: skip


READ_AT_ONCE = 2048
"""Prompt, text and summary together, in tokens: small models lose the thread of longer ones."""


def _covered(tokens: int, chunks: int, model: Model) -> tuple[str, ...]:
    if chunks == 1 and tokens <= model.context_window:
        return ()
    return (f"covered all {tokens} tokens of the text in {chunks} chunk{'s' if chunks > 1 else ''}",)


TASK = Task(
    name="summarize",
    help="""Summarize a text of any length.

    A document longer than the context window is read in chunks; stderr says what was covered.

    Example: llmcli summarize < article.txt

    Example: llmcli summarize --sentences 2 -i report.txt
    """,
    options=Options,
    answer=answer,
    fields=(
        Field("text", "string", "the summary"),
        Field(
            "method",
            "string",
            "`extractive`: sentences of the text, word for word; `abstractive`: new ones",
            choices=("extractive", "abstractive"),
        ),
    ),
)
