"""Answer a question from a text."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Annotated, Any

from llmcli.errors import ROW_ERRORS, InputError, UsageError
from llmcli.run.fields import Field
from llmcli.run.records import Record, Result, failed
from llmcli.run.task import Task
from llmcli.tasks import _explaining
from llmcli.text import chunking, prompts
from llmcli.text.prompts import Rendered

if TYPE_CHECKING:
    from typer import Option

    from llmcli.config.run_config import RunConfig
    from llmcli.pipelines.protocol import Completion, Emit, Model, Span

READ_AT_ONCE = 1024
"""Tokens of a text that a causal model reads together; neighbouring windows share half of them."""
LONGEST = 64
"""Tokens kept free for the answer."""
SPECIAL = 4
"""Special tokens around a question and its text."""
NO_ANSWER = "no answer"
"""What text mode prints where a text holds none."""
ASKS_BY_TEXT = ("text", "lines")
"""Formats whose rows bring no question of their own."""
NOTHING: dict[str, Any] = {"text": "", "score": 0.0, "start": None, "end": None, "sentence": ""}


@dataclass(frozen=True)
class Options:
    """The task's own options."""

    question: Annotated[
        str | None,
        Option(help="The question, where it is not the argument.", rich_help_panel="Question", show_default=False),
    ] = None
    free: Annotated[
        bool, Option("--free", help="Answer in the model's own words, which may be wrong or not in the text.",
                     rich_help_panel="Question")
    ] = False  # fmt: skip
    explain: Annotated[
        bool,
        Option("--explain", help="Say which sentences the answer hangs on: each is left out in turn, so it takes as "
               "many texts. With -o NAME.svg a picture.", rich_help_panel="Question"),
    ] = False  # fmt: skip
    threshold: Annotated[
        float | None,
        Option(min=0.0, max=1.0, help="Say that there is no answer where the score is lower.",
               rich_help_panel="Question", show_default=False),
    ] = None  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """A window of a record's text: where it begins, and what is asked of it."""

    row: int
    begin: int
    question: str
    text: str


def prepare(config: RunConfig[Options]) -> RunConfig[Options]:
    """The argument is the question; rows hold their text in ``context``. Raises UsageError for two or none."""
    source, options = config.source, config.options
    if source.text is not None and config.origins.get("options.question") == "flag":
        raise UsageError("two questions", hint="give the question as the argument or with --question")
    if options.threshold is not None and (options.free or config.model.source.server is not None):
        raise UsageError(f"{'--free' if options.free else 'a server'} has no score for --threshold")
    if options.explain and (options.free or not config.model.facts.marks_spans):
        raise UsageError("--explain needs a score, which an answer in the model's own words has not",
                         hint="leave out --free" if options.free else "give a causal --model")  # fmt: skip
    question = source.text if source.text is not None else options.question
    if question is None and config.format in ASKS_BY_TEXT:
        raise UsageError("no question", hint='llmcli answer "QUESTION" < FILE')
    source = replace(source, text=None, field=source.field or "context")
    return replace(config, source=source, options=replace(options, question=question))


def text(result: Result, options: Options) -> str:
    """The answer, or that there is none."""
    return "\t".join([str(result.fields["text"]) or NO_ANSWER, *_explaining.line(result)])


def context(result: Result) -> str:
    """The sentence around an answer."""
    return str(result.fields["sentence"])


def answer(
    model: Model, config: RunConfig[Options], records: Sequence[Record], *, emit: Emit | None = None
) -> list[Result]:
    """One result a record: ``text`` (empty: no answer), ``score``, ``start``, ``end`` and ``sentence``."""
    failures: dict[int, Result] = {}
    pieces: list[Piece] = []
    for index, record in enumerate(records):
        try:
            pieces += _pieces(index, record, model=model, config=config)
        except ROW_ERRORS as error:
            failures[index] = failed(record, error, model=config.model.name)
    work = _free if config.options.free or not config.model.facts.marks_spans else _marked
    made = work(model, config, records, pieces)
    return [failures[index] if index in failures else made[index] for index in range(len(records))]


