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
from llmcli.text.echoes import Example, echoes
from llmcli.text.prompts import Rendered

if TYPE_CHECKING:
    from typer import Option

    from llmcli.config.run_config import RunConfig
    from llmcli.config.schemas import Prompt
    from llmcli.pipelines.protocol import Completion, Emit, Model

_MARK = re.compile(r"\s*(?:(?:[-*•–>#]+|\d{1,3}[.)])\s+)*")
"""What stands before a line's text and is kept: indentation, list marks, quote marks, heading marks."""
_NO_TEXT = re.compile(r"</?[A-Za-z][^<>]*>?|[^<>]*>$|\w+://\S+|\S+@\S+\.\w+|`[^`]*`|\{[^{}]*\}|&#?\w+;")
"""What is no word of any language: tags, also torn ones, addresses, code, placeholders, entities."""
UNTRANSLATED = "untranslated"
"""The finish reason of a sentence that is as it was."""
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
    if not any(character.isalpha() for character in _NO_TEXT.sub("", body)):
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


@dataclass(frozen=True)
class Sentence:
    """A sentence to translate."""

    text: str
    source: str


def _translate(
    model: Model, config: RunConfig[Options], todo: list[tuple[int, str, list[Line]]], target: str
) -> list[Completion]:
    """The translation of each sentence; one that is a piece of the prompt's examples is never given."""
    prompt, generation = prompts.of(config), config.generation
    sentences = [Sentence(text, source) for _, source, lines in todo for line in lines for text in line.sentences]
    if not sentences:
        return []
    if generation.max_new_tokens is None and config.model.facts.shared_window:
        longest = max(model.count(sentence.text) for sentence in sentences)
        generation = generation.model_copy(update={"max_new_tokens": 2 * longest + 32})
    instructed = config.model.facts.instructed and prompt.style == "completion"
    rerank = bool(config.options.rerank) and instructed and (generation.num_beams or 1) > 1
    if rerank:
        generation = generation.model_copy(update={"num_return_sequences": generation.num_beams})
    rows = [_prompt(prompt, sentence.text, source=sentence.source, target=target) for sentence in sentences]
    beams = [
        [beam for beam in completions if not _echoes(beam, sentence, prompt, target)]
        or [replace(completions[0], text=sentence.text, finish_reason=UNTRANSLATED)]
        for sentence, completions in zip(sentences, model.complete(rows, generation), strict=True)
    ]
    return _reranked(model, prompt, sentences, beams, target) if rerank else [first for first, *_ in beams]


def _echoes(beam: Completion, sentence: Sentence, prompt: Prompt, target: str) -> bool:
    shots = (Example(shot[sentence.source], shot[target]) for shot in _shots(prompt, sentence.source, target))
    return echoes(beam.text, source=sentence.text, examples=shots)


def _reranked(
    model: Model, prompt: Prompt, sentences: list[Sentence], beams: list[list[Completion]], target: str
) -> list[Completion]:
    """The beam y of a sentence x with the best log P(y|x)/|y| + log P(x|y)/|x|.

    Noisy-channel reranking: Yee et al., "Simple and Effective Noisy Channel Modeling for NMT" (EMNLP 2019).
    """
    pairs = [(place, beam) for place, row in enumerate(beams) for beam in row if beam.text.strip()]
    back = [_prompt(prompt, beam.text.strip(), source=target, target=sentences[place].source) for place, beam in pairs]
    scores = model.likelihood(back, [f" {sentences[place].text}" for place, _ in pairs])
    best = {place: (float("-inf"), row[0]) for place, row in enumerate(beams)}
    for (place, beam), score in zip(pairs, scores, strict=True):
        best[place] = max(best[place], (beam.score + score, beam), key=lambda scored: scored[0])
    return [best[place][1] for place in range(len(beams))]


def _shots(prompt: Prompt, source: str, target: str) -> list[dict[str, str]]:
    """Examples are parallel sentences: those in both languages are used."""
    return [shot for shot in prompt.examples if source in shot and target in shot]


def _prompt(prompt: Prompt, sentence: str, *, source: str, target: str) -> Rendered:
    shots = [{"text": shot[source], "answer": shot[target]} for shot in _shots(prompt, source, target)]
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
            used.append(next(made))
            texts.append(used[-1].text.strip())
        out.append(line.mark + joint.join(texts) + line.tail)
    notices = []
    if source == target:
        notices.append(f"{record.where or 'the text'} is in {languages.name(target)} already: passed through")
    weak = [languages.name(code) for code in (source, target) if code in config.model.weak_languages]
    if any(completion.finish_reason == UNTRANSLATED for completion in used):
        notices.append(f"{record.where or 'the text'}: the model had no translation of its own for some sentences: "
                       "they are as they were")  # fmt: skip
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
