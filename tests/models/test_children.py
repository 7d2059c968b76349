"""A process that was started ends with the one that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llmcli.models import children
from tests.support import ROOT
from tests.support.workers import await_

SERVER = "from pathlib import Path; from llmcli.models import children; " \
         "children.run('http.server', '0', '--bind', '127.0.0.1', folder=Path('/'), environment={})"  # fmt: skip


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks /proc for children")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_it_ends_with_its_parent(number: signal.Signals):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", SERVER], env=environment) as parent:
        listed = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        await_(lambda: listed.read_text().split())
        child = Path("/proc") / listed.read_text().split()[0]
        await_(lambda: (child / "fd").exists() and len([*(child / "task").iterdir()]) > 1)  # it watches
        parent.send_signal(number)
        assert parent.wait() == -number
        await_(lambda: not child.exists())


def test_what_it_says_and_its_code(tmp_path: Path):
    (tmp_path / "this.py").write_text("raise SystemExit('the folder was searched')")
    done = children.run("this", folder=tmp_path, environment={"PYTHONPATH": str(tmp_path)})
    assert (done.returncode, "Zen of Python" in done.stdout) == (0, True)
    assert children.run("no_such_module", folder=tmp_path, environment={}).returncode == 1
