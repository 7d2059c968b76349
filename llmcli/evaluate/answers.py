"""The answers of a model to labelled rows: asked for now, or those of a run that was stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmcli.config.run_config import RunOptions, format_of
from llmcli.data import inputs, readers
from llmcli.errors import InputError, shown
from llmcli.evaluate.rows import Row
from llmcli.run import runner
from llmcli.run.records import Record, Result
from llmcli.run.session import Session
from llmcli.run.task import Task


@dataclass(frozen=True)
class Answer:
    """What a model answered to a row: a label or a text, and its score. A row that failed has an empty text."""

    text: str
    score: float | None = None
    tokens: int = 0
    failed: str = ""
    """The error's code."""


@dataclass(frozen=True)
class Answered:
    """All answers of a model, one a row. ``seconds``: how long they took, without loading; 0 where that is not known.

    ``labels``: those that the model named beside the answer, if any.
    """

    model: str
    answers: list[Answer]
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        """Rows without an answer."""
        return sum(bool(answer.failed) for answer in self.answers)

    @property
    def rows_per_second(self) -> float | None:
        """None where it is not known."""
        return len(self.answers) / self.seconds if self.seconds else None

    @property
    def tokens_per_row(self) -> float | None:
        """Tokens read and written; None where they are not known."""
        tokens = sum(answer.tokens for answer in self.answers)
        return tokens / len(self.answers) if tokens else None


def ask(
    task: Task[Any], session: Session, rows: Sequence[Row], *, ready: Callable[[], float],
    count: Callable[[Result], None] = lambda result: None,
) -> Answered:  # fmt: skip
    """The answers of a session. ``ready`` tells when its model was; ``count`` hears of each result."""
    begin, answers = time.monotonic(), []
    for result in runner.run(session, iter([row.record for row in rows]), row_fields=task.row_fields):
        count(result)
        answers.append(of_result(result))
    return Answered(session.model, answers, time.monotonic() - max(begin, ready()))


def of_result(result: Result) -> Answer:
    """The answer that a result holds."""
    tokens = result.input_tokens + result.output_tokens
    if result.error is not None:
        return Answer("", tokens=tokens, failed=result.error.code)
    return _of(result.fields, tokens)


def _of(fields: Mapping[str, Any], tokens: int) -> Answer:
    text, score = fields.get("label", fields.get("text", "")), fields.get("score")
    known = isinstance(score, int | float) and not isinstance(score, bool)
    return Answer(str(text if text is not None else ""), float(score) if known and score is not None else None, tokens)


def stored(path: Path, run: RunOptions[Any], rows: Sequence[Row]) -> Answered:
    """The answers of a stored run: rows of llmcli's own output, found by their ids. Raises InputError."""
    results: dict[str, list[Mapping[str, Any]]] = {}
    for record in _results(path, run):
        results.setdefault(_key(record), []).append(record.fields)
    answers, model = [], ""
    for row in rows:
        waiting = results.get(_key(row.record))
        if not waiting:
            raise InputError(f"{shown(path)}: no result with the id {row.record.id}", code="missing-row",
                             hint="were these rows its input?")  # fmt: skip
        fields = waiting.pop(0)
        model = model or str(fields.get("model") or "")
        answers.append(_stored(fields))
    return Answered(model or path.stem, answers)


def _results(path: Path, run: RunOptions[Any]) -> list[Record]:
    """The rows of a file of results, whatever their text is."""
    named: Any = format_of(path)
    source = replace(run.source, input=[path], format=named, field="id", template=None, id_field=None)
    if source.format in ("text", "lines"):
        raise InputError(f"{shown(path)}: results are rows", code="bad-results", hint="give a .jsonl or .csv file")
    stored = RunOptions(run.task, source, replace(run.output, quiet=True), run.options)
    found = list(readers.read(stored, inputs.listed(stored)))
    # Whole numbers are no text; the row is read all the same.
    if broken := [record for record in found if record.error is not None and not record.fields]:
        assert broken[0].error is not None
        raise broken[0].error
    return found


def _key(record: Record) -> str:
    """An id, as tables and JSON both hold it."""
    return str(record.fields.get("id", record.id))


def _stored(fields: Mapping[str, Any]) -> Answer:
    if fields.get("status", "ok") != "ok":
        return Answer("", failed="stored")
    if "label" not in fields and "text" not in fields:
        raise InputError("a stored row has neither a label nor a text", code="missing-field")
    score = fields.get("score")
    try:
        number = float(score) if isinstance(score, str | int | float) and score != "" else None
    except ValueError:
        number = None
    if number is not None and not 0 <= number <= 1:  # nor is a NaN
        number = None
    tokens = [str(fields.get(name)) for name in ("input_tokens", "output_tokens")]
    whole = sum(int(count) for count in tokens if count.isdecimal())
    return replace(_of(fields, whole), score=number)
