"""The command line, stopping at chosen points until it is let on; its model is the fake one. ``gates`` is its outside.

Points are names of modules (at their import), ``load``, ``rows`` (a window of rows), ``piece`` (a part of a text) and
``close`` (the output is about to get its name).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any


def main(points: str, say: str, go: str, *arguments: str) -> None:
    """Run a command line that stops at these points, separated by commas."""
    stops = Stops(points.split(","), int(say), int(go))
    sys.meta_path.insert(0, stops)  # type: ignore[arg-type]
    sys.argv = ["llmcli", *arguments]
    from llmcli.cli import main as program

    execute = program.execute

    def patched(*arguments: Any, **options: Any) -> int:
        patch(stops)
        return execute(*arguments, **options)

    program.execute = patched  # type: ignore[assignment]
    program.main()


class Stops:
    """Says a point's name, and waits for a byte."""

    def __init__(self, points: Sequence[str], say: int, go: int) -> None:
        self._points, self._say, self._go = points, say, go

    def __call__(self, point: str) -> None:
        if point in self._points:
            os.write(self._say, f"{point}\n".encode())
            os.read(self._go, 1)

    def find_spec(self, name: str, *_: Any) -> None:
        self(name)


def patch(stops: Stops) -> None:
    from llmcli.cli import signals, status
    from llmcli.data.writer import Writer
    from llmcli.run import session
    from tests.support.fake import Stopping

    def load(config: Any, *, report: Any) -> Stopping:
        stops("load")
        return Stopping(stops=stops)

    def close(self: Writer, kind: Any, *rest: Any) -> None:
        stops("close")
        leave(self, kind, *rest)

    leave, Writer.__exit__ = Writer.__exit__, close  # type: ignore[method-assign, assignment]
    session._loader = lambda config: load
    status.DELAY = status.PERIOD = 0.01
    signals.GRACE = float(os.environ.get("GRACE", signals.GRACE))
