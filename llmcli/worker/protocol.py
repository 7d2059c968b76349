"""What goes over the socket: JSON values in frames, each with its length before it.

The worker speaks first::

    < hello {source}
    > status | stop                                    < status {…} | stopping
    > open {arguments | task, settings, environment, folder}
                                                         < report* (ready {run, model, window, …} | unread | error)
    > answer {records, stream}                         < (busy | report | text)* (results | error)

A client says nothing while it waits; hanging up cancels its work.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llmcli import errors, tasks
from llmcli.config.options import InputOptions, OutputOptions
from llmcli.config.run_config import RunOptions
from llmcli.errors import LlmcliError
from llmcli.run.records import Record

Message = dict[str, Any]
LENGTH = struct.Struct(">I")
LARGEST = 64 * 1024 * 1024
"""The most bytes of a frame."""
FIRST = 10.0
"""Seconds in which the first frame must come."""
WHOLE = 30.0
"""Seconds in which a frame that has begun must end, either way."""
BEAT = 5.0
"""Seconds between two signs of life during a job."""
SILENCE = 60.0
"""Seconds without a sign of life after which the worker is taken for dead."""
ENVIRONMENT = ("LLMCLI_MODEL", "LLMCLI_PLAIN", "LLMCLI_CONFIG_DIR", "XDG_CONFIG_HOME", "HOME")
"""Variables that a request brings along; what else decides answers decides which worker is asked."""


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

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.hello: Message = {}
        """What the worker said of itself."""

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message."""
        raw = encode(message)
        try:
            self._socket.settimeout(WHOLE)
            self._socket.sendall(raw)
        except OSError as error:
            raise Broken(error.strerror or "it does not read") from error

    def receive(self, *, timeout: float = SILENCE) -> Message:
        """Wait for a message, at most ``timeout`` seconds for each part of it."""
        try:
            self._socket.settimeout(timeout)
            return decode(self._read(length(self._read(LENGTH.size))))
        except TimeoutError as error:
            raise Broken("it does not answer") from error
        except OSError as error:
            raise Broken(error.strerror or "the connection failed") from error

    def _read(self, size: int) -> bytes:
        parts = []
        while size:
            part = self._socket.recv(min(size, 1 << 20))
            if not part:
                raise Broken("it hung up")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def pack_run(run: RunOptions[Any]) -> Message:
    """What a run reads and writes as JSON values; paths are written as text."""
    return {"task": run.task, "source": asdict(run.source), "output": asdict(run.output),
            "options": asdict(run.options), "combine": run.combine}  # fmt: skip


def unpack_run(packed: Mapping[str, Any]) -> RunOptions[Any]:
    """What :func:`pack_run` took apart."""
    source, output = packed["source"], packed["output"]
    source["input"] = [Path(path) for path in source["input"]]
    output["output"] = Path(output["output"]) if output["output"] else None
    options = tasks.get(packed["task"]).options(**packed["options"])
    return RunOptions(packed["task"], InputOptions(**source), OutputOptions(**output), options, packed["combine"])


_RECORD = ("id", "text", "line", "where", "fields", "named", "seed", "argument")


def pack_record(record: Record) -> Message:
    """A record as JSON values."""
    return {name: getattr(record, name) for name in _RECORD} | {"path": str(record.path) if record.path else None}


def unpack_record(packed: Mapping[str, Any]) -> Record:
    """The record that :func:`pack_record` took apart."""
    path = packed["path"]
    return Record(**{name: packed[name] for name in _RECORD}, path=Path(path) if path else None)


def pack_error(error: LlmcliError) -> Message:
    """An error of the whole run, with its place."""
    return {"kind": "error", "error": errors.pack(error), "where": error.where}


def unpack_error(message: Mapping[str, Any]) -> LlmcliError:
    """The error that :func:`pack_error` took apart."""
    error = errors.unpack(message["error"])
    error.where = message["where"]
    return error
