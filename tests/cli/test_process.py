"""Whole processes: signals, closed pipes, full disks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

LLMCLI = [sys.executable, "-m", "llmcli"]


def test_closed_pipe_is_sigpipe(tiny_causal: Path):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*LLMCLI, "sentiment", "-m", str(tiny_causal), "good"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


def test_full_disk(tiny_causal: Path):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*LLMCLI, "sentiment", "-m", str(tiny_causal), "good"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 10
    assert done.stderr == b"llmcli: error[write]: standard output: No space left on device\n"


def test_closed_stdout(tiny_causal: Path):
    done = subprocess.run(
        f"{sys.executable} -m llmcli sentiment -m {tiny_causal} good >&-",
        shell=True,
        stderr=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == 10
    assert b"standard output is closed" in done.stderr


def test_ctrl_c_is_sigint():
    with subprocess.Popen(
        [*LLMCLI, "sentiment", "--lines"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdin is not None
        # The first bad row is reported before any model is loaded: then it waits for more lines.
        running.stdin.write(b"\n" * 64)
        running.stdin.flush()
        assert running.stderr is not None
        assert b"error[empty]" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)
    assert running.returncode == -signal.SIGINT


@pytest.mark.parametrize("arguments", [["sentiment"], ["generate"]])
def test_a_terminal_without_text_is_a_usage_error(arguments: list[str]):
    import pty

    ours, theirs = pty.openpty()
    done = subprocess.run([*LLMCLI, *arguments], stdin=theirs, capture_output=True, timeout=60, check=False)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 2
    assert b"no text given" in done.stderr
