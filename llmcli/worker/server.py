"""The worker process: an event loop that talks, one thread that resolves settings, one that runs models.

A client has one window of rows at work at most, and windows wait in one queue: so clients take turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import logging.handlers
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from llmcli import __version__
from llmcli.errors import LlmcliError, OutOfMemory
from llmcli.worker import address, memory, protocol, sessions
from llmcli.worker.peer import Peer
from llmcli.worker.protocol import Broken, Message
from llmcli.worker.sessions import Cancelled, Parse, Session, Sessions

CLIENTS = 256
"""The most connections; who comes later works without the worker."""
GRACE = 30.0
"""Seconds that work in progress has when the worker stops."""
LOOK = 5.0
"""Seconds between two looks at the socket's file, the cache's folder and the idle time."""
UNUSED = 300.0
"""Seconds that a worker with ``--keep-alive 0`` waits for its first request."""
log = logging.getLogger("llmcli.worker")


class Server:
    """Serves until it is idle for ``keep_alive`` seconds (-1: for ever), told to stop, or out of memory."""

    def __init__(self, place: address.Address, *, lock: int, keep_alive: float, limit: int, parse: Parse) -> None:
        self._place, self._lock, self._keep_alive = place, lock, keep_alive
        self._source = address.source()
        self._sessions = Sessions(limit=limit, parse=parse)
        self._resolver = ThreadPoolExecutor(1, "resolver")
        self._runner = ThreadPoolExecutor(1, "model")
        self._started = self._used = time.monotonic()
        self._open: set[Session] = set()
        self._clients = self._jobs = self._requests = 0
        self._stopping = asyncio.Event()

    async def serve(self) -> None:
        """Listen, and return when all is done."""
        listening = address.bind(self._place)
        self._inode = os.lstat(self._place.socket).st_ino
        self._server = await asyncio.start_unix_server(self._client, sock=listening, backlog=CLIENTS)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self.retire, f"signal {number}")
        log.info("listening, version %s, keep-alive %s s", __version__, self._keep_alive)
        await self._rest()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle(), GRACE)
        for session in self._open:
            session.cancelled.set()

    def retire(self, why: str) -> None:
        """Take no more clients, make room for a successor, let work in progress end."""
        if self._stopping.is_set():
            return
        log.info("stopping: %s", why)
        with contextlib.suppress(FileNotFoundError):
            self._place.socket.unlink()
        self._server.close()
        os.close(self._lock)
        self._stopping.set()

    async def _rest(self) -> None:
        """Return when it is time to stop."""
        while not self._stopping.is_set():
            left = self._left()
            if left <= 0:
                self.retire("idle")
            elif not self._reachable():
                self.retire("its socket, or its cache, is gone")
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), min(left, LOOK))

    def _left(self) -> float:
        """Seconds until the worker has been idle for too long."""
        if self._jobs or self._keep_alive < 0:
            return LOOK
        keep = self._keep_alive
        if keep == 0:
            keep = UNUSED if not self._requests or self._open else 0.0
        return self._used + keep - time.monotonic()

    def _reachable(self) -> bool:
        try:
            return os.lstat(self._place.socket).st_ino == self._inode and self._place.log.parent.is_dir()
        except OSError:
            return False

    async def _idle(self) -> None:
        while self._jobs:
            await asyncio.sleep(0.02)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if address.peer(writer.get_extra_info("socket"))[1] == os.getuid() and self._clients <= CLIENTS:
                await self._talk(Peer(reader, writer))
        except EOFError:
            pass  # it has hung up: so clients end
        except (Broken, OSError) as error:
            log.info("a client was dropped: %s", str(error) or type(error).__name__)
        except Exception:
            log.exception("a client was dropped")
        finally:
            self._clients -= 1
            writer.close()

    async def _talk(self, peer: Peer) -> None:
        await peer.send({"kind": "hello", "source": self._source})
        message = await peer.receive(timeout=protocol.FIRST)
        if message["kind"] == "status":
            await peer.send(self._status())
        elif message["kind"] == "stop":
            self.retire("asked to")
            await peer.send({"kind": "stopping"})
            await peer.receive(timeout=None)  # hung up when this process ends
        elif message["kind"] == "open":
            await self._session(peer, message)
        else:
            raise Broken("an unknown kind of message")

    async def _session(self, peer: Peer, message: Message) -> None:
        self._requests += 1
        self._used = time.monotonic()
        loop = asyncio.get_running_loop()

        def report(stage: str, share: float) -> None:
            loop.call_soon_threadsafe(peer.post, {"kind": "report", "stage": stage, "share": share})

        try:
            job = loop.run_in_executor(self._resolver, self._sessions.open, message, report)
            await self._wait(job, peer, cancelled=threading.Event())
            session, reply = job.result()
            if session is None:
                await peer.send(reply)
                return
            self._open.add(session)
            try:
                await peer.send(reply)
                while not self._stopping.is_set():
                    await self._answer(peer, session, await peer.receive(timeout=None))
            finally:
                self._open.discard(session)
        except LlmcliError as error:
            await peer.send(sessions.refused(error))
        finally:
            self._used = time.monotonic()
            if self._keep_alive == 0 and not self._open:
                self.retire("its last request is done")

    async def _answer(self, peer: Peer, session: Session, message: Message) -> None:
        """Queue a window of rows, show signs of life, give the results. Whoever hangs up cancels."""
        loop = asyncio.get_running_loop()

        def emit(text: str) -> None:
            loop.call_soon_threadsafe(peer.post, {"kind": "text", "text": text})

        job = loop.run_in_executor(self._runner, _guarded, self._sessions.answer, session, message, emit)
        self._jobs += 1
        try:
            await self._wait(job, peer, cancelled=session.cancelled)
            results = job.result()
            await peer.send(sessions.packed(results, window=session.local.window))
            if sessions.exhausted(results):
                self.retire("out of memory")
        except OutOfMemory as error:
            await peer.send(protocol.pack_error(error))
            self.retire("out of memory")
        finally:
            self._jobs -= 1
            self._used = time.monotonic()
            if not self._jobs:  # who asks next waits for nothing that can wait
                self._runner.submit(_logged, self._sessions.settle)

    async def _wait(self, job: asyncio.Future[Any], peer: Peer, *, cancelled: threading.Event) -> None:
        """Wait for a job, with signs of life for its client; ``cancelled`` is set where it hangs up."""
        speaks = asyncio.ensure_future(peer.reader.read(1))
        try:
            while not job.done():
                await asyncio.wait({job, speaks}, timeout=protocol.BEAT, return_when=asyncio.FIRST_COMPLETED)
                if speaks.done() and not job.done():
                    cancelled.set()
                    await asyncio.wait({job})
                    raise Broken("it hung up during its work")
                if not job.done():
                    await peer.send({"kind": "busy"})
        except (OSError, TimeoutError):
            cancelled.set()
            await asyncio.wait({job})
            raise
        finally:
            speaks.cancel()
            await asyncio.wait({speaks})
            if job.done():
                job.exception()  # seen

    def _status(self) -> Message:
        now = time.monotonic()
        models = self._sessions.models
        return {"kind": "status", "running": True, "pid": os.getpid(), "version": __version__,
                "uptime": round(now - self._started, 1), "idle": 0.0 if self._jobs else round(now - self._used, 1),
                "keep_alive": self._keep_alive, "requests": self._requests,
                "sessions": len(self._open), "jobs": self._jobs, "memory": memory.used(),
                "limit": models.limit, "models": models.list(),
                "socket": str(self._place.socket), "log": str(self._place.log)}  # fmt: skip


def _guarded(work: Callable[..., Any], *arguments: Any) -> Any:
    """Run a job; a bug in it becomes the error that the command line would show, with its traceback in the log."""
    try:
        return work(*arguments)
    except Cancelled:
        raise Broken("cancelled") from None
    except LlmcliError:
        raise
    except MemoryError as error:
        raise OutOfMemory("out of memory", hint="try a shorter text") from error
    except Exception as error:
        log.exception("a job failed")
        raise LlmcliError(f"{type(error).__name__}: {error}", hint="run again with --debug, and report it") from error


def _logged(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:
        log.exception("between two jobs")
