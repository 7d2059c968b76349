"""INT and TERM: the program dies by the signal, from its first instruction to its last; a batch says what it kept."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import gates
from tests.support.fake import NOISE
from tests.support.gates import Gated

INT, TERM = signal.SIGINT, signal.SIGTERM
PIPES: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
GOOD = "positive\t0.9863\n"
WINDOW = 128
STOPPING = b"llmcli: stopping after the rows in work; once more: at once\n"
both = pytest.mark.parametrize("number", [INT, TERM], ids=lambda number: number.name)


@pytest.fixture
def call(tmp_path: Path) -> Callable[..., list[str]]:
    """A batch of so many rows, from ``in.txt`` to ``out``."""

    def build(rows: int, *options: str) -> list[str]:
        (tmp_path / "in.txt").write_text("good\n" * rows)
        return ["sentiment", "--lines", "-i", str(tmp_path / "in.txt"), "-o", str(tmp_path / "out"), *options]

    return build


def second_window(run: Gated) -> None:
    """Wait until one window of rows is done, and the next in work."""
    run.await_("rows")
    run.go()
    run.await_("rows")


@both
@pytest.mark.parametrize("point", ["llmcli.errors", "typer", "pydantic", "load", "rows", "close"])
def test_where_nothing_is_kept_it_dies_at_once_and_says_nothing(point: str, number: signal.Signals):
    with gates.started("sentiment", "good", stops=[point], **PIPES) as run:
        run.await_(point)
        run.signal(number)
        assert run.ended() == (-number, GOOD.encode() if point == "close" else b"", b"")


@both
@pytest.mark.parametrize("point", ["llmcli.run.journal", "load"])
def test_a_batch_dies_at_once_before_its_first_rows(call, point: str, number: signal.Signals):
    with gates.started(*call(300), stops=[point], **PIPES) as run:
        run.await_(point)
        run.signal(number)
        assert run.ended() == (-number, b"", b"")


@both
def test_a_batch_keeps_the_rows_in_work_and_goes_on(call, number: signal.Signals, tmp_path: Path):
    with gates.started(*call(300), stops=["rows"], **PIPES) as run:
        second_window(run)
        run.signal(number)
        assert run.process.stderr is not None
        assert run.process.stderr.readline() == STOPPING
        run.go()
        assert run.ended() == (-number, b"", b"llmcli: 256 rows kept, --resume goes on\n")
    assert gates.journalled(tmp_path / "out") == 2 * WINDOW
    with gates.started(*call(300, "--resume", "-q"), stops=["rows"], **PIPES) as run:
        run.await_("rows")  # the last 44, and no others
        run.go()
        assert run.ended() == (0, b"", b"")
    assert (tmp_path / "out").read_text() == GOOD * 300


def test_the_second_signal_does_not_wait(call, tmp_path: Path):
    with gates.started(*call(300), stops=["rows"], **PIPES) as run:
        second_window(run)
        run.signal(INT)
        assert run.process.stderr is not None
        assert run.process.stderr.readline() == STOPPING
        run.signal(TERM)
        assert run.ended() == (-TERM, b"", b"")
    assert gates.journalled(tmp_path / "out") == WINDOW


def test_the_rows_in_work_have_a_time_limit(call):
    with gates.started(*call(300), stops=["rows"], env=os.environ | {"GRACE": "0.01"}, **PIPES) as run:
        second_window(run)
        run.signal(TERM)
        assert run.ended() == (-TERM, b"", STOPPING + b"llmcli: 128 rows kept, --resume goes on\n")


def test_a_batch_that_waits_for_input_does_not_wait(tmp_path: Path):
    pipes = PIPES | {"stdin": subprocess.PIPE}
    with gates.started("sentiment", "--lines", "-o", str(tmp_path / "out"), stops=["rows"], **pipes) as run:
        assert run.process.stdin is not None
        assert run.process.stderr is not None
        run.process.stdin.write(b"good\n")
        run.process.stdin.flush()
        run.await_("rows")
        run.signal(INT)
        assert run.process.stderr.readline() == STOPPING
        run.go()  # and then it would ask for the next line, which does not come
        assert run.process.stderr.read() == b"llmcli: 1 row kept, --resume goes on\n"
        assert run.process.wait() == -INT


def test_a_signal_while_the_output_gets_its_name_leaves_it_whole(call, tmp_path: Path):
    with gates.started(*call(2, "-q"), stops=["close"], **PIPES) as run:
        run.await_("close")
        run.signal(INT)
        run.go()
        assert run.ended() == (-INT, b"", b"")
    assert (tmp_path / "out").read_text() == GOOD * 2


def test_what_the_caller_ignores_stays_ignored():
    with gates.started("sentiment", "good", stops=["load"], script='trap "" INT; exec "$@"', **PIPES) as run:
        run.await_("load")
        run.signal(INT)
        run.go()
        assert run.ended() == (0, GOOD.encode(), b"")


def test_ctrl_c_ends_a_shell_loop():
    """A shell goes on after a program that left with a code, and not after one that died of the signal."""
    script = 'for round in 1 2; do "$@"; done; echo not reached'
    with gates.started("sentiment", "good", stops=["load"], script=script, start_new_session=True, **PIPES) as run:
        run.await_("load")
        os.killpg(run.process.pid, INT)
        assert run.ended() == (-INT, b"", b"")


@pytest.mark.parametrize("closed", ["2>&-", "0<&- 2>&-", ">&-", "0<&- >&- 2>&-"])
def test_what_a_c_library_prints_is_in_no_file(call, closed: str, tmp_path: Path):
    environment = os.environ | {"NOISE": "1"}
    with gates.started(*call(2, "-q"), script=f'exec "$@" {closed}', env=environment, **PIPES) as run:
        assert run.ended()[0] == 0
    assert (tmp_path / "out").read_text() == GOOD * 2
    assert NOISE not in (tmp_path / "out.journal").read_bytes()


@pytest.mark.parametrize(
    ("command", "closed", "code", "message"),
    [
        ("sentiment good", ">&-", 10, "standard output is closed"),
        ("models list", ">&-", 10, "standard output is closed"),
        ("--help", ">&-", 10, "standard output is closed"),
        ("sentiment", "0<&-", 3, "standard input is closed"),
        ("sentiment -i -", "0<&-", 3, "standard input is closed"),
        ("generate why?", "0<&-", 0, ""),
    ],
)
def test_a_closed_stream_that_is_needed_is_an_error(command: str, closed: str, code: int, message: str):
    with gates.started(*command.split(), script=f'exec "$@" {closed}', **PIPES) as run:
        ended, _, err = run.ended()
    assert (ended, message in err.decode()) == (code, True)
