"""Processes of the command line that stop at chosen points (``stops``), and pseudo-terminals, from outside."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support import ROOT


class Gated:
    """A command line at work, from outside: ``await_`` a point, then ``go``."""

    def __init__(self, process: subprocess.Popen[bytes], said: int, go: int) -> None:
        self.process, self._said, self._go = process, os.fdopen(said), go

    def await_(self, point: str) -> None:
        assert self._said.readline() == f"{point}\n", self.process.stderr and self.process.stderr.read()

    def go(self) -> None:
        os.write(self._go, b".")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> tuple[int, bytes, bytes]:
        """Exit code, stdout and stderr, once it ends by itself."""
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err


@contextlib.contextmanager
def started(*arguments: str, stops: Sequence[str] = (), script: str = 'exec "$@"', **options: Any) -> Iterator[Gated]:
    """The command line as a process that stops; ``script``: what runs it, as ``"$@"``."""
    say, go = os.pipe(), os.pipe()
    code = "import sys; from tests.support import stops; stops.main(*sys.argv[1:])"
    command = [sys.executable, "-c", code, ",".join(stops), str(say[1]), str(go[0]), *arguments]
    command = ["bash", "-c", script, "bash", *command]
    environment = {**options.pop("env", os.environ), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[say[1], go[0]], **options) as process:
        os.close(say[1])
        os.close(go[0])
        try:
            yield Gated(process, say[0], go[1])
        finally:
            process.kill()
            os.close(go[1])


class Terminal:
    """A pseudo-terminal: ``ours`` reads what is written to ``theirs``."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        self.raw = ""

    def await_(self, text: str) -> None:
        """Read until a text has come that was not read before."""
        start = len(self.raw)
        while text not in self.raw[start:]:
            self._read()

    def end(self) -> list[str]:
        """Read all that is left, once nobody else writes; the lines that stand on the screen then."""
        os.close(self.theirs)
        self.theirs = -1
        with contextlib.suppress(OSError):
            while self._read():
                pass
        return screen(self.raw)

    def close(self) -> None:
        for descriptor in (self.ours, self.theirs):
            if descriptor >= 0:
                os.close(descriptor)

    def _read(self) -> int:
        block = os.read(self.ours, 1 << 16)
        self.raw += block.decode()
        return len(block)


def screen(raw: str) -> list[str]:
    """The lines that a terminal shows, of text, carriage returns, line feeds and ``ESC [K``."""
    lines, column = [""], 0
    pieces = iter(raw.replace("\x1b[K", "\v"))
    for c in pieces:
        if c == "\r":
            column = 0
        elif c == "\n":
            lines.append("")
        elif c == "\v":
            lines[-1] = lines[-1][:column]
        else:
            lines[-1] = lines[-1][:column].ljust(column) + c + lines[-1][column + 1 :]
            column += 1
    return lines


def journalled(output: Path) -> int:
    """How many rows an output's journal holds."""
    _, *lines = output.with_name(output.name + ".journal").read_text().splitlines()
    return sum(len(json.loads(line.partition(" ")[2]).get("rows", {})) for line in lines)
