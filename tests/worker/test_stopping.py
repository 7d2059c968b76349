"""``worker stop`` ends the worker, and nobody else; a worker that hangs, or whose files are gone."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmcli.worker import address, control, protocol, vitals
from tests.support import Done, workers
from tests.support.fake import FakeModel

HOLDING = """
import fcntl, os, sys, time
lock = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(lock, fcntl.LOCK_EX)
os.write(lock, str(os.getpid()).encode())
print("held", flush=True)
time.sleep(1000)
"""
SLEEPING = "import time; print('up', flush=True); time.sleep(1000)"
SPINNING = "print('up', flush=True)\nwhile True: pass"


@pytest.fixture
def run() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a Python process, and wait for its first word."""
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def lock(place: Path) -> Path:
    """The lock's file, without a worker."""
    found = address.find().lock
    address.make(found.parent)
    found.touch(0o600)
    return found


@pytest.mark.parametrize("written", ["", "abc", "0", "1", "-1", "99999999", "bystander", "caller"])
def test_nobody_is_ended_on_a_guess(
    cli: Callable[..., Done], run: Any, lock: Path, monkeypatch: pytest.MonkeyPatch, written: str
):
    """A lock that is held, by whom its file does not say: the worker is just starting, or somebody else wrote it."""
    monkeypatch.setattr(control, "UNNAMED", 0.1)
    bystander = run(SLEEPING)
    names = {"bystander": str(bystander.pid), "caller": str(os.getpid())}
    with lock.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write(names.get(written, written))
        held.flush()
        done = cli("worker", "stop")
    assert (done.code, done.out, len(done.err.splitlines())) == (7, "", 1)
    assert "error[worker-unknown]" in done.err
    assert bystander.poll() is None


def test_a_lock_that_nobody_holds(cli: Callable[..., Done], run: Any, lock: Path):
    """What a worker that died wrote is another process's number by now."""
    bystander = run(SLEEPING)
    lock.write_text(str(bystander.pid))
    assert cli("worker", "stop").out == "no worker is running\n"
    assert bystander.poll() is None


def test_one_that_does_not_listen_yet_is_ended(cli: Callable[..., Done], run: Any, lock: Path):
    starting = run(HOLDING, str(lock))
    assert cli("worker", "stop").out == f"the worker has stopped: pid {starting.pid}\n"
    assert starting.wait() == -signal.SIGTERM


def test_what_is_said_to_be_killed_is_gone(cli: Callable[..., Done], place: Path):
    assert cli("worker", "start").code == 0
    (pid,) = workers.alive(place)
    os.kill(pid, signal.SIGSTOP)
    assert cli("worker", "status").code == 7
    assert cli("worker", "stop").out == f"the worker did not answer and was killed: pid {pid}\n"
    assert all(stat[0] in "ZX" for stat in vitals._stats(pid))
    assert cli("worker", "status").out == "no worker is running\n"


def test_one_that_hangs_while_it_stops_is_killed(cli: Callable[..., Done], place: Path):
    pid = workers.start("stops_midway")
    assert cli("worker", "stop").out == f"the worker did not answer and was killed: pid {pid}\n"
    assert all(stat[0] in "ZX" for stat in vitals._stats(pid))


# Stopped and hanging workers; with these limits, who waits for a word waits for ever


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST", "WHOLE", "SILENCE"):
        monkeypatch.setattr(protocol, name, 1e5)
    monkeypatch.setattr(protocol.Channel.receive, "__kwdefaults__", {"timeout": 1e5})


def test_a_stopped_worker_is_not_waited_for(cli: Callable[..., Done], fake: FakeModel, place: Path, endless: None):
    pid = workers.start()
    os.kill(pid, signal.SIGSTOP)
    done = cli("sentiment", "good", "-v")
    assert (done.code, done.out, len(fake.prompts)) == (0, "positive\t0.9863\n", 1)
    assert done.err.count("the worker cannot be used (it does not answer)") == 1
    os.kill(pid, signal.SIGKILL)


def test_a_worker_that_is_stopped_during_a_batch(cli: Callable[..., Done], fake: FakeModel, place: Path, endless: None):
    """The batch goes on in this process; every row is answered once."""
    pid = workers.start("gated")

    def stop() -> None:
        workers.await_((place / "order").exists)
        os.kill(pid, signal.SIGSTOP)

    thread = threading.Thread(target=stop)
    thread.start()
    done = cli("sentiment", "--lines", "-v", stdin="good\nbad\n" * 150)
    thread.join()
    assert (done.code, done.out) == (0, "positive\t0.9863\nnegative\t0.9096\n" * 150)
    assert "llmcli: the worker was lost (it does not answer); working in this process\n" in done.err
    assert len(fake.prompts) == 300
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("code", "number", "hanging"),
    [(SPINNING, 0, False), (SLEEPING, 0, True), (SPINNING, signal.SIGSTOP, True), (SLEEPING, signal.SIGSTOP, True)],
)
def test_who_works_is_told_from_who_hangs(run: Any, code: str, number: int, hanging: bool):
    process = run(code)
    if number:
        process.send_signal(number)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    else:
        workers.await_(lambda: vitals.hangs(None, vitals.pulse(process.pid)) == hanging)
    before = vitals.pulse(process.pid)
    assert before is not None
    assert vitals.hangs(before, vitals.pulse(process.pid)) == hanging


def test_whom_the_system_does_not_know_does_not_hang():
    assert vitals.pulse(0) is None
    assert not vitals.hangs(None, None)


# Its files


def test_a_vanished_cache_ends_its_worker(place: Path, tmp_path: Path):
    workers.start("watchful")
    shutil.rmtree(tmp_path / "cache")
    workers.await_(lambda: not workers.alive(place))


def test_a_relative_cache_is_where_the_client_is(place: Path, tmp_path: Path):
    """One worker for all folders from which it is the same; none in the root folder, where workers run."""
    (tmp_path / "inner").mkdir()
    cache = f"{place.name}-cache"

    def call(*arguments: str, folder: Path, where: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "llmcli", *arguments], cwd=folder, env=os.environ | {"LLMCLI_CACHE_DIR": where},
            capture_output=True, text=True, check=True, timeout=120,
        ).stdout  # fmt: skip

    started = call("worker", "start", folder=tmp_path, where=cache)
    assert started.startswith("the worker is ready")
    for folder, where in ((tmp_path, str(tmp_path / cache)), (tmp_path / "inner", f"../{cache}")):
        assert call("worker", "start", folder=folder, where=where) == started.replace("is ready", "runs already")
    assert len(workers.alive(place)) == 1
    assert (tmp_path / cache / "logs").is_dir()
    assert not Path("/", cache).exists()
