"""The warm worker: real processes in folders of their own, none of which is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmcli import tasks
from llmcli.config.options import InputOptions, OutputOptions
from llmcli.config.run_config import RunOptions
from llmcli.errors import WorkerError
from llmcli.run.records import Record
from llmcli.tasks import _packing
from llmcli.worker import address, client, connection, control, protocol
from tests.support import Done, workers
from tests.support.fake import FakeModel


def ask() -> protocol.Channel:
    channel = connection.reach(address.find())
    assert channel is not None
    return channel


def opened(task: str = "sentiment", **flags: Any) -> protocol.Channel:
    channel = ask()
    channel.send({"kind": "open", "task": task, "settings": flags, "environment": dict(os.environ),
                  "folder": "/"})  # fmt: skip
    assert channel.receive()["kind"] == "ready"
    return channel


def answer(channel: protocol.Channel, *texts: str) -> None:
    rows = [_packing.pack_record(Record(id=number, text=text)) for number, text in enumerate(texts)]
    channel.send({"kind": "answer", "records": rows, "stream": False})


def result(channel: protocol.Channel) -> protocol.Message:
    """What comes after all signs of life and reports."""
    while (message := channel.receive())["kind"] in ("busy", "report"):
        pass
    return message


# Folder and socket


def test_only_its_owner_can_reach_it(place: Path):
    before = os.umask(0o022)
    try:
        workers.start()
    finally:
        os.umask(before)
    found = address.find()
    modes = [stat.S_IMODE(os.lstat(path).st_mode) for path in (found.socket.parent, found.socket, found.lock)]
    assert modes == [0o700, 0o600, 0o600]


def test_no_network(place: Path):
    """Unix sockets only: none of its file descriptors is an internet socket."""
    pid = workers.start()
    files = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
    inodes = {name[8:-1] for name in files if name.startswith("socket:")}
    listed = [Path(f"/proc/{pid}/net/{kind}").read_text() for kind in ("tcp", "udp")]
    assert inodes
    assert not any(line.split()[9] in inodes for text in listed for line in text.splitlines()[1:])


def a_link(folder: Path) -> None:
    (folder / "llmcli").symlink_to(folder)


def open_to_all(folder: Path) -> None:
    (folder / "llmcli").mkdir()
    (folder / "llmcli").chmod(0o755)


def a_file(folder: Path) -> None:
    (folder / "llmcli").touch()


@pytest.mark.parametrize(
    "trap, why", [(a_link, "not a folder"), (open_to_all, "open to other users"), (a_file, "File exists")]
)
def test_unsafe_folder(cli: Callable[..., Done], fake: FakeModel, place: Path, trap: Any, why: str):
    trap(place)
    done = cli("sentiment", "good", "-v")
    assert (done.code, done.out) == (0, "positive\t0.9863\n")
    assert done.err.startswith("llmcli: the worker cannot be used")
    assert why in done.err or "not a folder" in done.err
    assert cli("worker", "start").code == 7


def test_folder_of_another_user(place: Path, monkeypatch: pytest.MonkeyPatch):
    address.make(place / "llmcli")
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    with pytest.raises(WorkerError, match="open to other users"):
        address.check(place / "llmcli")


def test_long_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    assert len(str(address.find().socket)) < address.LONGEST


def test_another_users_worker_is_not_asked(
    cli: Callable[..., Done], fake: FakeModel, place: Path, monkeypatch: pytest.MonkeyPatch
):
    workers.start()
    monkeypatch.setattr(address, "peer", lambda sock: (1, os.getuid() + 1))
    done = cli("sentiment", "good", "-v")
    assert (done.code, len(fake.prompts)) == (0, 1)
    assert "another user's" in done.err


def test_another_user_is_not_answered(cli: Callable[..., Done], fake: FakeModel, place: Path):
    subprocess.Popen([sys.executable, "-c", "from tests.support import workers; workers.serve(workers.another_user)"],
                     cwd=workers.ROOT)  # fmt: skip
    workers.await_(address.find().socket.exists)
    done = cli("sentiment", "good", "-v")
    assert (done.code, len(fake.prompts)) == (0, 1)
    assert "hung up" in done.err


# What comes over the socket


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xff\xff\xff",
        b"\0\0\0\x02[]",
        b"\0\0\0\x05hello",
        b'\0\0\0\x0f{"kind":"nope"}',
        b'\0\0\0\x0f{"kind":"open"}',
        b'\0\0\0\x10{"kind":"xopen"}',
        b"\0\0\x30\x39" + b"[" * 12345,
        b"\x80\x04\x95",
        b"",
        b"\0",
    ],
)
def test_garbage_and_silence(place: Path, raw: bytes):
    """The connection ends; the worker answers the next one."""
    workers.start("impatient")
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(address.find().socket))
    sock.sendall(raw)
    sock.settimeout(30)
    while sock.recv(1 << 16):
        pass
    channel = opened()
    answer(channel, "good")
    assert result(channel)["kind"] == "results"


def test_a_frame_has_a_limit(monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Done], fake: FakeModel, place: Path):
    """What is too large for the worker is done here."""
    workers.start()
    monkeypatch.setattr(protocol, "LARGEST", 2000)
    done = cli("sentiment", "-v", stdin="good " * 1000)
    assert done.out.startswith("positive")
    assert "is more than it takes" in done.err


def test_clients_that_hang(place: Path):
    """They hold open sessions, half frames and unread answers, and nobody waits for them."""
    workers.start()
    hanging = [opened() for _ in range(20)]
    for channel in hanging[:10]:
        channel._socket.sendall(b"\0\0")
    for channel in hanging[10:]:
        answer(channel, *["good"] * 100)
    channel = opened()
    answer(channel, "good")
    assert result(channel)["results"][0]["fields"]["label"] == "positive"


def test_records_survive_the_wire():
    record = Record(id="a", text="x\u2028\n", line=3, where="in:3", path=Path("in"), named=True, seed=5,
                    fields={"q": "\ud800", "n": float("inf"), "list": [1, {"a": None}]})  # fmt: skip
    raw = protocol.encode({"kind": "answer", "records": [_packing.pack_record(record)]})
    assert _packing.unpack_record(protocol.decode(raw[4:])["records"][0]) == record


def test_runs_survive_the_wire():
    source = InputOptions(text="a\udcff", input=[Path("x")], format="lines")
    output = OutputOptions(output=Path("out.jsonl"), resume=True, max_errors=3)
    run = RunOptions("sentiment", source, output, tasks.get("sentiment").options(grep="a>0.5"))
    raw = protocol.encode({"kind": "ready", "run": _packing.pack_run(run)})
    assert _packing.unpack_run(protocol.decode(raw[4:])["run"]) == run


@pytest.mark.parametrize(
    ("arguments", "here"),
    [
        (["sentiment", "good"], False),
        (["sentiment", "good", "--help"], True),
        (["sentiment", "-i", "/dev/stdin"], True),
        (["sentiment", "--input=/proc/self/fd/0"], True),
        (["classify", "--labels-file=x.yaml", "good"], True),
        (["sentiment", "--debug", "good"], True),
    ],
)
def test_what_only_the_client_can_read_it_parses(place: Path, arguments: list[str], here: bool):
    workers.start()
    asked = client.ask(arguments)
    assert isinstance(asked, client.Reply) != here
    if isinstance(asked, client.Reply):
        run = _packing.unpack_run(asked.message["run"])
        assert (run.task, run.source.text) == ("sentiment", "good")
        asked.channel.close()


# Start, skew, death


def test_twenty_starts_make_one_worker(place: Path):
    command = [sys.executable, "-m", "llmcli", "worker", "start"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(20)]
    said = [process.communicate(timeout=120)[0] for process in started]
    assert {process.returncode for process in started} == {0}
    assert len({line.split()[-1] for line in said}) == 1
    workers.await_(lambda: len(workers.alive(place)) == 1)  # those that found the lock taken end
    assert control.status()["pid"] == workers.alive(place)[0]


def test_stale_socket(place: Path):
    first = workers.start()
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    assert address.find().socket.exists()
    assert control.status() == {"running": False}
    assert workers.start() == control.status()["pid"] != first


def test_a_dying_worker_leaves_its_successor_alone(place: Path):
    first = workers.start("gated")
    channel = opened()
    answer(channel, "good", "good")
    workers.await_((place / "order").exists)
    asked = ask()
    asked.send({"kind": "stop"})
    assert asked.receive()["kind"] == "stopping"
    second = workers.start()
    assert len(workers.alive(place)) == 2
    (place / "go").touch()
    assert result(channel)["kind"] == "results"
    workers.await_(lambda: workers.alive(place) == [second])
    assert control.status()["pid"] == second != first


def test_a_removed_socket_ends_its_worker(place: Path):
    pid = workers.start("watchful")
    assert workers.alive(place) == [pid]
    address.find().socket.unlink()
    workers.await_(lambda: not workers.alive(place))
    assert control.status() == {"running": False}


def test_other_code_is_replaced(place: Path):
    first = workers.start("other_code")
    channel = connection.connect(start=False)
    assert channel is not None
    assert channel.pid != first
    workers.await_(lambda: workers.alive(place) == [channel.pid])


def test_the_code_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    copy = tmp_path / "llmcli"
    shutil.copytree(address.places.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(address.places, "PACKAGE", copy)
    before = address.source()
    assert address.source() == before
    (copy / "cli.py").write_text("")
    assert address.source() != before


@pytest.mark.parametrize(
    "name, own",
    [("OMP_NUM_THREADS", True), ("LLMCLI_NEW", True), ("HF_TOKEN", False), ("HTTPS_PROXY", False), ("EDITOR", False)],
)
def test_what_libraries_read_has_a_worker_of_its_own(
    monkeypatch: pytest.MonkeyPatch, place: Path, name: str, own: bool
):
    before = address.find()
    monkeypatch.setenv(name, "1")
    assert (address.find() != before) == own


def test_changed_configuration(cli: Callable[..., Done], place: Path, tmp_path: Path):
    workers.start()
    assert cli("sentiment", "good").out == "positive\t0.9863\n"
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("tasks: {sentiment: {options: {threshold: 1.0}}}")
    assert cli("sentiment", "good").out == "uncertain\t0.9863\n"
    (tmp_path / "config" / "config.yaml").write_text("tasks: {sentiment: {nonsense: 1}}")
    assert cli("sentiment", "good").code == 2


@pytest.mark.parametrize("fault", ["out_of_memory", "no_memory_at_all"])
def test_out_of_memory(cli: Callable[..., Done], place: Path, fault: str):
    workers.start(fault)
    done = cli("sentiment", "good")
    assert (done.code, done.out) == (8, "")
    assert done.err.startswith("llmcli: argument:1: error[out-of-memory]") or "error[out-of-memory]" in done.err
    workers.await_(lambda: not workers.alive(place))


def test_a_bug_in_the_worker_is_a_bug(cli: Callable[..., Done], place: Path):
    workers.start("bug")
    done = cli("sentiment", "good")
    assert (done.code, "ZeroDivisionError" in done.err) == (1, True)
    assert "Traceback" in address.find().log.read_text()


def test_lost_between_windows(cli: Callable[..., Done], fake: FakeModel, place: Path):
    """The batch goes on in this process; every row is answered once."""
    workers.start("dies")
    done = cli("sentiment", "--lines", "-v", stdin="good\nbad\n" * 150)
    assert (done.code, done.out) == (0, "positive\t0.9863\nnegative\t0.9096\n" * 150)
    assert "llmcli: the worker was lost (it hung up); working in this process\n" in done.err
    assert len(fake.prompts) == 300 - 128


def test_lost_in_the_middle_of_a_text(place: Path):
    pid = workers.start("dies")
    with subprocess.Popen([sys.executable, "-m", "llmcli", "generate", "--raw", "x"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.read(11) == b"a beginning"
        os.kill(pid, signal.SIGKILL)
        err = process.communicate(timeout=60)[1]
    assert process.returncode == 7
    assert err == b"llmcli: error[worker-lost]: the worker was lost: it hung up; run it again\n"


def test_a_worker_that_cannot_start(
    cli: Callable[..., Done], fake: FakeModel, place: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(connection, "_BOOT", "raise SystemExit(3)")
    done = cli("sentiment", "good", "-v")
    assert (done.code, done.out) == (0, "positive\t0.9863\n")
    assert done.err.count("no worker could be started") == 1
    assert cli("sentiment", "good").err == ""
    assert cli("worker", "start").code == 7


def test_a_worker_that_does_not_answer(
    cli: Callable[..., Done], fake: FakeModel, place: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(protocol, "FIRST", 0.2)
    subprocess.Popen([sys.executable, "-c", "from tests.support import workers; workers.serve(workers.mute)"],
                     cwd=workers.ROOT)  # fmt: skip
    workers.await_(address.find().socket.exists)
    assert "it does not answer" in cli("sentiment", "good", "-v").err
    assert cli("worker", "status").code == 7
    assert "was killed" in cli("worker", "stop").out
    workers.await_(lambda: not workers.alive(place))


# Turns


def test_a_short_request_does_not_wait_for_a_batch(place: Path):
    """Nor does a look at the worker, while it works."""
    workers.start("gated")
    long, short = opened(), opened()
    answer(long, *["good"] * 100)
    workers.await_((place / "order").exists)
    answer(short, "good")
    workers.await_(lambda: control.status()["jobs"] == 2)
    (place / "go").touch()
    assert result(long)["kind"] == "results"
    answer(long, *["good"] * 100)
    assert result(short)["kind"] == "results"
    assert result(long)["kind"] == "results"
    assert (place / "order").read_text().split() == ["batch", "short", "batch"]


def test_ctrl_c_cancels(place: Path, tiny_causal: Path):
    """A text of thousands of tokens ends with its client, not with its last token."""
    command = [sys.executable, "-m", "llmcli", "generate", "-m", str(tiny_causal), "--max-new-tokens", "8000",
               "--temperature", "1", "--seed", "1", "--raw", "x"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    workers.await_(lambda: control.status()["jobs"] == 0, seconds=10)
    assert "it hung up during its work" in address.find().log.read_text()


# When


def test_without_a_terminal_none_is_started(
    cli: Callable[..., Done], fake: FakeModel, place: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LLMCLI_WORKER", "auto")
    assert cli("sentiment", "good", "-v").out == "positive\t0.9863\n"
    assert workers.alive(place) == []
    workers.start("bug")
    assert cli("sentiment", "good").code == 1


def test_a_terminal_starts_one(place: Path, tiny_causal: Path):
    import pty

    ours, theirs = pty.openpty()
    done = subprocess.run([sys.executable, "-m", "llmcli", "sentiment", "-m", str(tiny_causal), "good"],
                          stderr=theirs, stdout=subprocess.PIPE, env=os.environ | {"LLMCLI_WORKER": "auto"},
                          timeout=120, check=False)  # fmt: skip
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 0
    assert control.status()["requests"] == 1


@pytest.mark.parametrize("arguments, mode", [(["--no-worker"], "on"), ([], "off"), (["--debug"], "on")])
def test_without_the_worker(
    cli: Callable[..., Done], fake: FakeModel, place: Path, monkeypatch: pytest.MonkeyPatch, arguments: Any, mode: str
):
    monkeypatch.setenv("LLMCLI_WORKER", mode)
    assert cli("sentiment", "good", *arguments).out == "positive\t0.9863\n"
    assert workers.alive(place) == []


def test_unknown_mode(cli: Callable[..., Done], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LLMCLI_WORKER", "perhaps")
    assert cli("sentiment", "good").code == 2


def test_it_stops_when_idle(cli: Callable[..., Done], place: Path):
    assert cli("worker", "start", "--keep-alive", "0.3").code == 0
    workers.await_(lambda: not workers.alive(place))
    assert not address.find().socket.exists()


def test_keep_alive_0_serves_one_request(place: Path, tmp_path: Path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("worker: {keep_alive: 0}")
    workers.start()
    channel = opened()
    answer(channel, "good")
    assert result(channel)["kind"] == "results"
    channel.close()
    workers.await_(lambda: not workers.alive(place))


def test_commands(cli: Callable[..., Done], place: Path):
    assert cli("worker", "status").out == "no worker is running\n"
    assert json.loads(cli("worker", "status", "--json").out) == {"running": False}
    assert cli("worker", "stop").out == "no worker is running\n"
    pid = workers.start()
    assert cli("worker", "start").out == f"the worker runs already: pid {pid}\n"
    cli("sentiment", "good")
    found = json.loads(cli("worker", "status", "--json").out)
    assert {"running", "pid", "version", "uptime", "idle", "keep_alive", "requests", "sessions", "jobs", "memory",
            "limit", "models", "socket", "log"} == set(found)  # fmt: skip
    assert (found["pid"], found["requests"]) == (pid, 1)
    assert cli("worker", "status").out.startswith(f"pid {pid}, 1 requests")
    assert cli("worker", "stop").out == f"the worker has stopped: pid {pid}\n"
    assert workers.alive(place) == []


def test_the_log_rotates(place: Path):
    from llmcli.worker import process, server

    found = address.find()
    process._write_log(found)
    try:
        for _ in range(12_000):
            server.log.info("x" * 200)
    finally:
        server.log.handlers.pop().close()
    sizes = sorted(path.stat().st_size for path in found.log.parent.iterdir())
    assert (len(sizes), sizes[-1] <= 1 << 20) == (3, True)
