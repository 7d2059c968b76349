"""What stands on a terminal: rows, errors and the status line, each on a line of its own, and no escapes of others."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmcli.cli import progress, status
from llmcli.config.options import InputOptions, OutputOptions
from llmcli.config.run_config import RunOptions
from llmcli.data import inputs, readers
from llmcli.errors import shown
from llmcli.reports import LOADING, READING, READY, WRITING
from llmcli.run.records import Record, Result
from tests.support.gates import Terminal, screen, started

HOSTILE = "\x1b]0;title\x07\x1b[31mred\x1b[0m\x9b2J\r.txt"
"""A file's name, or a cell, that would set the title and the colours, clear the screen, and overwrite its line."""


@pytest.fixture
def terminal() -> Any:
    opened = Terminal()
    yield opened
    opened.close()


def test_rows_never_share_a_line_with_the_status_line(terminal: Terminal):
    ends = {"stdout": terminal.theirs, "stderr": terminal.theirs, "stdin": subprocess.PIPE}
    with started("sentiment", "--lines", stops=["load", "rows"], **ends) as run:
        assert run.process.stdin is not None
        terminal.await_("waiting for input")
        for text, shown in ((b"good\n", "row 1,"), (b"\n", ""), (b"bad\n", "3 rows, 1 failed; row 4,")):
            run.process.stdin.write(text)
            run.process.stdin.flush()
            if text == b"good\n":
                run.await_("load")
                terminal.await_("loading")
                run.go()
            if shown:
                run.await_("rows")
                terminal.await_("row ")
                run.go()
            terminal.await_("waiting for input")
        run.process.stdin.close()
        assert run.process.wait() == 5
    *rows, summary, failed, end = terminal.end()
    assert rows == ["positive\t0.9863", "llmcli: stdin:2: error[empty]: the text is empty", "", "negative\t0.9096"]
    assert summary.startswith("llmcli: 2 rows ok, 1 failed")
    assert (failed, end) == ("llmcli: error[rows-failed]: 1 of 3 rows failed", "")


def test_a_text_that_appears_as_it_is_made_is_alone_on_its_line(terminal: Terminal):
    ends = {"stdout": terminal.theirs, "stderr": terminal.theirs, "stdin": subprocess.DEVNULL}
    with started("generate", "--raw", "ab?", stops=["load", "piece"], **ends) as run:
        run.await_("load")
        terminal.await_("loading")
        run.go()
        for _ in range(2):
            run.await_("piece")
            run.go()
        assert run.process.wait() == 0
    assert terminal.end() == ["AB?", ""]


@pytest.mark.parametrize("options", [["--no-progress"], ["-q"]])
def test_there_is_no_status_line_where_none_is_wanted(terminal: Terminal, options: list[str]):
    ends = {"stdout": terminal.theirs, "stderr": terminal.theirs, "stdin": subprocess.DEVNULL}
    with started("sentiment", "good", *options, **ends) as run:
        assert run.process.wait() == 0
    assert terminal.end() == ["positive\t0.9863", ""]
    assert "\x1b" not in terminal.raw


ON_A_TERMINAL = {
    "names": (["-i", "folder"], r"\x1b[31mred\x1b[0m\x0d.txt"),
    "errors": (["-i", "folder", "-i", "bad"], "error[nul]"),
    "cells": (["--csv", "-i", "table"], "red.txt"),
    "json": (["--csv", "-i", "table", "--json", "--merge"], "red"),
    "a text that is a file's name": (["\x1b[31mred.txt"], "red.txt is taken as the text itself"),
}


@pytest.mark.parametrize(("arguments", "shown"), ON_A_TERMINAL.values(), ids=ON_A_TERMINAL)
def test_no_escape_of_others_reaches_a_terminal(terminal: Terminal, tmp_path: Path, arguments: list[str], shown: str):
    for folder, content in (("folder", "good"), ("bad", "\0"), (".", "good")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / HOSTILE).write_text(content)
    (tmp_path / "folder" / "plain.txt").write_text("bad")
    (tmp_path / "\x1b[31mred.txt").touch()
    (tmp_path / "table").write_text(f'text,note\ngood,"{HOSTILE}"\n')
    ends = {"stdout": terminal.theirs, "stderr": terminal.theirs, "stdin": subprocess.DEVNULL}
    environment = os.environ | {"TERM": "dumb"}  # then the terminal gets no escapes of ours
    script = f'cd {tmp_path}; exec "$@"'
    with started("sentiment", *arguments, script=script, env=environment, **ends) as run:
        assert run.process.wait() in (0, 5)
    terminal.end()
    assert shown in terminal.raw
    assert not {"\x1b", "\x9b", "\x07"} & {*terminal.raw}
    assert "\r.txt" not in terminal.raw


def test_a_pipe_gets_a_name_from_which_every_byte_comes_back(cli, fake, monkeypatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    Path(HOSTILE).write_text("good")
    Path("other").write_text("bad")
    done = cli("sentiment", "-i", HOSTILE, "-i", "other", "--json")
    assert [json.loads(line)["id"] for line in done.out.splitlines()] == [shown(HOSTILE), "other"]


class Screen(io.StringIO):
    """A stderr that is a terminal."""

    def isatty(self) -> bool:
        return True


class Script:
    """Stands for an event that is awaited: does one thing at each round, and is set after the last."""

    def __init__(self, *rounds: Callable[[], None]) -> None:
        self._rounds = [*rounds]

    def wait(self, seconds: float) -> bool:
        if not self._rounds:
            return True
        self._rounds.pop(0)()
        return False

    def is_set(self) -> bool:
        return False


def test_the_status_line_is_not_drawn_into_an_open_line(monkeypatch):
    stderr = Screen()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: os.terminal_size((40, 10)))
    line = status.Line(lambda: "working")
    seen: list[list[str]] = []

    def put(text: str) -> None:
        seen.append(screen(stderr.getvalue()))
        with line.above(ends=text.endswith("\n")):
            stderr.write(text)

    line._ended = Script(lambda: None, lambda: put("a"), lambda: put("b\n"), lambda: put(""))  # type: ignore[assignment]
    line._run()
    assert seen == [["| working"], ["a"], ["ab", "/ working"]]


