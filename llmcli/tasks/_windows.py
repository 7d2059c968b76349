"""Answers from a text: its windows, the spans that a model marks in them, or its own words."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from llmcli.errors import ROW_ERRORS, InputError
from llmcli.run.records import Record, Result, failed
from llmcli.text import chunking, passages, prompts
from llmcli.text.prompts import Rendered

if TYPE_CHECKING:
    from llmcli.config.run_config import AnyConfig
    from llmcli.pipelines.protocol import Completion, Model, Span

READ_AT_ONCE = 1024
"""Tokens of a text that a causal model reads together; neighbouring windows share half of them."""
MOST, PASSAGE = 3, 384
"""Windows of a longer text that are read, unless all are asked for, and their tokens: the one with the answer is among
them for 78 of 80 questions of SQuAD 2.0, asked of all its texts together. Among more windows a model is often as sure
of a wrong one."""
LONGEST = 64
"""Tokens kept free for the answer."""
SPECIAL = 4
"""Special tokens around a question and its text."""
NO_ANSWER = "no answer"
"""What models say where a text holds none."""
NOTHING: dict[str, Any] = {"text": "", "score": 0.0, "start": None, "end": None, "sentence": ""}


@dataclass(frozen=True)
class Piece:
    """What is read of a record's text at once: where it begins, and what is asked of it.

    ``shared``: how much it has in common with the question, beside other windows (BM25). ``read``: how many parts it
    is, of so many.
    """

    row: int
    begin: int
    question: str
    text: str
    truncated: bool = False
    shared: float = 0.0
    read: int = 1
    of: int = 1


def answer(model: Model, config: AnyConfig, records: Sequence[Record]) -> list[Result]:
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


def _pieces(index: int, record: Record, *, model: Model, config: AnyConfig) -> list[Piece]:
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
    together = config.options.free or not facts.marks_spans
    part = min(room, READ_AT_ONCE) // 2
    thorough, size = config.options.thorough, model.count(record.text)
    most = room if thorough or facts.reads_whole else min(room, MOST * part)
    read = most if together else 2 * part
    if on_long != "chunk" or size <= read:
        fit = chunking.fit(record.text, budget=room, on_long=on_long, model=model)
        return [Piece(index, 0, question, fit.pieces[0], truncated=fit.truncated)]
    if not (together or thorough) and size > MOST * part:
        parts = chunking.fit(record.text, budget=min(part, PASSAGE // 2), on_long="chunk", model=model).pieces
        short = _windows(index, question, parts)
        if any(window.shared for window in short):
            return sorted(short, key=lambda window: -window.shared)[:MOST]
    parts = chunking.fit(record.text, budget=part, on_long="chunk", model=model).pieces
    if together:
        return [_together(index, question, parts, most=max(read // part, 1))]
    return _windows(index, question, parts)


def _windows(index: int, question: str, halves: Sequence[str]) -> list[Piece]:
    """Windows of two neighbouring parts each."""
    begins = accumulate(map(len, halves[:-2]), initial=0)
    texts = [one + other for one, other in pairwise(halves)]
    shared = passages.shared(question, texts) or [0.0] * len(texts)
    return [Piece(index, begin, question, text, shared=value, of=len(texts))
            for begin, text, value in zip(begins, texts, shared, strict=True)]  # fmt: skip


def _together(index: int, question: str, parts: Sequence[str], *, most: int) -> Piece:
    """The parts of a text that fit the model's window together."""
    places = passages.likeliest(question, parts, most=most)[:most]
    return Piece(index, 0, question, "".join(parts[place] for place in places), read=len(places), of=len(parts))


def _question(record: Record, config: AnyConfig) -> str:
    """The row's own question, else the run's, on one line."""
    question = record.fields.get("question", config.options.question)
    if question is None:
        raise InputError("no question", code="no-question", hint="give it as the argument, or in the field 'question'")
    if not isinstance(question, str) or not question.strip():
        raise InputError("the question is empty, or not text", code="bad-field")
    return " ".join(question.split())


def _prompt(config: AnyConfig, question: str, text: str) -> Rendered:
    return prompts.render(prompts.of(config), text, variables={"question": question})


def _marked(model: Model, config: AnyConfig, records: Sequence[Record], pieces: Sequence[Piece]) -> dict[int, Result]:
    """The best span of each record's windows."""
    prompt = prompts.of(config)
    spans = model.spans(
        [(piece.question, piece.text) for piece in pieces],
        prompts=[_prompt(config, piece.question, piece.text.strip()) for piece in pieces]
        if config.model.facts.instructed
        else (),
        ending=(prompt.example.partition("{answer}")[2] or "\n")[0],
    )
    found: dict[int, list[tuple[Piece, Span]]] = {}
    for piece, span in zip(pieces, spans, strict=True):
        found.setdefault(piece.row, []).append((piece, span))
    return {row: _result(records[row], candidates, config) for row, candidates in found.items()}


def _log_odds(span: Span, config: AnyConfig) -> float:
    """How much likelier the span is than that the text has no answer."""
    bias = config.settings.no_answer_bias or 0.0 if config.model.facts.instructed else 0.0
    return math.log(max(span.score, 1e-30) / max(span.null, 1e-30)) + bias


def _score(span: Span, config: AnyConfig) -> float:
    """The probability that the span answers: of a span finder, rather than that the text has no answer.

    A causal model hardly knows the latter: of all that it read, so much falls on the span and what overlaps it.
    """
    return span.score if config.model.facts.instructed else 1 / (1 + math.exp(-_log_odds(span, config)))


def _result(record: Record, candidates: list[tuple[Piece, Span]], config: AnyConfig) -> Result:
    """The best span of all windows: how sure a model is counts beside what a window shares with the question."""
    piece, span = max(candidates, key=lambda candidate: candidate[0].shared + _log_odds(candidate[1], config))
    sure, threshold = _score(span, config), config.options.threshold
    fields: dict[str, Any] = NOTHING | {"score": sure}
    if span.text and (_log_odds(span, config) >= 0 if threshold is None else sure >= threshold):
        start, end = piece.begin + span.start, piece.begin + span.end
        fields = {"text": record.text[start:end], "score": sure} | _placed(record, start, end)
    return Result(record.id, fields, model=config.model.name,
                  input_tokens=sum(span.input_tokens for _, span in candidates),
                  chunks=sum(span.chunks for _, span in candidates),
                  truncated=piece.truncated, notices=_left_out(len(candidates), piece.of), record=record)  # fmt: skip


def _left_out(read: int, of: int) -> tuple[str, ...]:
    if read == of:
        return ()
    return (f"read the {read} of {of} parts of the text that share most words with the question: --thorough reads all",)


def _free(model: Model, config: AnyConfig, records: Sequence[Record], pieces: Sequence[Piece]) -> dict[int, Result]:
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


def _written(completion: Completion, piece: Piece, record: Record, config: AnyConfig) -> Result:
    """The result of an answer in the model's own words. Raises GenerationError."""
    prompts.check_own(completion.text, source=piece.text, prompt=prompts.of(config))
    fields = NOTHING | {"text": completion.text.strip(), "score": None}
    if not config.options.free and config.model.facts.instructed:
        fields |= _quoted(fields["text"], record)
    return Result(record.id, fields, model=config.model.name, input_tokens=completion.input_tokens,
                  output_tokens=completion.output_tokens, finish_reason=completion.finish_reason,
                  truncated=piece.truncated, notices=_left_out(piece.read, piece.of), record=record)  # fmt: skip
