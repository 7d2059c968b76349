"""What goes over the socket: JSON values in frames, each with its length before it.

The worker speaks first::

    < hello {source}
    > status | stop                                    < status {…} | stopping
    > open {arguments | task, settings, environment, folder}
                                                         < busy* (ready {run, …} | absent {request} | unread | error)
    > answer {records, stream}                         < (busy | report | text)* (results | absent | error)

``absent``: the model is not in the store. The worker fetches nothing and converts nothing: that is done by the client,
with its own token, proxy and patience. A client says nothing while it waits; hanging up cancels its work.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from llmcli import errors
from llmcli.errors import LlmcliError
from llmcli.worker import vitals

Message = dict[str, Any]
T = TypeVar("T")
LENGTH = struct.Struct(">I")
LARGEST = 64 * 1024 * 1024
"""The most bytes of a frame."""
FIRST = 10.0
"""Seconds in which the first frame must come."""
WHOLE = 30.0
"""Seconds in which a frame that has begun must end, either way."""
BEAT = 1.0
"""Seconds between two signs of life while a client waits."""
MISSED = 2
"""Beats that a process must miss, and be seen to hang, before it is given up."""
SILENCE = 60.0
"""Seconds without a sign of life after which it is given up though it seems to work."""


class Broken(Exception):
    """The other side hung up, is silent, or speaks another language; the message says which."""


def encode(message: Mapping[str, Any]) -> bytes:
    """A frame. Raises Broken for one that is too large."""
    raw = json.dumps(message, default=str, separators=(",", ":")).encode()
    if len(raw) > LARGEST:
        raise Broken(f"a message of {len(raw)} bytes is more than it takes")
    return LENGTH.pack(len(raw)) + raw


def length(head: bytes) -> int:
    """The length that a frame announces. Raises Broken for one that is too large."""
    (size,) = LENGTH.unpack(head)
    if size > LARGEST:
        raise Broken(f"a message of {size} bytes was announced")
    return int(size)


def decode(raw: bytes) -> Message:
    """The message of a frame. Raises Broken for anything but a JSON object that names its kind."""
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Broken("not JSON") from error
    if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
        raise Broken("not a message")
    return message


class Channel:
    """The client's end of a connection. Every failure of the socket is Broken."""

    def __init__(self, sock: socket.socket, *, pid: int = 0) -> None:
        self._socket = sock
        self.pid = pid
        """The process at the other end; 0 where the system does not tell."""
        self.hello: Message = {}
        """What the worker said of itself."""

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message."""
        rest, end = memoryview(encode(message)), time.monotonic() + WHOLE
        while rest:
            rest = rest[self._patiently(partial(self._socket.send, rest), end=end) :]

    def receive(self, *, timeout: float = SILENCE) -> Message:
        """Wait for a message, at most ``timeout`` seconds for each part of it."""
        return decode(self._read(length(self._read(LENGTH.size, timeout)), timeout))

    def _read(self, size: int, timeout: float) -> bytes:
        parts = []
        while size:
            end = time.monotonic() + timeout
            part = self._patiently(partial(self._socket.recv, min(size, 1 << 20)), end=end)
            if not part:
                raise Broken("it hung up")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _patiently(self, step: Callable[[], T], *, end: float) -> T:
        """Do a step of the socket's; the system takes connections for a process that is stopped, too."""
        missed, before = 0, None
        while True:
            try:
                self._socket.settimeout(max(min(BEAT, end - time.monotonic()), 0.001))
                return step()
            except TimeoutError as error:
                now = vitals.pulse(self.pid)
                missed, before = missed + 1 if vitals.hangs(before, now) else 0, now
                if missed == MISSED or time.monotonic() >= end:
                    raise Broken("it does not answer") from error
            except OSError as error:
                raise Broken(error.strerror or "the connection failed") from error

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def pack_error(error: LlmcliError) -> Message:
    """An error of the whole run, with its place."""
    return {"kind": "error", "error": errors.pack(error), "where": error.where}


def unpack_error(message: Mapping[str, Any]) -> LlmcliError:
    """The error that :func:`pack_error` took apart."""
    error = errors.unpack(message["error"])
    error.where = message["where"]
    return error
