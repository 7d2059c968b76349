"""A session that asks the worker, and works in this process wherever the worker is no help."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmcli.errors import UsageError, WorkerError
from llmcli.reports import say
from llmcli.run import records
from llmcli.run.records import Record, Result
from llmcli.worker import address, connection, protocol
from llmcli.worker.protocol import Broken, Channel, Message

if TYPE_CHECKING:
    from llmcli.cli.progress import Preparing
    from llmcli.pipelines.protocol import Emit
    from llmcli.run.request import Request
    from llmcli.run.runner import Session

QUICK = 1.0
"""Seconds that a worker has to parse a command line; then it is parsed here."""
HERE = ("--help", "-h", "--debug", "--no-worker", "--labels-file")
"""Options with which it is parsed here: help is printed here, and a file may be a pipe that this process alone has."""


def parse(arguments: Sequence[str]) -> tuple[Request, Channel] | None:
    """The request of a command line, and the channel to the running worker that parsed it; None: parse it here.

    That spares this process the import of Typer and the tasks, most of what it would do.
    """
    if os.environ.get("LLMCLI_WORKER") == "off":
        return None
    if "_LLMCLI_COMPLETE" in os.environ or any(map(_here_alone, arguments)):
        return None
    try:
        channel = connection.reach(address.find(), timeout=QUICK)
        if channel is None:
            return None
        if channel.hello["source"] == address.source():
            channel.send({"kind": "parse", "arguments": list(arguments), **_here()})
            message = channel.receive(timeout=QUICK)
            if message["kind"] == "request":
                return protocol.unpack_request(message), channel
        channel.close()
    except (Broken, WorkerError):
        pass  # session() will try again, and say so
    return None


def _here_alone(argument: str) -> bool:
    """Whether an argument must be read in this process, or may name one of its files."""
    return argument.partition("=")[0] in HERE or "/dev/" in argument or "/proc/" in argument


def session(request: Request, *, report: Preparing, channel: Channel | None = None) -> Session:
    """The session of a request: the worker's where it is wanted and possible, else one in this process.

    ``channel``: to the worker that parsed it. Raises the request's own errors (ConfigError, ModelError), wherever they
    were found.
    """
    mode = _mode(request)
    if mode == "off":
        return _local(request, report)
    terminal = sys.stderr is not None and sys.stderr.isatty()
    try:
        ready = _opened(channel, request, report) if channel else None
    except Broken:
        ready = None  # reading the input took this process longer than the worker waits
    try:
        if channel is None or ready is None:
            channel = connection.connect(start=mode == "on" or terminal)
            if channel is None:
                return _local(request, report)
            ready = _opened(channel, request, report)
    except (Broken, WorkerError) as error:
        _say(request, f"the worker cannot be used ({error})")
        return _local(request, report)
    report.introduce(ready["model"], ready["introduction"])
    return Remote(channel, ready, request=request, report=report)


def _mode(request: Request) -> str:
    if request.output.debug:
        return "off"  # a traceback is wanted: of this process
    if request.worker is not None:
        return "on" if request.worker else "off"
    mode = os.environ.get("LLMCLI_WORKER") or "auto"
    if mode not in ("auto", "on", "off"):
        raise UsageError("LLMCLI_WORKER must be auto, on or off")
    return mode


def _local(request: Request, report: Preparing) -> Session:
    from llmcli.run import runner

    return runner.local(request, report=report)


def _say(request: Request, what: str) -> None:
    if request.output.verbose:
        say(f"llmcli: {what}; working in this process")


def _here() -> Message:
    """This process's folder and variables, as far as the worker needs them."""
    try:
        folder = os.getcwd()
    except OSError as error:
        raise Broken("the working directory is gone") from error
    environment = {name: os.environ[name] for name in protocol.ENVIRONMENT if name in os.environ}
    return {"environment": environment, "folder": folder}


def _opened(channel: Channel, request: Request, report: Preparing) -> Message:
    channel.send({"kind": "open", "task": request.task, "flags": request.flags, "offline": request.offline, **_here()})
    while (message := channel.receive())["kind"] == "report":
        report(message["stage"], message["share"])
    return connection.checked(message, "ready")


class Remote:
    """A session of the worker. Where the worker is lost before a piece of text was shown, this process goes on."""

    def __init__(self, channel: Channel, ready: Message, *, request: Request, report: Preparing) -> None:
        self.model: str = ready["model"]
        self.window: int = ready["window"]
        self.seed: int | None = ready["seed"]
        self._fingerprint = ready["fingerprint"]
        self._channel = channel
        self._request, self._report = request, report
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
            self._local = _local(self._request, self._report)
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
