"""Who answers a command line: the worker where it is wanted and possible, else this process."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmcli import tasks
from llmcli.config import places
from llmcli.config.places import Caller
from llmcli.errors import ModelError, UsageError, WorkerError
from llmcli.reports import Introduced, say
from llmcli.run.request import Request
from llmcli.run.session import Local, Session
from llmcli.tasks import _packing
from llmcli.worker import address, connection, protocol
from llmcli.worker.protocol import Broken, Channel, Message
from llmcli.worker.remote import Fetching, Remote

if TYPE_CHECKING:
    from llmcli.config.run_config import AnyConfig, RunOptions
    from llmcli.run.task import Task

OPEN = 10.0
"""Seconds that a worker has to say what a command line means; it takes some milliseconds, and this process a second."""
HERE = ("--help", "-h", "--debug", "--no-worker", "--labels-file", "--glossary", "--check", "--detect", "--requests",
        "--responses", "--shard", "--cluster")  # fmt: skip
"""Options with which it is parsed here: help is printed here, and a file may be a pipe that this process alone has."""
NEEDED = ("llmcli.data.readers", "llmcli.data.writer", "llmcli.run.runner")
"""What every answer needs, besides the task."""


@dataclass(frozen=True)
class Opened:
    """A run that is resolved, and who answers it."""

    run: RunOptions[Any]
    session: Session


@dataclass(frozen=True)
class Reply:
    """What the worker made of a command line: ``ready`` or ``absent``; and the connection on which it said so."""

    channel: Channel
    message: Message


@dataclass(frozen=True)
class Lost:
    """Why the worker is no help: it is not asked a second time."""

    why: str


def ask(arguments: Sequence[str]) -> Reply | Lost | None:
    """Have a command line parsed, and its session opened, by the worker that runs; None: do it here.

    That spares this process the import of Typer and pydantic, most of what it would do. Raises the run's own errors.
    """
    if os.environ.get("LLMCLI_WORKER") == "off" or "_LLMCLI_COMPLETE" in os.environ:
        return None
    if any(map(_here_alone, arguments)):
        return None
    try:
        channel = connection.reach(address.find())
        if channel is None:
            return None
        if channel.hello["source"] == address.source():
            message = _opened(channel, {"arguments": list(arguments)}, meanwhile=partial(_import, arguments[0]))
            if message["kind"] != "unread":
                return Reply(channel, message)
        channel.close()
    except (Broken, WorkerError) as error:
        return Lost(str(error))
    return None


def _import(task: str) -> None:
    """Import what the answer will need: both processes work at once."""
    for module in NEEDED:
        import_module(module)
    tasks.get(task)


def _here_alone(argument: str) -> bool:
    """Whether an argument must be read in this process, or may name one of its files."""
    return argument.partition("=")[0] in HERE or "/dev/" in argument or "/proc/" in argument


def attach(reply: Reply, report: Introduced) -> Opened:
    """The session that a worker has opened, or that it will open when its model is here."""
    request = Request(**reply.message["request"])
    if reply.message["kind"] == "absent":
        reply.channel.close()
        return _fetching(request, report)
    session = _remote(reply, request, report)
    return Opened(_packing.unpack_run(reply.message["run"]), session)


def open_session(request: Request, report: Introduced, *, lost: Lost | None = None) -> Opened:
    """The session of a request: the worker's where it is wanted and possible, else one in this process.

    Raises the request's own errors (ConfigError, ModelError), wherever they were found.
    """
    mode = _mode(request)
    if mode == "off" or _served(request):
        return _local(request, report)
    terminal = sys.stderr is not None and sys.stderr.isatty()
    try:
        if lost is not None:
            raise Broken(lost.why)
        channel = connection.connect(start=mode == "on" or terminal)
        if channel is None:
            return _local(request, report)
        return attach(_reply(channel, request), report)
    except (Broken, WorkerError) as error:
        _say(request, f"the worker cannot be used ({error})")
        return _local(request, report)


def _served(request: Request) -> bool:
    """Whether a server answers: there is no model to keep warm. Raises the request's own errors."""
    if request.options.get("requests") or request.options.get("responses"):
        return True
    if not _names_a_server(request):
        return False
    from llmcli.models import names
    from llmcli.run import resolve

    name = resolve.chosen_model(tasks.get(request.task), request.settings)
    try:
        return names.find(str(name)).source.server is not None
    except ModelError:
        return False  # it is said when the run is resolved


