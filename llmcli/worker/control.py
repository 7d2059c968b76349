"""Start, look at and stop the worker, for ``llmcli worker``."""

from __future__ import annotations

import fcntl
import os
import signal
from typing import Any

from llmcli.errors import WorkerError
from llmcli.worker import address, connection, protocol
from llmcli.worker.protocol import Broken

PATIENCE = 35.0
"""Seconds in which a worker that was asked to stop must be gone."""


def start(*, keep_alive: float | None, memory: float | None) -> str:
    """Start a worker unless one with this code runs. Raises WorkerError."""
    place = address.find()
    try:
        channel = connection.connect(start=False)
        if channel is not None:
            return f"the worker runs already: pid {channel.hello['pid']}"
        options = ["" if value is None else str(value) for value in (keep_alive, memory)]
        return f"the worker is ready: pid {connection.launch(place, *options).hello['pid']}"
    except Broken as error:
        raise WorkerError(f"the worker cannot be reached: {error}", hint="llmcli worker stop") from error


def status() -> dict[str, Any]:
    """What the worker says of itself; ``running`` is False where there is none. Raises WorkerError."""
    try:
        channel = connection.reach(address.find())
        if channel is None:
            return {"running": False}
        channel.send({"kind": "status"})
        found = channel.receive(timeout=protocol.FIRST)
    except Broken as error:
        raise WorkerError(f"the worker cannot be reached: {error}", hint="llmcli worker stop") from error
    found.pop("kind")
    return found


def stop() -> str:
    """Stop the worker and wait for its end. One that does not listen is killed. Raises WorkerError."""
    place = address.find()
    try:
        channel = connection.reach(place)
        if channel is None:
            return "no worker is running"
        channel.send({"kind": "stop"})
        channel.receive(timeout=protocol.FIRST)
        _hangs_up(channel)
        return f"the worker has stopped: pid {channel.hello['pid']}"
    except Broken:
        return _kill(place)


def _hangs_up(channel: protocol.Channel) -> None:
    """Wait for the process to end: then its connections do. Raises Broken where it does not."""
    try:
        channel.receive(timeout=PATIENCE)
    except Broken as error:
        if isinstance(error.__cause__, TimeoutError):
            raise


def _kill(place: address.Address) -> str:
    """Kill the process that holds the lock."""
    with open(place.lock, "r+b") as lock:
        pid = int(lock.read() or 0)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.kill(pid, signal.SIGKILL)
            fcntl.flock(lock, fcntl.LOCK_EX)
            return f"the worker did not answer and was killed: pid {pid}"
    return "no worker is running"
