"""What the worker does with requests: the client's settings, models that stay, work that can be cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from llmcli import tasks
from llmcli.config import places
from llmcli.config.places import Caller
from llmcli.config.run_config import AnyConfig
from llmcli.errors import LlmcliError, ModelError, OutOfMemory
from llmcli.models import store
from llmcli.pipelines.protocol import Emit, Model
from llmcli.reports import Report
from llmcli.run import records
from llmcli.run.records import Result
from llmcli.run.request import Request
from llmcli.run.resolve import resolve
from llmcli.run.session import Local
from llmcli.run.task import Task
from llmcli.tasks import _packing
from llmcli.worker import memory, protocol
from llmcli.worker.protocol import Message
from llmcli.worker.resident import Resident

Parse = Callable[[list[str]], Request | int]
"""Gives the request of a command line, or the exit code of one that asks for no task."""
ABSENT = (store.ABSENT, "not-pulled")
"""Codes of errors for what is not in the store: it is for the client to make it."""


class Cancelled(BaseException):
    """The client hung up. Like KeyboardInterrupt, nothing but the worker takes it for an answer."""


class Sessions:
    """Opens sessions on models that stay loaded. One thread opens, one other thread answers.

    ``limit``: the most bytes that this process is to hold. ``parse`` gives the request of a command line, or the exit
    code of one that asks for no task.
    """

    def __init__(self, *, limit: int, parse: Parse) -> None:
        self.models = Resident(limit=limit, check=self._check)
        self._parse = parse
        self._cancelled = threading.Event()

    def open(self, message: Mapping[str, Any], report: Report) -> tuple[Session | None, Message]:
        """The session of an ``open`` message, and the ``ready`` message.

        No session, and ``unread``, where the client must read, and refuse, the command line itself; ``absent`` where it
        must first make the model. Nothing here waits for the network, nor for another process.
        """
        caller = Caller(Path(message["folder"]), message["environment"], makes=False)
        with places.serving(caller):
            request = self._request(message)
            if request is None:
                return None, {"kind": "unread"}
            try:
                run = _run(request)
                if run.model.source.server is not None:
                    return None, {"kind": "unread"}  # the client asks it, with its own keys
            except ModelError as error:
                if error.code not in ABSENT:
                    raise
                return None, {"kind": "absent", "request": asdict(request)}
            session = Session(self.models, caller, tasks.get(request.task), run, report)
            fingerprint: Mapping[str, Any]
            try:
                fingerprint = session.local.fingerprint
            except ModelError as error:
                fingerprint = protocol.pack_error(error)  # who asks for it will know
        local = session.local
        return session, {"kind": "ready", "run": _packing.pack_run(run), "request": asdict(request),
                         "model": local.model, "window": local.window, "seed": local.seed,
                         "fingerprint": fingerprint, "introduction": store.introduction(run.model)}  # fmt: skip

    def _request(self, message: Mapping[str, Any]) -> Request | None:
        if "task" in message:
            return Request(message["task"], message["settings"])
        try:
            parsed = self._parse(message["arguments"])
        except (LlmcliError, SystemExit):
            return None
        return parsed if isinstance(parsed, Request) else None

    def answer(self, session: Session, message: Mapping[str, Any], emit: Emit) -> list[Result]:
        """The results of an ``answer`` message. Raises Cancelled."""
        self._cancelled = session.cancelled
        self._check()
        rows = [_packing.unpack_record(packed) for packed in message["records"]]
        with places.serving(session.caller):
            return session.local.answer(rows, emit=emit if message["stream"] else None)

    def settle(self) -> None:
        """Between two jobs: give back what the last one needed, and keep to the limit."""
        memory.give_back()
        self.models.trim()

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled


class Holder:
    """Keeps a model from being dropped, as long as it lives."""


class Session:
    """What one client has open."""

    def __init__(self, models: Resident, caller: Caller, task: Task[Any], run: AnyConfig, report: Report) -> None:
        holder = Holder()  # not the session: in a circle with it, it would outlive the client

        def load(config: AnyConfig, *, report: Report) -> Model:
            return models.get(config, holder=holder, report=report)

        self.caller = caller
        self.local = Local(task, run, report=report, load=load)
        self.cancelled = threading.Event()


def _run(request: Request) -> AnyConfig:
    """The run of a request, whose model is in the store. Raises ModelError where it is not."""
    settings = {**request.settings, "options": {**request.options, "offline": True}}
    run = _absolute(resolve(tasks.get(request.task), settings))
    if run.model.source.server is None and not store.here(run.model):
        raise ModelError(f"{run.model.name} is not in the store", code=store.ABSENT)
    return run


def packed(results: list[Result], *, window: int) -> Message:
    """The ``results`` message, and how many rows are to come next."""
    return {"kind": "results", "results": [records.pack(result) for result in results], "window": window}


def refused(error: LlmcliError) -> Message:
    """The ``error`` message; ``absent`` where the model has gone from the store meanwhile."""
    return {"kind": "absent"} if error.code in ABSENT else protocol.pack_error(error)


def exhausted(results: list[Result]) -> bool:
    """Whether memory ran out."""
    return any(isinstance(result.error, OutOfMemory) for result in results)


def _absolute(run: AnyConfig) -> AnyConfig:
    """A relative path of a checkpoint means the client's folder, later too."""
    path = run.model.source.path
    if path is None or path.is_absolute():
        return run
    source = run.model.source.model_copy(update={"path": places.absolute(path)})
    return replace(run, model=run.model.model_copy(update={"source": source}))
