"""What the worker does with requests: the client's settings, models that stay, work that can be cancelled."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from llmcli.cli import app
from llmcli.config.run_config import RunConfig
from llmcli.errors import LlmcliError, ModelError, OutOfMemory
from llmcli.pipelines.protocol import Emit, Model
from llmcli.reports import Report
from llmcli.run import records, resolve
from llmcli.run.records import Result
from llmcli.run.runner import Local
from llmcli.worker import protocol
from llmcli.worker.protocol import Message
from llmcli.worker.resident import Resident


class Cancelled(BaseException):
    """The client hung up. Like KeyboardInterrupt, nothing but the worker takes it for an answer."""


class Sessions:
    """Opens sessions on models that stay loaded. One thread opens, one other thread answers."""

    def __init__(self, *, memory: int) -> None:
        self.models = Resident(limit=memory, check=self._check)
        self._cancelled = threading.Event()

    def open(self, message: Mapping[str, Any], report: Report) -> tuple[Session, Message]:
        """The session of an ``open`` message, and the ``ready`` message."""
        with _as_client(message["environment"], message["folder"]):
            run = resolve.resolve(message["task"], message["flags"], offline=message["offline"], report=report)
            run = _absolute(run)
            session = Session(self, run, report)
            fingerprint: Mapping[str, Any]
            try:
                fingerprint = session.local.fingerprint
            except ModelError as error:
                fingerprint = protocol.pack_error(error)  # who asks for it will know
        local = session.local
        return session, {"kind": "ready", "model": local.model, "window": local.window, "seed": local.seed,
                         "fingerprint": fingerprint, "introduction": run.model.introduction}  # fmt: skip

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

    def __init__(self, sessions: Sessions, run: RunConfig, report: Report) -> None:
        def load(config: RunConfig, *, report: Report) -> Model:
            return sessions.models.get(config, holder=self, report=report)

        self.local = Local(run, report=report, load=load)
        self.cancelled = threading.Event()


def parsed(message: Mapping[str, Any]) -> Message:
    """The ``request`` message of a ``parse`` message; ``unread`` where the client must read, and refuse, it itself."""
    try:
        with _as_client(message["environment"], message["folder"]):
            found = app.parse(message["arguments"])
    except (LlmcliError, SystemExit):
        return {"kind": "unread"}
    return {"kind": "unread"} if isinstance(found, int) else protocol.pack_request(found)


def packed(results: list[Result]) -> Message:
    """The ``results`` message."""
    return {"kind": "results", "results": [records.pack(result) for result in results]}


def exhausted(results: list[Result]) -> bool:
    """Whether memory ran out."""
    return any(isinstance(result.error, OutOfMemory) for result in results)


def _absolute(run: RunConfig) -> RunConfig:
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
