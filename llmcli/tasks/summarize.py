"""Summarize texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Option

from llmcli import chunking, languages, prompts, ranking
from llmcli.errors import ConfigError, InputError, LlmcliError
from llmcli.options import GenerationOptions, InputOptions, ModelOptions, OutputOptions, Request, request
from llmcli.pipelines import Emit, Model
from llmcli.records import Record, Result

if TYPE_CHECKING:
    from llmcli.config import RunConfig


SHORT, LONG = 27, 0.1
"""Without --sentences a summary has about 27 words, or a tenth of a long text's."""

FIELDS = ("text", "method")


@dataclass(frozen=True)
class Options:
    """The task's own options."""

    sentences: Annotated[
        int | None,
        Option("--sentences", "-n", min=1, help="The most sentences of the summary.",
               rich_help_panel="Summary", show_default=False),
    ] = None  # fmt: skip
    auto_method: Annotated[str | None, Option(hidden=True)] = None
    """What auto stands for: set in YAML, by measurement."""
    method: Annotated[
        Literal["auto", "abstractive", "extractive"] | None,
        Option(help="'extractive' picks sentences of the text word for word and cannot invent; 'abstractive' "
               "writes new ones; 'auto' is what measures best for the model.",
               rich_help_panel="Summary", show_default=False),
    ] = None  # fmt: skip


def command(
    source: InputOptions,
    own: Options,
    generation: GenerationOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> Request:
    """Summarize a text of any length.

    A document longer than the context window is read in chunks; stderr says what was covered.

    Example: llmcli summarize < article.txt

    Example: llmcli summarize --sentences 2 -i report.txt
    """
    return request("summarize", source=source, model=model, output=output, generation=generation, own=own)


def answer(model: Model, config: RunConfig, records: Sequence[Record], *, emit: Emit | None = None) -> list[Result]:
    """One result a record: ``text`` and the ``method`` that made it."""
    results = []
    for record in records:
        try:
            results.append(_summarize(model, config, record))
        except LlmcliError as error:
            error.where = record.where
            results.append(Result(record.id, model=config.model.name, record=record, error=error))
    return results


def _summarize(model: Model, config: RunConfig, record: Record) -> Result:
    method = config.option("method", "auto")
    if method == "auto":
        method = config.option("auto_method", "extractive")
    if method == "extractive":
        return _extractive(model, config, record)
    return _abstractive(model, config, record)


def _extractive(model: Model, config: RunConfig, record: Record) -> Result:
    language = _language(record.text)
    sentences = chunking.sentences(chunking.unwrap(record.text), language)
    if not sentences:
        raise InputError("the text has no sentence", code="empty")
    picked = ranking.pick(model.embed(sentences), fits=_room(sentences, config))
    joint = "\n" if "\n" in record.text.strip() and _is_list(record.text) else _joint(language)
    tokens = model.count(record.text)
    return Result(
        record.id, {"text": joint.join(sentences[i] for i in picked), "method": "extractive"},
        model=config.model.name, input_tokens=tokens, record=record,
        notices=_covered(tokens, 1, model),
    )  # fmt: skip


def _room(sentences: list[str], config: RunConfig) -> Callable[[list[int]], bool]:
    """Whether sentences make a summary: by their number where it was given, else by their length."""
    limit = config.option("sentences")
    sizes = [words(sentence) for sentence in sentences]
    budget = max(SHORT, LONG * sum(sizes))
    return lambda picked: (
        len(picked) <= limit if limit else sum(sizes[i] for i in picked) - sizes[picked[-1]] / 2 <= budget
    )


def words(text: str) -> float:
    """Words of a text; scripts without spaces count two characters a word."""
    unspaced = len(re.findall(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]", text))
    spaced = re.sub(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]", " ", text)
    return unspaced / 2 + len(re.findall(r"\w+", spaced))


def _is_list(text: str) -> bool:
    """Whether lines are units of their own (a dialogue, a log), not wrapped paragraphs."""
    lines = [line for line in text.split("\n") if line.strip()]
    return sum(len(line) for line in lines) / len(lines) < 200 and len(lines) > 2


def _joint(language: str) -> str:
    return "" if language in languages.UNSPACED else " "


def _language(text: str) -> str:
    try:
        return languages.detect(text, tuple(languages.COMMON))
    except InputError:
        return "en"


def _abstractive(model: Model, config: RunConfig, record: Record) -> Result:
    prompt = config.settings.prompt
    if prompt is None:
        raise ConfigError(f"{config.task}: [prompt] must be set")
    limit = int(config.option("sentences") or 2)
    generation = config.generation
    room = min(model.context_window, READ_AT_ONCE) - (generation.max_new_tokens or 128)
    budget = room - model.size(prompts.render(prompt, "", variables={"sentences": str(limit)}))
    fit = chunking.fit(record.text, budget=budget, on_long=config.settings.on_long or "chunk", model=model)
    pieces, made, spent = fit.pieces, [], [0, 0]
    while True:
        rendered = [prompts.render(prompt, piece.strip(), variables={"sentences": str(limit)}) for piece in pieces]
        made = [completions[0] for completions in model.complete(rendered, generation)]
        spent = [spent[0] + sum(c.input_tokens for c in made), spent[1] + sum(c.output_tokens for c in made)]
        text = "\n".join(c.text.strip() for c in made)
        shorter = model.count(text) < sum(model.count(piece) for piece in pieces)
        if len(pieces) == 1 or not shorter:
            break
        pieces = chunking.chunks(text, budget=budget, count=model.count)
    final = _joint(_language(text)).join(chunking.sentences(text, _language(text))[:limit])
    tokens = model.count(record.text)
    cut = made[-1].finish_reason
    return Result(
        record.id, {"text": final, "method": "abstractive"}, model=config.model.name,
        input_tokens=spent[0], output_tokens=spent[1], finish_reason=cut, chunks=len(fit.pieces),
        truncated=fit.truncated, record=record, notices=_covered(tokens, len(fit.pieces), model),
    )  # fmt: skip


READ_AT_ONCE = 2048
"""Prompt, text and summary together, in tokens: small models lose the thread of longer ones."""


def _covered(tokens: int, chunks: int, model: Model) -> tuple[str, ...]:
    if chunks == 1 and tokens <= model.context_window:
        return ()
    return (f"covered all {tokens} tokens of the text in {chunks} chunk{'s' if chunks > 1 else ''}",)
