"""Translate texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from llmcli.errors import ROW_ERRORS, UsageError
from llmcli.run.records import Record, Result, failed
from llmcli.run.task import Task
from llmcli.text import chunking, languages, prompts
from llmcli.text.prompts import Rendered

if TYPE_CHECKING:
    from typer import Option

    from llmcli.config.run_config import RunConfig
    from llmcli.config.schemas import Prompt
    from llmcli.pipelines.protocol import Completion, Emit, Model

_MARK = re.compile(r"\s*(?:(?:[-*•–>#]+|\d{1,3}[.)])\s+)*")
"""What stands before a line's text and is kept: indentation, list marks, quote marks, heading marks."""
SPECIAL = 32
"""Tokens kept free for an encoder's special tokens and a task prefix ("translate English to German: ")."""


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


@dataclass(frozen=True)
class Line:
    """A line of a text: what is kept before it, and the sentences to translate (none: kept whole)."""

    mark: str
    sentences: tuple[str, ...]
    tail: str = ""
    truncated: bool = False


def answer(
    model: Model, config: RunConfig[Options], records: Sequence[Record], *, emit: Emit | None = None
) -> list[Result]:
    """One result a record: ``text``, ``source`` and ``target``."""
    target = _target(config)
    results: dict[int, Result] = {}
    todo: list[tuple[int, str, list[Line]]] = []
    for index, record in enumerate(records):
        try:
            source = _source(record.text, config)
            _check_pair(source, target, config)
            lines = [Line(text, ()) for text in record.text.split("\n")] if source == target else [
                _fitted(split(line, source), model, config) for line in record.text.split("\n")]  # fmt: skip
            todo.append((index, source, lines))
        except ROW_ERRORS as error:
            results[index] = failed(record, error, model=config.model.name)
    made = iter(_translate(model, config, todo, target))
    for index, source, lines in todo:
        results[index] = _result(records[index], source, target, lines, made, config)
    return [results[index] for index in range(len(records))]


def _target(config: RunConfig[Options]) -> str:
    only = config.model.target_languages
    name = config.options.to or (only[0] if len(only) == 1 else "")
    if not name:
        raise UsageError("no target language", hint="give --to LANG, for example --to fr")
    target = languages.parse(name)
    source = config.options.from_
    if source not in (None, "auto") and languages.parse(str(source)) == target:
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


def split(line: str, language: str) -> Line:
    """Take a line apart. A line without letters is kept as it is."""
    match = _MARK.match(line)
    mark = match[0] if match else ""
    body = line[len(mark) :]
    if not any(character.isalpha() for character in body):
        return Line(line, ())
    stripped = body.rstrip()
    return Line(mark, tuple(chunking.sentences(stripped, language)), body[len(stripped) :])


def _fitted(line: Line, model: Model, config: RunConfig[Options]) -> Line:
    """The line with sentences that its encoder can read. A causal model's window is far longer than a sentence."""
    if config.model.facts.shared_window:
        return line
    budget = model.context_window - SPECIAL
    fitted = [
        chunking.fit(sentence, budget=budget, on_long=config.settings.on_long or "chunk", model=model)
        for sentence in line.sentences
    ]
    pieces = tuple(piece for fit in fitted for piece in fit.pieces)
    return replace(line, sentences=pieces, truncated=any(fit.truncated for fit in fitted))


def _translate(
    model: Model, config: RunConfig[Options], todo: list[tuple[int, str, list[Line]]], target: str
) -> list[Completion]:
    prompt = prompts.of(config)
    generation = config.generation
    rows: list[Rendered] = []
    longest = 0
    for _, source, lines in todo:
        for sentence in (sentence for line in lines for sentence in line.sentences):
            rows.append(_prompt(prompt, sentence, source=source, target=target))
            longest = max(longest, model.count(sentence))
    if not rows:
        return []
    if generation.max_new_tokens is None and config.model.facts.shared_window:
        generation = generation.model_copy(update={"max_new_tokens": 2 * longest + 32})
    examples = config.model.facts.instructed and prompt.style == "completion"
    if not (config.options.rerank and examples) or (generation.num_beams or 1) == 1:
        return [completions[0] for completions in model.complete(rows, generation)]
    generation = generation.model_copy(update={"num_return_sequences": generation.num_beams})
    return _rerank(model, config, todo, model.complete(rows, generation), target)


def _rerank(
    model: Model,
    config: RunConfig[Options],
    todo: list[tuple[int, str, list[Line]]],
    made: list[list[Completion]],
    target: str,
) -> list[Completion]:
    """The beam y of a sentence x with the best log P(y|x)/|y| + log P(x|y)/|x|.

    Noisy-channel reranking: Yee et al., "Simple and Effective Noisy Channel Modeling for NMT" (EMNLP 2019).
    """
    prompt = config.settings.prompt
    assert prompt is not None  # checked by the caller
    sentences = [(source, sentence) for _, source, lines in todo for line in lines for sentence in line.sentences]
    pairs = [(place, found) for place, beams in enumerate(made) for found in beams if found.text.strip()]
    back = [_prompt(prompt, found.text.strip(), source=target, target=sentences[place][0]) for place, found in pairs]
    scores = model.likelihood(back, [f" {sentences[place][1]}" for place, _ in pairs])
    best = {place: (float("-inf"), beams[0]) for place, beams in enumerate(made)}
    for (place, found), score in zip(pairs, scores, strict=True):
        best[place] = max(best[place], (found.score + score, found), key=lambda scored: scored[0])
    return [best[place][1] for place in range(len(made))]


def _prompt(prompt: Prompt, sentence: str, *, source: str, target: str) -> Rendered:
    """Examples are parallel sentences: those in both languages are used; else English stands in."""
    shots = [
        {"text": shot[source], "answer": shot[target]} for shot in prompt.examples if source in shot and target in shot
    ]
    names = {"source": languages.name(source), "target": languages.name(target)}
    rendered = prompts.render(prompt.model_copy(update={"examples": shots}), sentence, variables=names)
    return replace(rendered, source=source, target=target)


def _result(
    record: Record, source: str, target: str, lines: list[Line], made: Iterator[Completion], config: RunConfig[Options]
) -> Result:
    out, used = [], []
    joint = "" if target in languages.UNSPACED else " "
    for line in lines:
        texts = []
        for _ in line.sentences:
            completion_ = next(made)
            used.append(completion_)
            texts.append(completion_.text.strip())
        out.append(line.mark + joint.join(texts) + line.tail)
    notices = []
    if source == target:
        notices.append(f"{record.where or 'the text'} is in {languages.name(target)} already: passed through")
    weak = [languages.name(code) for code in (source, target) if code in config.model.weak_languages]
    if weak and used:
        notices.append(f"{config.model.name} is weak in {' and '.join(weak)}: check the translation")
    return Result(
        record.id, {"text": "\n".join(out), "source": source, "target": target}, model=config.model.name,
        input_tokens=sum(c.input_tokens for c in used), output_tokens=sum(c.output_tokens for c in used),
        finish_reason="length" if any(c.finish_reason == "length" for c in used) else "stop",
        truncated=any(line.truncated for line in lines), notices=tuple(notices), record=record,
    )  # fmt: skip


TASK = Task(
    name="translate",
    help="""Translate texts, sentence by sentence; lines, blank lines and list marks are kept.

    Example: echo "Le chat dort." | llmcli translate --to en

    Example: llmcli translate --to German --from en -i page.txt -o page.de.txt
    """,
    options=Options,
    answer=answer,
    fields=("text", "source", "target"),
    window=16,
)
