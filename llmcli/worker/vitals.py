"""What the system knows of a worker's process: whether it works, whether it holds a lock, whether it is gone."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

STEP = 0.01
"""Seconds between two looks at a process that the system does not tell the end of."""
REAPED = 0.5
"""Seconds that its parent has to take note of an ended process."""


@dataclass(frozen=True)
class Pulse:
    """A process at one moment: whether a thread of it runs, and the processor time that all have used, in ticks."""

    runs: bool
    ticks: int


def pulse(pid: int) -> Pulse | None:
    """A process's pulse; None where the system does not tell (no /proc, another namespace)."""
    threads = list(_stats(pid))
    if not threads:
        return None
    return Pulse(any(stat[0] in "RD" for stat in threads), sum(int(stat[11]) + int(stat[12]) for stat in threads))


def hangs(before: Pulse | None, now: Pulse | None) -> bool:
    """Whether a process was seen that is stopped, or waits: nothing of it runs, and nothing has since ``before``."""
    return now is not None and not now.runs and (before is None or before.ticks == now.ticks)


def _stats(pid: int) -> Iterator[list[str]]:
    """The fields of each thread's ``stat`` behind its name: the state, …"""
    if pid <= 0:
        return
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/stat") as stream:
                yield stream.read().rpartition(")")[2].split()


def holds(pid: int, lock: int) -> bool:
    """Whether a process of ours has the file of an open lock open too; believed where the system does not tell.

    The worker writes its id into the file that it holds: one that has not yet leaves its predecessor's there.
    """
    if pid <= 1 or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
        if not os.path.isdir("/proc/self/fd"):
            return True
        wanted, folder = os.fstat(lock), f"/proc/{pid}/fd"
        return any(_same(f"{folder}/{name}", wanted) for name in os.listdir(folder))
    except OSError:  # gone, or another user's
        return False


def _same(path: str, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), wanted)
    except OSError:
        return False


class Process:
    """Another process; 0 where it is not known. Where the system can, it is held so that no later one is meant."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor: int | None = None
        with contextlib.suppress(OSError, AttributeError):  # not on every system; or it is gone
            self._descriptor = os.pidfd_open(pid) if pid > 0 else None

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def send(self, number: signal.Signals) -> None:
        """Send a signal; to nobody where it has ended."""
        assert self.pid > 1  # 0 is a group, our own
        with contextlib.suppress(ProcessLookupError):
            if self._descriptor is None:
                os.kill(self.pid, number)
            else:
                signal.pidfd_send_signal(self._descriptor, number)

    def ended(self, *, timeout: float) -> bool:
        """Wait for its end, and a moment for its id to be free; whether it came."""
        end = time.monotonic() + timeout
        if self._descriptor is not None:
            over = bool(select.select([self._descriptor], [], [], timeout)[0])
        else:
            while not (over := not self._seen()) and time.monotonic() < end:
                time.sleep(STEP)
        reaped = time.monotonic() + REAPED
        while over and self._seen(ended=True) and time.monotonic() < reaped:
            time.sleep(STEP)
        return over

    def _seen(self, *, ended: bool = False) -> bool:
        """Whether the system still lists it; one that has ended, and whose parent has not noticed, only ``ended``."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # its id is another user's by now
            return False
        states = [stat[0] for stat in _stats(self.pid)]
        return ended or not states or any(state not in "ZX" for state in states)
