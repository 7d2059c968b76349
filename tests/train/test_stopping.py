"""Ctrl-C while a model is trained."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

CODE = """
import os, signal
from llmcli.cli import signals
signals.end_at_once()
with signals.Stopping(quiet=True) as stopping:
    {before}
    os.kill(os.getpid(), signal.SIGINT)
    print("goes on", stopping.asked(), flush=True)
    {behind}
signals.settle()
"""
TWICE = 'os.kill(os.getpid(), signal.SIGINT); print("too long", flush=True)'


@pytest.mark.parametrize(
    "before, behind, said",
    [
        ("pass", "pass", ""),  # nothing is there to be kept
        ("stopping.asked()", "pass", "goes on True\n"),
        ("stopping.asked()", TWICE, "goes on True\n"),
    ],
)
def test_the_first_one_waits_for_the_best_so_far(before: str, behind: str, said: str):
    done = subprocess.run([sys.executable, "-c", CODE.format(before=before, behind=behind)], capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert (done.stdout, done.returncode) == (said, -signal.SIGINT), done.stderr
