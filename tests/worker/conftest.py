"""Worker processes in folders of their own, none of which is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import workers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a worker leaves behind is found in /proc."""
    if not Path("/proc/self/environ").exists():
        here = Path(__file__).parent
        for item in items:
            if here in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="needs Linux: what a worker leaves behind is found in /proc"))


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for sockets, with a short path. No worker outlives the test."""
    folder = Path(tempfile.mkdtemp(prefix="llmcli-", dir="/tmp"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("LLMCLI_WORKER", "on")
    yield folder
    left = workers.alive(folder)
    for pid in left:
        os.kill(pid, signal.SIGTERM)
    try:
        workers.await_(lambda: not workers.alive(folder), seconds=40)
    finally:
        for pid in workers.alive(folder):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder)
