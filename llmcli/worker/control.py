"""Start, look at and stop the worker, for ``llmcli worker``."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from typing import Any

from llmcli.errors import WorkerError
from llmcli.worker import address, connection, protocol, vitals
from llmcli.worker.protocol import Broken

PATIENCE = 35.0
"""Seconds in which a worker that was asked to stop must be gone."""
KILL = 10.0
"""Seconds in which one that was killed must be gone."""
UNNAMED = 2.0
"""Seconds that a worker has between taking its lock and writing who it is."""
STEP = 0.02
"""Seconds between two looks at it."""


def start(*, keep_alive: float | None, memory: float | None) -> str:
    """Start a worker unless one with this code runs. Raises WorkerError."""
    place = address.find()
    try:
        channel = connection.connect(start=False)
        if channel is not None:
            return f"the worker runs already: pid {channel.pid}"
        options = ["" if value is None else str(value) for value in (keep_alive, memory)]
        return f"the worker is ready: pid {connection.launch(place, *options).pid}"
    except Broken as error:
        raise WorkerError(f"the worker cannot be reached: {error}", hint="llmcli worker stop") from error


def status() -> dict[str, Any]:
    """What the worker says of itself; ``running`` is False where there is none. Raises WorkerError."""
    try:
        channel = connection.reach(address.find())
        if channel is None:
            return {"running": False}
        channel.send({"kind": "status"})
        said = channel.receive(timeout=protocol.FIRST)
    except Broken as error:
        raise WorkerError(f"the worker cannot be reached: {error}", hint="llmcli worker stop") from error
    said.pop("kind")
    return said


def stop() -> str:
    """Stop the worker and wait for its end. One that does not answer is killed. Raises WorkerError."""
    place = address.find()
    try:
        channel = connection.reach(place)
        return _ended(place, signal.SIGTERM) if channel is None else _asked(channel)
    except Broken:
        return _ended(place, signal.SIGKILL)


def _asked(channel: protocol.Channel) -> str:
    """Stop a worker that listens. Raises Broken."""
    with vitals.Process(channel.pid) as process:
        channel.send({"kind": "stop"})
        try:
            connection.expect(channel, "stopping", timeout=protocol.FIRST)
        except Broken:
            if not process.pid:
                raise
            return _killed(process)  # it may have let go of its lock already
        if not process.pid:
            _hangs_up(channel)
        elif not process.ended(timeout=PATIENCE):
            return _killed(process)
        return f"the worker has stopped{_called(process)}"


def _hangs_up(channel: protocol.Channel) -> None:
    """Wait for a process that the system does not name to end: then its connections do. Raises Broken."""
    try:
        channel.receive(timeout=PATIENCE)
    except Broken as error:
        if isinstance(error.__cause__, TimeoutError):
            raise


def _ended(place: address.Address, number: signal.Signals) -> str:
    """End the process that holds the lock and does not listen: it just starts, its socket is gone, or it hangs."""
    pid = _holder(place)
    if pid is None:
        return "no worker is running"
    with vitals.Process(pid) as process:
        if _holder(place) != pid:  # its id may be another's by now
            return "no worker is running"
        if number == signal.SIGKILL:
            return _killed(process)
        process.send(number)
        return f"the worker has stopped{_called(process)}" if process.ended(timeout=PATIENCE) else _killed(process)


def _killed(process: vitals.Process) -> str:
    process.send(signal.SIGKILL)
    if not process.ended(timeout=KILL):
        raise WorkerError(f"the worker was killed, and has not ended{_called(process)}", code="worker-stuck")
    return f"the worker did not answer and was killed{_called(process)}"


def _called(process: vitals.Process) -> str:
    return f": pid {process.pid}" if process.pid else ""


def _holder(place: address.Address) -> int | None:
    """The process that holds the lock; None where none does.

    Raises WorkerError where one does that the lock's file does not name: nobody is ended on a guess.
    """
    end = time.monotonic() + UNNAMED
    while (lock := _open(place)) is not None:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        except BlockingIOError:
            written = os.read(lock, 32)
            pid = int(written) if written.isdigit() else 0
            if vitals.holds(pid, lock):
                return pid
        finally:
            os.close(lock)
        if time.monotonic() > end:
            raise WorkerError(f"{place.lock}: held by a process that it does not name", code="worker-unknown",
                              hint="end that process")  # fmt: skip
        time.sleep(STEP)
    return None


def _open(place: address.Address) -> int | None:
    try:
        return os.open(place.lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WorkerError(f"{place.lock}: {error.strerror}", code="worker-folder") from error