def _names_a_server(request: Request) -> bool:
    """Whether a URL or a server stands where models are named: what reads them in earnest takes half a second."""
    named = f"{request.settings.get('model')} {os.environ.get('LLMCLI_MODEL')}"
    folder = places.user()
    files = {"config.yaml": b"://", "chosen.yaml": b"://", "tasks/*.yaml": b"://", "models/*.yaml": b"server"}
    return "://" in named or any(
        sign in _bytes(path) for pattern, sign in files.items() for path in folder.glob(pattern)
    )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _mode(request: Request) -> str:
    if request.options.get("debug") or request.options.get("cluster"):
        return "off"  # a traceback is wanted, of this process; or others are to work
    if (wanted := request.options.get("worker")) is not None:
        return "on" if wanted else "off"
    mode = os.environ.get("LLMCLI_WORKER") or "auto"
    if mode not in ("auto", "on", "off"):
        raise UsageError("LLMCLI_WORKER must be auto, on or off")
    return mode


def _local(request: Request, report: Introduced) -> Opened:
    task, config = _resolved(request, report)
    return Opened(config, Local(task, config, report=report))


def _fetching(request: Request, report: Introduced) -> Opened:
    """The session of a request whose model is to be made first."""
    task, config = _resolved(request, report)

    def reopen() -> Session | None:
        try:
            channel = connection.connect(start=False)
            reply = _reply(channel, request) if channel is not None else None
        except (Broken, WorkerError) as error:
            _say(request, f"the worker cannot be used ({error})")
            return None
        return _remote(reply, request, report) if reply and reply.message["kind"] == "ready" else None

    return Opened(config, Fetching(Local(task, config, report=report), reopen=reopen))


def _resolved(request: Request, report: Introduced) -> tuple[Task[Any], AnyConfig]:
    from llmcli.models import store
    from llmcli.run.resolve import resolve

    task = tasks.get(request.task)
    config = resolve(task, request.settings)
    report.introduce(config.model.name, store.introduction(config.model))
    return task, config


def _remote(reply: Reply, request: Request, report: Introduced) -> Remote:
    def instead(why: str) -> Session:
        _say(request, why)
        return _local(request, report).session

    where = f"the worker (pid {reply.channel.pid})"
    report.introduce(reply.message["model"], reply.message["introduction"], where=where)
    return Remote(reply.channel, reply.message, report=report, instead=instead)


def _say(request: Request, what: str) -> None:
    if request.options.get("verbose"):
        say(f"llmcli: {what}; working in this process")


def _reply(channel: Channel, request: Request) -> Reply:
    """What the worker says to a request that was parsed here. Raises Broken, and the request's own errors."""
    message = _opened(channel, asdict(request))
    if message["kind"] not in ("ready", "absent"):
        raise Broken(f"it said {message['kind']}")
    return Reply(channel, message)


def _opened(channel: Channel, asked: Message, *, meanwhile: Callable[[], None] | None = None) -> Message:
    """The reply to a command line: ``ready``, ``absent`` or ``unread``. Raises Broken, and the run's own errors."""
    try:
        caller = Caller.here()
    except UsageError as error:
        raise Broken(error.message) from error
    end = time.monotonic() + OPEN
    channel.send({"kind": "open", "folder": str(caller.folder), "environment": caller.environment, **asked})
    if meanwhile is not None:
        meanwhile()
    while (message := channel.receive())["kind"] == "busy":
        if time.monotonic() > end:
            raise Broken("it is busy")
    if message["kind"] == "error":
        raise protocol.unpack_error(message)
    return message
