"""The worker's process: one of them holds the lock, writes the log, and serves until it is done."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import logging.handlers
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from llmcli.worker import address

if TYPE_CHECKING:
    from llmcli.worker.sessions import Parse

log = logging.getLogger("llmcli.worker")


def _locked(place: address.Address) -> int | None:
    """The worker's lock, held until it stops or dies; None where another worker holds it."""
    lock = os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return lock


def _write_log(place: address.Address) -> None:
    place.log.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(place.log, maxBytes=1 << 20, backupCount=2, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def main(arguments: list[str], *, parse: Parse) -> NoReturn:
    """Run a worker; ``parse`` gives the request of a command line.

    ``arguments``: keep-alive in seconds, memory in GB, either empty for the configured value.
    """
    place = address.find()
    address.make(place.socket.parent)
    lock = _locked(place)
    if lock is None:
        sys.exit(0)
    _write_log(place)
    from llmcli.run import resolve
    from llmcli.worker.server import Server

    keep_alive, memory = ([float(value) if value else None for value in arguments] + [None, None])[:2]
    own = resolve.worker()
    size = memory or own.memory
    limit = int(size * 1e9) if size else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    keep = own.keep_alive if keep_alive is None else keep_alive

    async def serve() -> None:
        await Server(place, lock=lock, keep_alive=keep, limit=limit, parse=parse).serve()
        logging.shutdown()
        # At once: threads may be deep in a model, and who asked it to stop waits until the system hangs up.
        os._exit(0)

    asyncio.run(serve())
    raise AssertionError("serve() does not return")