def _pieces(index: int, record: Record, *, model: Model, config: RunConfig[Options]) -> list[Piece]:
    """The windows of a text that are read one by one. Raises InputError, GenerationError."""
    question, facts = _question(record, config), config.model.facts
    on_long = config.settings.on_long or "chunk"
    if facts.reads_any_length:
        if on_long == "chunk":
            return [Piece(index, 0, question, record.text)]  # it makes windows of its own
        room = model.context_window - model.count(question) - SPECIAL
    else:
        # An encoder-decoder's answer has a window of its own.
        free = max(config.generation.max_new_tokens or 0, LONGEST) if facts.shared_window else 0
        room = model.context_window - model.size(_prompt(config, question, "")) - free
    whole = on_long != "chunk" or config.options.free or not facts.marks_spans
    budget = room if whole else min(room, READ_AT_ONCE)
    if whole or model.count(record.text) <= budget:
        fit = chunking.fit(record.text, budget=budget, on_long="error" if on_long == "chunk" else on_long, model=model)
        return [Piece(index, 0, question, fit.pieces[0])]
    halves = chunking.fit(record.text, budget=budget // 2, on_long="chunk", model=model).pieces
    begins = accumulate(map(len, halves[:-2]), initial=0)
    return [
        Piece(index, begin, question, one + other) for begin, (one, other) in zip(begins, pairwise(halves), strict=True)
    ]


def _question(record: Record, config: RunConfig[Options]) -> str:
    """The row's own question, else the run's, on one line."""
    question = record.fields.get("question", config.options.question)
    if question is None:
        raise InputError("no question", code="no-question", hint="give it as the argument, or in the field 'question'")
    if not isinstance(question, str) or not question.strip():
        raise InputError("the question is empty, or not text", code="bad-field")
    return " ".join(question.split())


def _prompt(config: RunConfig[Options], question: str, text: str) -> Rendered:
    return prompts.render(prompts.of(config), text, variables={"question": question})


def _marked(
    model: Model, config: RunConfig[Options], records: Sequence[Record], pieces: Sequence[Piece]
) -> dict[int, Result]:
    """The best span of each record's windows."""
    prompt = prompts.of(config)
    spans = model.spans(
        [(piece.question, piece.text) for piece in pieces],
        prompts=[_prompt(config, piece.question, piece.text.strip()) for piece in pieces]
        if config.model.facts.instructed
        else (),
        ending=(prompt.example.partition("{answer}")[2] or "\n")[0],
    )
    found: dict[int, list[tuple[float, Piece, Span]]] = {}
    for piece, span in zip(pieces, spans, strict=True):
        found.setdefault(piece.row, []).append((score(span, config), piece, span))
    return {row: _result(records[row], candidates, config) for row, candidates in found.items()}


def score(span: Span, config: RunConfig[Options]) -> float:
    """The probability that the span answers, rather than that the text has no answer: from what the two weigh."""
    bias = config.settings.no_answer_bias or 0.0 if config.model.facts.instructed else 0.0
    odds = span.score / max(span.null, 1e-30) * math.exp(bias)
    return odds / (1 + odds)


def _result(record: Record, candidates: list[tuple[float, Piece, Span]], config: RunConfig[Options]) -> Result:
    sure, piece, span = max(candidates, key=lambda candidate: candidate[0])
    fields: dict[str, Any] = NOTHING | {"score": sure}
    threshold = config.options.threshold
    if sure >= (0.5 if threshold is None else threshold) and span.text:
        start, end = piece.begin + span.start, piece.begin + span.end
        fields = {"text": record.text[start:end], "score": sure} | _placed(record, start, end)
    return Result(record.id, fields, model=config.model.name,
                  input_tokens=sum(span.input_tokens for _, _, span in candidates),
                  chunks=sum(span.chunks for _, _, span in candidates),
                  truncated=_cut(record, candidates[-1][1]), record=record)  # fmt: skip


def _cut(record: Record, last: Piece) -> bool:
    """Whether the text's end was not read."""
    return last.begin + len(last.text) < len(record.text)


def _free(
    model: Model, config: RunConfig[Options], records: Sequence[Record], pieces: Sequence[Piece]
) -> dict[int, Result]:
    """Answers in the model's own words."""
    rows = [_prompt(config, piece.question, piece.text.strip()) for piece in pieces]
    made = model.complete(rows, config.generation) if rows else []
    results = {}
    for piece, (completion, *_) in zip(pieces, made, strict=True):
        record = records[piece.row]
        try:
            results[piece.row] = _written(completion, piece, record, config)
        except ROW_ERRORS as error:
            results[piece.row] = failed(record, error, model=config.model.name)
    return results


def _quoted(text: str, record: Record) -> dict[str, Any]:
    """Where an answer stands in its text, if it does; one that says that there is none is empty."""
    bare = text.strip("\"'“”„« ».")
    if not bare or bare.casefold() == NO_ANSWER:
        return {"text": ""}
    if (start := record.text.find(bare)) < 0:
        return {"text": text}
    return {"text": bare} | _placed(record, start, start + len(bare))


def _placed(record: Record, start: int, end: int) -> dict[str, Any]:
    """Where an answer stands in the file, and in which sentence."""
    return {"start": start + bisect_right(record.shifts, start), "end": end + bisect_right(record.shifts, end - 1),
            "sentence": chunking.around(record.text, start, end)}  # fmt: skip


def _written(completion: Completion, piece: Piece, record: Record, config: RunConfig[Options]) -> Result:
    """The result of an answer in the model's own words. Raises GenerationError."""
    prompts.check_own(completion.text, source=piece.text, prompt=prompts.of(config))
    fields = NOTHING | {"text": completion.text.strip(), "score": None}
    if not config.options.free and config.model.facts.instructed:
        fields |= _quoted(fields["text"], record)
    return Result(record.id, fields, model=config.model.name, input_tokens=completion.input_tokens,
                  output_tokens=completion.output_tokens, finish_reason=completion.finish_reason,
                  truncated=_cut(record, piece), record=record)  # fmt: skip


TASK = Task(
    name="answer",
    help="""Answer a question from a text, in the text's own words; TEXT is the question, the text is piped or a file.

    Rows hold the text in the field "context", or the one that --field names, and their own question in "question".
    With --json: the score, where the answer stands in the text (characters from 0) and its sentence.

    Example: llmcli answer "When does it end?" < contract.txt

    Example: llmcli answer -i questions.jsonl --json
    """,
    options=Options,
    answer=_explaining.of_spans(answer),
    prepare=prepare,
    fields=(
        Field("text", "string", "the answer, word for word; empty where the text has none"),
        Field("score", "number or null", "the probability that it answers the question; null with `--free`"),
        Field(
            "start", "integer or null", "the character of the text where it begins, from 0; null where there is none"
        ),
        Field("end", "integer or null", "the character behind it"),
        Field("sentence", "string", "the sentence that it stands in; empty where there is none"),
        _explaining.EXPLANATION,
    ),
    painted=_explaining.painted,
    draws=_explaining.draws,
    row_fields=("question",),
    window=16,
    text=text,
    context=context,
)
