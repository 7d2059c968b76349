"""run(config, records): the one road that every command takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from llmcli import tasks
from llmcli.config import RunConfig
from llmcli.errors import LlmcliError, ModelError
from llmcli.pipelines import Emit
from llmcli.records import Record, Result

WINDOW = 64
"""Rows that are worked on together; their results appear together."""


def run(
    config: RunConfig,
    records: Iterator[Record],
    *,
    report: Callable[[str, float], None] = lambda stage, share: None,
    emit: Emit | None = None,
) -> Iterator[Result]:
    """One result a record, in order; a bad record gives an error result in its place.

    ``report`` hears the stages of a first use; ``emit`` the text of a lone record as it is made.
    """
    from llmcli.models import loading

    task = tasks.get(config.task)
    model = None
    while window := list(islice(records, WINDOW)):
        good = [record for record in window if not record.error]
        if good and model is None:
            _check(config)
            model = loading.load(config, report=report)
        answers: dict[int, Result] = {}
        if good and model is not None:
            stream = emit if len(window) == 1 else None
            found = task.answer(model, config, good, emit=stream)
            answers = {id(record): result for record, result in zip(good, found, strict=True)}
        for record in window:
            yield answers.get(id(record)) or failed(record, record.error, model=config.model.name)


def _check(config: RunConfig) -> None:
    """Refuse a task that the model cannot do."""
    if not config.model.able(config.task, labels=bool(config.settings.labels)):
        raise ModelError(
            f"{config.model.name} cannot do {config.task}",
            code="wrong-task",
            hint=f"it can do {config.model.abilities}; give another --model",
        )


def failed(record: Record, error: LlmcliError | None, *, model: str) -> Result:
    """The error result of a record; ``error`` gets the record's place."""
    if error is not None and not error.where:
        error.where = record.where
    return Result(record.id, model=model, record=record, error=error)
