"""Worker processes for tests: with a fake model and with faults, none of which the product has."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llmcli.errors import OutOfMemory
from llmcli.pipelines.protocol import Choice
from llmcli.text.prompts import Rendered
from llmcli.worker import address, control
from tests.support import ROOT
from tests.support.fake import FakeModel


def start(fault: str = "nothing") -> int:
    """Start a worker with a fake model and a fault; its process id."""
    code = f"from tests.support import workers; workers.serve(workers.{fault})"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, start_new_session=True)
    await_(lambda: control.status()["running"] or process.poll() is not None)
    return process.pid


def serve(fault: Callable[[], FakeModel | None]) -> None:
    from llmcli.cli import app
    from llmcli.models import store
    from llmcli.pipelines import load as loading
    from llmcli.worker import process

    model = fault() or FakeModel()
    loading.load = lambda config, *, report, watch=None: model
    store.here = lambda model: True
    process.main([], parse=app.parse)


def await_(condition: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def alive(folder: Path) -> list[int]:
    """Workers, dead ones left out, whose sockets are in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            mine = f"XDG_RUNTIME_DIR={folder}\0".encode() in (process / "environ").read_bytes()
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if mine and (b"llmcli.cli.serving" in command or b"tests.support import workers" in command):
            found.append(int(process.name))
    return found


def nothing() -> None:
    """No fault."""


def impatient() -> None:
    from llmcli.worker import protocol

    protocol.FIRST = protocol.WHOLE = 0.2


def watchful() -> None:
    from llmcli.worker import server

    server.LOOK = 0.05


def other_code() -> None:
    source = address.source()
    address.source = lambda: "not " + source


def another_user() -> None:
    address.peer = lambda sock: (0, os.getuid() + 1)


def mute() -> None:
    from llmcli.worker import server

    async def silent(self: Any, peer: Any) -> None:
        await peer.reader.read()

    server.Server._talk = silent  # type: ignore[method-assign]


def stops_midway() -> None:
    """Lets go of its lock, and is stopped before it has said so."""
    from llmcli.worker import server

    retire = server.Server.retire

    def stop(self: Any, why: str) -> None:
        retire(self, why)
        os.kill(os.getpid(), signal.SIGSTOP)

    server.Server.retire = stop  # type: ignore[method-assign]


def out_of_memory() -> FakeModel:
    class Model(FakeModel):
        def choose(
            self, prompts: Sequence[Rendered], labels: Mapping[str, Sequence[str]], *, multi: bool = False
        ) -> list[Choice]:
            raise OutOfMemory("out of memory with a single row", hint="try a shorter text")

    return Model()


def no_memory_at_all() -> FakeModel:
    class Model(FakeModel):
        def choose(
            self, prompts: Sequence[Rendered], labels: Mapping[str, Sequence[str]], *, multi: bool = False
        ) -> list[Choice]:
            raise MemoryError

    return Model()


def bug() -> FakeModel:
    class Model(FakeModel):
        def choose(
            self, prompts: Sequence[Rendered], labels: Mapping[str, Sequence[str]], *, multi: bool = False
        ) -> list[Choice]:
            raise ZeroDivisionError("by zero")

    return Model()


@dataclasses.dataclass
class Dying(FakeModel):
    """Dies at its second window; never ends a text that it has begun."""

    windows: int = 0

    def choose(
        self, prompts: Sequence[Rendered], labels: Mapping[str, Sequence[str]], *, multi: bool = False
    ) -> list[Choice]:
        self.windows += 1
        if self.windows == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().choose(prompts, labels)

    def complete(self, prompts: Sequence[Rendered], generation: Any, *, emit: Any = None) -> Any:
        if emit:
            emit("a beginning")
        await_(lambda: False)


def dies() -> FakeModel:
    return Dying()


class Gated(FakeModel):
    """Writes down whose rows it works on; the first window waits for the file ``go``."""

    def choose(
        self, prompts: Sequence[Rendered], labels: Mapping[str, Sequence[str]], *, multi: bool = False
    ) -> list[Choice]:
        folder = Path(os.environ["XDG_RUNTIME_DIR"])
        with (folder / "order").open("a") as order:
            order.write("batch\n" if len(prompts) > 1 else "short\n")
        await_((folder / "go").exists)
        return super().choose(prompts, labels)


def gated() -> FakeModel:
    return Gated()
