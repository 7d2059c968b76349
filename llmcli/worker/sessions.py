"""What the worker does with requests: the client's settings, models that stay, work that can be cancelled."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from llmcli import tasks
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
from llmcli.worker import protocol
from llmcli.worker.protocol import Message
from llmcli.worker.resident import Resident

Parse = Callable[[list[str]], Request | int]
"""Gives the request of a command line, or the exit code of one that asks for no task."""


class Cancelled(BaseException):
    """The client hung up. Like KeyboardInterrupt, nothing but the worker takes it for an answer."""


class Sessions:
    """Opens sessions on models that stay loaded. One thread opens, one other thread answers.

    ``parse`` gives the request of a command line, or the exit code of one that asks for no task.
    """

    def __init__(self, *, memory: int, parse: Parse) -> None:
        self.models = Resident(limit=memory, check=self._check)
        self._parse = parse
        self._cancelled = threading.Event()

    def open(self, message: Mapping[str, Any], report: Report) -> tuple[Session | None, Message]:
        """The session of an ``open`` message, and the ``ready`` message.

        ``unread``, and no session, where the client must read, and refuse, the command line itself.
        """
        with _as_client(message["environment"], message["folder"]):
            request = self._request(message)
            if request is None:
                return None, {"kind": "unread"}
            task = tasks.get(request.task)
            run = _absolute(resolve(task, request.settings))
            session = Session(self, task, run, report)
            fingerprint: Mapping[str, Any]
            try:
                fingerprint = session.local.fingerprint
            except ModelError as error:
                fingerprint = protocol.pack_error(error)  # who asks for it will know
        local = session.local
        return session, {"kind": "ready", "run": protocol.pack_run(run), "request": asdict(request),
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
        rows = [protocol.unpack_record(packed) for packed in message["records"]]
        return session.local.answer(rows, emit=emit if message["stream"] else None)

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled


class Session:
    """What one client has open."""

    def __init__(self, sessions: Sessions, task: Task[Any], run: AnyConfig, report: Report) -> None:
        def load(config: AnyConfig, *, report: Report) -> Model:
            return sessions.models.get(config, holder=self, report=report)

        self.local = Local(task, run, report=report, load=load)
        self.cancelled = threading.Event()


def packed(results: list[Result]) -> Message:
    """The ``results`` message."""
    return {"kind": "results", "results": [records.pack(result) for result in results]}


def exhausted(results: list[Result]) -> bool:
    """Whether memory ran out."""
    return any(isinstance(result.error, OutOfMemory) for result in results)


def _absolute(run: AnyConfig) -> AnyConfig:
    """A relative path of a checkpoint means the client's folder, later too."""
    path = run.model.source.path
    if path is None or path.is_absolute():
        return run
    source = run.model.source.model_copy(update={"path": path.absolute()})
    return replace(run, model=run.model.model_copy(update={"source": source}))


@contextlib.contextmanager
def _as_client(environment: Mapping[str, str], folder: str) -> Iterator[None]:
    """The client's folder and variables. What is as it should be is not touched: other threads may read it."""
    for name in protocol.ENVIRONMENT:
        if name not in environment:
            os.environ.pop(name, None)
        elif os.environ.get(name) != environment[name]:
            os.environ[name] = environment[name]
    try:
        os.chdir(folder)
    except OSError as error:
        raise protocol.Broken(f"{folder}: {error.strerror}") from error
    try:
        yield
    finally:
        os.chdir("/")
