"""The public door: a task's answers from Python, as the command line gives them, in this process.

>>> with llmcli.api.open("sentiment") as session:
...     for result in session.answer(["I loved it", "never again"]):
...         print(result.fields["label"])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from types import TracebackType
from typing import Any

from llmcli import tasks
from llmcli.config.run_config import AnyConfig
from llmcli.errors import LlmcliError, UsageError
from llmcli.reports import Report, unheard
from llmcli.run import runner
from llmcli.run.records import Record, Result, check
from llmcli.run.request import groups, request
from llmcli.run.resolve import resolve
from llmcli.run.session import Local

__all__ = ["LlmcliError", "Record", "Result", "TaskSession", "open"]


class TaskSession:
    """A task on a model, which is loaded for the first text. ``config`` holds the settings that won."""

    def __init__(self, task: str, config: AnyConfig, *, report: Report) -> None:
        self._task = tasks.get(task)
        self.config = config
        self._session = Local(self._task, config, report=report)

    def answer(self, texts: Iterable[str | Record]) -> Iterator[Result]:
        """One result a text, in order; what cannot be answered is a result with an ``error``.

        The task similar gives its nearest rows alone. A record brings its own id and fields (``question`` for the task
        answer). Raises ModelError, UsageError.
        """
        records = (
            check(text if isinstance(text, Record) else Record(id=number, text=text))
            for number, text in enumerate(texts, 1)
        )
        assembly = self._task.assemble(self.config)
        if assembly is not None:
            pieces = assembly.split(records)
            return assembly.join(runner.run(self._session, pieces, row_fields=self._task.row_fields))
        results = runner.run(self._session, records, row_fields=self._task.row_fields)
        return self._task.select(self.config, results)

    def close(self) -> None:
        """Let go of the model."""
        self._session.close()

    def __enter__(self) -> TaskSession:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def open(task: str, *, report: Report = unheard, **settings: Any) -> TaskSession:  # noqa: A001
    """A session of a task. ``settings`` are called as the command line's options, with ``_`` for ``-``.

    ``open("translate", to="fr", model="opus-mt-en-fr", max_new_tokens=60)``. Those that are not given come from the
    environment and the YAML files. ``report`` hears the stages of a model's first use.

    Raises UsageError for a task or a setting that there is not, ConfigError, ModelError.
    """
    if task not in tasks.names():
        raise UsageError(f"no task named {task}", hint=f"tasks: {', '.join(tasks.names())}")
    declared = tasks.get(task)
    known = {item.name for group in groups(declared) for item in fields(group)}
    if unknown := [name for name in settings if name not in known]:
        raise UsageError(f"{task} has no setting {unknown[0]!r}")
    return TaskSession(task, resolve(declared, request(declared, settings).settings), report=report)
