"""How a worker is reached: found, started, or replaced where it runs other code."""

from __future__ import annotations

import os
import socket
import sys
import time

from llmcli.config import places
from llmcli.errors import WorkerError
from llmcli.worker import address, protocol
from llmcli.worker.protocol import Broken, Channel, Message

CONNECT = 2.0
"""Seconds to reach a worker that listens."""
START = 20.0
"""Seconds that a new worker has to listen."""
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
"""What the Hub's own library reads when it is imported: from then on it refuses to ask the network."""
_BOOT = ("import sys; sys.path.insert(0, sys.argv[1]); import llmcli; sys.path.remove(sys.argv[1]); "
         "from llmcli.cli.serving import main; main(sys.argv[2:])")  # fmt: skip


def connect(*, start: bool) -> Channel | None:
    """A connection to a worker that runs this code; one that runs other code is replaced.

    None where there is no worker, and none is to be started. Raises Broken, WorkerError.
    """
    place = address.find()
    channel = reach(place)
    if channel is None:
        return launch(place) if start else None
    if channel.hello["source"] == address.source():
        return channel
    channel.send({"kind": "stop"})
    expect(channel, "stopping", timeout=protocol.FIRST)
    channel.close()
    return launch(place)


def reach(place: address.Address) -> Channel | None:
    """A connection to the worker at this address, whatever code it runs; None where nobody listens.

    Raises WorkerError for a folder or a worker that is not ours, Broken for one that does not answer.
    """
    if not place.socket.parent.exists():
        return None
    address.check(place.socket.parent)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(CONNECT)
    try:
        sock.connect(str(place.socket))
    except (FileNotFoundError, ConnectionRefusedError):
        sock.close()
        return None
    except OSError as error:
        sock.close()
        raise Broken(error.strerror or "it does not answer") from error
    pid, owner = address.peer(sock)
    if owner != os.getuid():
        raise WorkerError("the worker is another user's", code="worker-owner")
    channel = Channel(sock, pid=pid)
    channel.hello = expect(channel, "hello", timeout=protocol.FIRST)
    return channel


def launch(place: address.Address, *options: str) -> Channel:
    """Start a worker, or find the one that somebody else starts at the same time.

    Raises WorkerError where none listens in time.
    """
    import subprocess

    address.make(place.socket.parent)
    try:
        place.log.parent.mkdir(parents=True, exist_ok=True)
        with open(place.log, "ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-P", "-c", _BOOT, str(places.PACKAGE.parent), *options],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True, cwd="/",
                env=_environment(),
            )  # fmt: skip
    except OSError as error:
        raise WorkerError(f"no worker can be started: {error.strerror or error}", code="worker-start") from error
    end = time.monotonic() + START
    while time.monotonic() < end and child.poll() in (None, 0):
        channel = reach(place)
        if channel is not None:
            return channel
        time.sleep(0.01)
    raise WorkerError("no worker could be started", code="worker-start", hint=f"see {place.log}")


def _environment() -> dict[str, str]:
    """A worker's variables: places that hold in its folder too, and nothing with which it could fetch."""
    kept = {name: value for name, value in os.environ.items() if name not in TOKENS}
    fixed = {"LLMCLI_CACHE_DIR": str(places.cache()), "LLMCLI_CONFIG_DIR": str(places.user())}
    return kept | fixed | OFFLINE


def expect(channel: Channel, kind: str, *, timeout: float = protocol.SILENCE) -> Message:
    """The next message, of this kind. Raises Broken, or the error that came instead."""
    return checked(channel.receive(timeout=timeout), kind)


def checked(message: Message, kind: str) -> Message:
    """The message, if it is of this kind. Raises Broken, or the error that it is."""
    if message["kind"] == "error":
        raise protocol.unpack_error(message)
    if message["kind"] != kind:
        raise Broken(f"it said {message['kind']}, not {kind}")
    return message
