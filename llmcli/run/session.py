"""A task on a model, ready to answer: in this process, or in another."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from llmcli import reports
from llmcli.errors import ROW_ERRORS, LlmcliError, ModelError
from llmcli.reports import LOADING, READY
from llmcli.run.records import Record, Result, failed
from llmcli.run.task import Task

if TYPE_CHECKING:
    from llmcli.config.run_config import AnyConfig
    from llmcli.pipelines.protocol import Emit, Model
    from llmcli.reports import Report


WIDER = 16
"""How many times a task's window may be, for a device with large batches: its rows are done in about the same time."""


class Load(Protocol):
    """Gives the model of a run."""

    def __call__(self, config: AnyConfig, *, report: Report) -> Model:
        """See :func:`llmcli.pipelines.load.load`."""


class Session(Protocol):
    """Answers windows of records."""

    @property
    def model(self) -> str:
        """The model's name."""

    @property
    def window(self) -> int:
        """How many rows are worked on together; their results appear together. It may grow once a model is loaded."""

    @property
    def seed(self) -> int | None:
        """The sampling seed that the settings name."""

    @property
    def fingerprint(self) -> Mapping[str, str]:
        """What decides the answers, by name."""

    @property
    def pid(self) -> int:
        """The process that works; 0 where the system does not tell."""

    def answer(self, records: Sequence[Record], *, emit: Emit | None = None) -> list[Result]:
        """One result a record, in order. ``emit`` hears the text of a lone record as it is made."""

    def close(self) -> None:
        """Nothing more is asked."""


class Local:
    """A session in this process; the model is loaded, by ``load``, for the first good record."""

    def __init__(
        self, task: Task[Any], config: AnyConfig, *, report: Report | None = None, load: Load | None = None
    ) -> None:
        self.config = config
        self.model = config.model.name
        size = config.settings.batch_size
        self._window = max(task.window, size if isinstance(size, int) else 1)
        self.seed = config.generation.seed
        self._task = task
        self._report, self._load = report or reports.unheard, load
        self._loaded: Model | None = None

    @property
    def pid(self) -> int:
        """See Session."""
        return os.getpid()

    @property
    def window(self) -> int:
        """See Session. It is larger where the model, once it is loaded, has use for large batches."""
        batch = self._loaded.batch if self._loaded is not None else 0
        return max(self._window, min(batch, WIDER * self._window))

    @property
    def fingerprint(self) -> Mapping[str, str]:
        """See Session."""
        from llmcli.run.fingerprint import fingerprint

        return fingerprint(self.config)

    def answer(self, records: Sequence[Record], *, emit: Emit | None = None) -> list[Result]:
        """See Session. A row that fails is tried apart from its neighbours."""
        if self._loaded is None:
            self._check()
            self._report(LOADING, 0.0)
            self._loaded = (self._load or _loader(self.config))(self.config, report=self._report)
            self._report(f"{READY}: {self._loaded.running}", 1.0)
        try:
            with reports.heard(self._report):
                return self._task.answer(self._loaded, self.config, records, emit=emit)
        except Exception as error:
            fault = self._fault(error)
        if len(records) == 1:
            return [failed(records[0], fault, model=self.model)]
        half = len(records) // 2
        return self.answer(records[:half]) + self.answer(records[half:])

    def _fault(self, error: Exception) -> LlmcliError:
        """What is wrong with some row. Raises the error where it is none of a row's, nor of the model's libraries."""
        from llmcli.models import foreign

        if isinstance(error, ROW_ERRORS):
            return error
        if isinstance(error, LlmcliError) or not foreign.within(error):
            raise error
        fault = ModelError(f"{self.model}: the model fails on a text: {foreign.reason(error)}", code="bad-model",
                           hint="its config.json may not fit its architecture")  # fmt: skip
        fault.__cause__ = error
        return fault

    def prepare(self) -> None:
        """Fetch or convert the model, if it is not here: then it can be loaded, by any process. Raises ModelError."""
        from llmcli.models import store

        self._check()
        if self.config.model.source.server is not None:
            return
        store.checkpoint(self.config.model, offline=self.config.offline, report=self._report)

    def close(self) -> None:
        """See Session."""

    def _check(self) -> None:
        """Refuse a task that the model cannot do."""
        model = self.config.model
        if not model.able(self.config.task, labels=self._task.labels and bool(self.config.settings.labels)):
            raise ModelError(
                f"{model.name} cannot do {self.config.task}",
                code="wrong-task",
                hint=f"it can do {model.abilities}; give another --model",
            )


def _loader(config: AnyConfig) -> Load:
    if config.model.source.server is not None:
        from llmcli.remote import opening

        return opening.load
    from llmcli.pipelines.load import load

    return load
