"""A session that asks the worker, and works in this process wherever the worker is no help."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmcli import tasks
from llmcli.errors import UsageError, WorkerError
from llmcli.reports import Introduced, say
from llmcli.run import records
from llmcli.run.records import Record, Result
from llmcli.run.request import Request
from llmcli.run.session import Local, Session
from llmcli.worker import address, connection, protocol
from llmcli.worker.protocol import Broken, Channel, Message

if TYPE_CHECKING:
    from llmcli.config.run_config import RunOptions
    from llmcli.pipelines.protocol import Emit

QUICK = 1.0
"""Seconds that a worker has to parse a command line; then it is parsed here."""
HERE = ("--help", "-h", "--debug", "--no-worker", "--labels-file")
"""Options with which it is parsed here: help is printed here, and a file may be a pipe that this process alone has."""


@dataclass(frozen=True)
class Opened:
    """A run that is resolved, and who answers it."""

    run: RunOptions[Any]
    session: Session


@dataclass(frozen=True)
class Ready:
    """The connection to a worker that has opened a session, and what it said of it."""

    channel: Channel
    message: Message


def ask(arguments: Sequence[str]) -> Ready | None:
    """Have a command line parsed, and its session opened, by the worker that runs; None: do it here.

    That spares this process the import of Typer and pydantic, most of what it would do. Raises the run's own errors.
    """
    if os.environ.get("LLMCLI_WORKER") == "off" or "_LLMCLI_COMPLETE" in os.environ:
        return None
    if any(map(_here_alone, arguments)):
        return None
    try:
        channel = connection.reach(address.find(), timeout=QUICK)
        if channel is None:
            return None
        if channel.hello["source"] == address.source():
            channel.send({"kind": "open", "arguments": list(arguments), **_here()})
            message = channel.receive()
            if message["kind"] == "error":
                raise protocol.unpack_error(message)
            if message["kind"] == "ready":
                return Ready(channel, message)
        channel.close()
    except (Broken, WorkerError):
        pass  # open_session() will try again, and say so
    return None


def _here_alone(argument: str) -> bool:
    """Whether an argument must be read in this process, or may name one of its files."""
    return argument.partition("=")[0] in HERE or "/dev/" in argument or "/proc/" in argument


def attach(ready: Ready, report: Introduced) -> Opened:
    """The session that a worker has opened."""
    message = ready.message
    report.introduce(message["model"], message["introduction"], where=f"the worker (pid {ready.channel.hello['pid']})")
    return Opened(protocol.unpack_run(message["run"]), Remote(ready, report=report))


def open_session(request: Request, report: Introduced) -> Opened:
    """The session of a request: the worker's where it is wanted and possible, else one in this process.

    Raises the request's own errors (ConfigError, ModelError), wherever they were found.
    """
    mode = _mode(request)
    if mode == "off":
        return _local(request, report)
    terminal = sys.stderr is not None and sys.stderr.isatty()
    try:
        channel = connection.connect(start=mode == "on" or terminal)
        if channel is None:
            return _local(request, report)
        return attach(_opened(channel, request, report), report)
    except (Broken, WorkerError) as error:
        _say(request, f"the worker cannot be used ({error})")
        return _local(request, report)


def _mode(request: Request) -> str:
    if request.options.get("debug"):
        return "off"  # a traceback is wanted: of this process
    if (wanted := request.options.get("worker")) is not None:
        return "on" if wanted else "off"
    mode = os.environ.get("LLMCLI_WORKER") or "auto"
    if mode not in ("auto", "on", "off"):
        raise UsageError("LLMCLI_WORKER must be auto, on or off")
    return mode


def _local(request: Request, report: Introduced) -> Opened:
    from llmcli.models import store
    from llmcli.run.resolve import resolve

    task = tasks.get(request.task)
    config = resolve(task, request.settings)
    report.introduce(config.model.name, store.introduction(config.model))
    return Opened(config, Local(task, config, report=report))


def _say(request: Request, what: str) -> None:
    if request.options.get("verbose"):
        say(f"llmcli: {what}; working in this process")


def _here() -> Message:
    """This process's folder and variables, as far as the worker needs them."""
    try:
        folder = os.getcwd()
    except OSError as error:
        raise Broken("the working directory is gone") from error
    environment = {name: os.environ[name] for name in protocol.ENVIRONMENT if name in os.environ}
    return {"environment": environment, "folder": folder}


def _opened(channel: Channel, request: Request, report: Introduced) -> Ready:
    channel.send({"kind": "open", "task": request.task, "settings": request.settings, **_here()})
    while (message := channel.receive())["kind"] == "report":
        report(message["stage"], message["share"])
    return Ready(channel, connection.checked(message, "ready"))


class Remote:
    """A session of the worker. Where the worker is lost before a piece of text was shown, this process goes on."""

    def __init__(self, ready: Ready, *, report: Introduced) -> None:
        message = ready.message
        self.model: str = message["model"]
        self.window: int = message["window"]
        self.seed: int | None = message["seed"]
        self._fingerprint = message["fingerprint"]
        self._channel = ready.channel
        self._request, self._report = Request(**message["request"]), report
        self._local: Session | None = None

    @property
    def fingerprint(self) -> Mapping[str, str]:
        """See Session."""
        found: Mapping[str, Any] = self._fingerprint
        if found.get("kind") == "error":
            raise protocol.unpack_error(found)
        return found

    def answer(self, records: Sequence[Record], *, emit: Emit | None = None) -> list[Result]:
        """See Session."""
        if self._local is None:
            spoken: list[str] = []
            try:
                return self._ask(records, emit, spoken)
            except Broken as error:
                if spoken:
                    raise WorkerError(
                        f"the worker was lost: {error}", code="worker-lost", hint="run it again"
                    ) from error
                _say(self._request, f"the worker was lost ({error})")
            self._local = _local(self._request, self._report).session
        return self._local.answer(records, emit=emit)

    def _ask(self, rows: Sequence[Record], emit: Emit | None, spoken: list[str]) -> list[Result]:
        packed = [protocol.pack_record(row) for row in rows]
        self._channel.send({"kind": "answer", "records": packed, "stream": emit is not None})
        while (message := self._channel.receive())["kind"] != "results":
            if message["kind"] == "error":
                raise protocol.unpack_error(message)
            if message["kind"] == "report":
                self._report(message["stage"], message["share"])
            elif message["kind"] == "text" and emit is not None:
                spoken.append("")
                emit(message["text"])
        results = message["results"]
        if len(results) != len(rows):
            raise Broken(f"{len(results)} answers to {len(rows)} rows")
        return [records.unpack(result, row) for result, row in zip(results, rows, strict=True)]

    def close(self) -> None:
        """See Session. Hanging up cancels what the worker still does."""
        self._channel.close()
