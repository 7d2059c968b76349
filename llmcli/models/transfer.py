"""Requests to the Hub that come to an end: what comes too slowly, or is more than was said, is broken off."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from llmcli.errors import ModelError

T = TypeVar("T")
STALL, SLOWEST = 60.0, 1000
"""In each so many seconds at least so many bytes a second must come: a timeout of each single read does not end what
sends a byte now and then."""
MOST, PACKED = 32 << 20, 1 << 20
"""The most bytes of an answer that is no file, and of a compressed one."""
_running = threading.local()


class Meter:
    """Counts what has come. Once ``broken``, the next count raises, so that an abandoned request ends."""

    def __init__(self) -> None:
        self.count = 0
        self.broken = False

    def add(self, size: int) -> None:
        """So many bytes more."""
        self.reach(self.count + size)

    def reach(self, count: int) -> None:
        """So many bytes in all, at least."""
        self.count = max(self.count, count)
        if self.broken:
            raise ModelError("abandoned", code="no-network")


def watched(work: Callable[[Meter], T]) -> T:
    """Do some requests; what they raise is raised. Raises TimeoutError where nothing comes for long."""
    meter, done = Meter(), threading.Event()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        _running.meter = meter
        try:
            _hook()
            results.append(work(meter))
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    threading.Thread(target=run, name="hub", daemon=True).start()
    before = 0
    try:
        while not done.wait(STALL):
            if meter.count - before < STALL * SLOWEST:
                raise TimeoutError(f"fewer than {SLOWEST} bytes a second came for {STALL:.0f} s")
            before = meter.count
    finally:
        meter.broken = True
    if errors:
        raise errors[0]
    return results[0]


def _hook() -> None:
    """Have the library's client count what comes. It may have made itself a new one."""
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    client = get_session()
    hooks = client.event_hooks
    if _count not in hooks["response"]:
        client.event_hooks = hooks | {"response": [*hooks["response"], _count]}


def _count(response: Any) -> None:
    from httpx2 import ReadError, SyncByteStream

    if not hasattr(_running, "meter"):
        return
    meter: Meter = _running.meter
    most = None if "/resolve/" in response.url.path else PACKED if "content-encoding" in response.headers else MOST

    class Counted(SyncByteStream):
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for part in self._stream:
                size += len(part)
                meter.add(len(part))
                if most is not None and size > most:
                    raise ReadError(f"an answer of more than {most} bytes")
                yield part

        def close(self) -> None:
            self._stream.close()

    response.stream = Counted(response.stream)