@pytest.mark.parametrize(
    ("text", "columns", "shown"), [("abc", 9, "abc"), ("abc", 2, "ab"), ("日本語", 5, "日本"), ("abc", 0, "")]
)
def test_the_status_line_fits_into_a_line(text: str, columns: int, shown: str):
    assert status.fitted(text, columns) == shown


@pytest.fixture
def clock(monkeypatch) -> Callable[[float], None]:
    """Sets the time."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def move(to: float) -> None:
        now[0] = to

    return move


WINDOWS: dict[str, tuple[list[tuple[float, int, bool]], str]] = {
    "nothing is known of one row": ([(60, 1, False)], "1 of 276 rows"),
    "nor after a moment": ([(1, 128, False)], "128 of 276 rows"),
    "a window tells": ([(32, 128, False)], "128 of 276 rows, 4.0 rows/s, 0:00:37 left"),
    "rows of an earlier run do not": ([(0.1, 200, True), (32.1, 64, False)], "264 of 276 rows, 2.0 rows/s, 6.0 s left"),
    "and alone tell nothing": ([(0.1, 200, True)], "200 of 276 rows"),
    "what was long ago is forgotten": (
        [(10, 100, False), (20, 10, False), (90, 35, False), (160, 35, False)],
        "180 of 276 rows, 0.5 rows/s, 0:03:12 left",
    ),
    "more rows than there were to be": ([(10, 300, False)], "300 rows, 30.0 rows/s"),
}


@pytest.mark.parametrize(("windows", "said"), WINDOWS.values(), ids=WINDOWS)
def test_the_time_left_is_of_recent_rows_that_were_worked_on(clock, windows: list[tuple[float, int, bool]], said: str):
    report = progress.Preparing()
    rows = progress.Rows(report, total=276, quiet=True, batch=True)
    for at, count, resumed in windows:
        clock(at)
        for number in range(count):
            rows.count(Result(number, resumed=resumed))
    assert rows.state() == said


def test_loading_is_no_time_of_the_rows(clock):
    report = progress.Preparing()
    rows = progress.Rows(report, total=None, quiet=True, batch=True)
    report(LOADING, 0.0)
    clock(100)
    report(f"{READY}: somewhere", 1.0)
    clock(110)
    for number in range(20):
        rows.count(Result(number))
    assert rows.state() == "20 rows, 2.0 rows/s"


STAGES: list[tuple[tuple[str, float], str]] = [
    ((LOADING, 0.0), "gemma: loading, 0.0 s"),
    (("fetching", 0.5), "gemma: fetching 50%, 0.0 s"),
    ((f"{READY}: cpu", 1.0), "working"),
]


@pytest.mark.parametrize(("heard", "shown"), STAGES)
def test_what_is_prepared_is_shown(clock, capsys, heard: tuple[str, float], shown: str):
    report = progress.Preparing()
    report.work = lambda: "working"
    report.introduce("gemma", ["its licence"])
    report.settle(quiet=False, bar=True, verbose=True)
    report(*heard)
    assert report.text() == shown
    said = {LOADING: "", "fetching": "llmcli: its licence\n"}.get(heard[0], f"llmcli: {heard[0]}\n")
    assert capsys.readouterr().err == f"llmcli: gemma, in this process\n{said}"


def test_how_far_a_long_row_is_is_shown(clock, capsys):
    report = progress.Preparing()
    rows = progress.Rows(report, total=None, quiet=False, batch=True)
    report(f"{READY}: cpu", 1.0)
    with rows:
        assert [*rows.reading(iter([Record("long", "text")]))]
        rows._working = True
        clock(10)
        report(READING, 0.05)
        assert report.text() == "row 1, 0:00:10, reading 5%"
        clock(20)
        report(WRITING, 0.5)
        assert capsys.readouterr().err == "llmcli: row 1, 0:00:20, writing 50%\n"
        assert not [*rows.reading(iter([]))]
        clock(21)
        assert report.text() == "row 1, 1.0 s"


def test_many_errors_of_a_kind_are_counted(cli, fake):
    done = cli("sentiment", "--lines", stdin=b"\n" * 1000 + b"\xff\n" * 3)
    lines = done.err.splitlines()
    assert [sum(code in line for line in lines) for code in ("error[empty]", "error[bad-utf8]")] == [21, 3]
    assert lines[20 + 3] == "llmcli: error[empty]: 980 more rows"
    assert done.code == 5


@pytest.mark.parametrize(("content", "total"), [("text\na\nb\n", 2), ('text\n"a\nb"\n', None)])
def test_only_what_is_sure_is_a_total(content: str, total: int | None, tmp_path: Path):
    path = tmp_path / "in.csv"
    path.write_text(content)
    run = RunOptions("sentiment", InputOptions(input=[path], format="csv"), OutputOptions(), None)
    assert readers.count(run, inputs.listed(run, aside=None)) == total
