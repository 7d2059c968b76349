"""Rows through a server that misbehaves: each has exactly one right answer, in its place."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from llmcli.remote.pace import FIRST, Pace
from tests.support.openai_server import FAULTS, said

PASSING = ["status:408", "status:409", "status:425", "status:429", "status:500", "status:503", "later:0", "cut",
           "truncated", "html", "no-choices", "no-text", "nul", "nul-text", "surrogate", "list", "deep", "hang-up",
           "order", "kind"]  # fmt: skip
"""What may go well the next time, or is not wrong at all."""


def rows(count: int) -> str:
    return "".join(json.dumps({"id": f"r{place}", "text": f"row number {place}?"}) + "\n" for place in range(count))


def answers(text: str) -> list[tuple[str, str | None]]:
    return [(row["id"], row.get("text")) for row in map(json.loads, text.splitlines())]


def expected(count: int) -> list[tuple[str, str | None]]:
    return [(f"r{place}", f"ROW NUMBER {place}?") for place in range(count)]


def some(faults: Sequence[str], *, share: float) -> Callable[[int, Any], str]:
    """A fault for a share of all requests, the same ones each time; none four times in a row for one row."""
    drawn, lock, times = random.Random(7), threading.Lock(), dict[str, int]()

    def fault(number: int, body: Any) -> str:
        with lock:
            text = said(body)
            wrong = drawn.random() < share and times.get(text, 0) < 4
            times[text] = times.get(text, 0) + 1 if wrong else 0
            return drawn.choice(faults) if wrong else ""

    return fault


def test_hundreds_of_rows_through_a_server_that_misbehaves(cli, serving, tmp_path: Path):
    server = serving(faults=some(PASSING, share=0.4))
    out = tmp_path / "out.jsonl"
    done = cli("generate", "--jsonl", "-m", server.name, "-o", str(out), stdin=rows(300))
    assert (done.code, answers(out.read_text())) == (0, expected(300)), done.err
    assert {*server.done} == {fault.split(":")[0] for fault in PASSING}


@pytest.mark.parametrize("fault", [*PASSING, "huge"])
def test_each_is_asked_again(cli, serving, fault: str):
    server = serving(faults=lambda number, body: fault if number == 0 else "")
    done = cli("generate", "--no-stream", "well?", "-m", server.name)
    assert (done.out, done.code) == ("WELL?\n", 0), done.err
    assert len(server.requests) == (1 if fault in ("order", "kind") else 2)


def test_a_stream_that_is_cut_says_so(cli, serving):
    server = serving(faults=lambda number, body: "cut")
    done = cli("generate", "one two three?", "-m", server.name)
    assert (done.out, done.code) == ("ONE TWO", 7)
    assert "error[broken-off]" in done.err
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "fault, code, err, asked",
    [
        ("status:400", 7, "error[refused]", 1),
        ("status:422", 7, "error[refused]", 1),
        ("status:403", 7, "error[key]", 1),
        ("status:404", 7, "error[no-model]", 1),
        ("quota", 7, "error[quota]", 1),
        ("filtered", 7, "error[filtered]", 1),
        ("status:500", 7, "error[no-answer]", 6),
        ("html", 7, "not JSON (text/html)", 6),
        ("redirect:http://localhost:1/v1/chat/completions", 7, "error[redirect]", 1),
        ("redirect:http://localhost:port/v1", 7, "error[redirect]", 1),
        ("redirect:http://[::1/v1", 7, "error[redirect]", 1),
        ("redirect:/v1/chat/completions", 7, "error[redirect]", 3),
        ("later:99999", 7, "error[busy]", 1),
    ],
)
def test_what_ends_a_text(cli, serving, fault: str, code: int, err: str, asked: int):
    server = serving(faults=lambda number, body: fault)
    done = cli("generate", "--no-stream", "well?", "-m", server.name)
    assert (done.out, done.code, err in done.err, done.err.count("\n")) == ("", code, True, 1), done.err
    assert len(server.requests) == asked


def test_a_slow_answer_is_given_up(cli, serving, tmp_path: Path):
    server = serving(faults=lambda number, body: "slow")
    folder = tmp_path / "config" / "models"
    folder.mkdir(parents=True)
    folder.joinpath("mine.yaml").write_text(
        f"name: mine\nsource: {{server: {server.url}, model: upper, timeout: 0.2}}\n"
    )
    done = cli("generate", "--no-stream", "well?", "-m", "mine")
    assert (done.code, len(server.requests)) == (7, 2)
    assert "no whole answer within 0.2 s" in done.err


class TestOneBadRow:
    def bad(self, fault: str) -> Callable[[int, Any], str]:
        return lambda number, body: fault if "number 3?" in said(body) else ""

    @pytest.mark.parametrize(
        "fault, code", [("status:400", "refused"), ("status:500", "no-answer"), ("filtered", "filtered")]
    )
    def test_it_fails_alone(self, cli, serving, fault: str, code: str):
        server = serving(faults=self.bad(fault))
        done = cli("generate", "--jsonl", "-m", server.name, stdin=rows(40))
        made = [json.loads(line) for line in done.out.splitlines()]
        assert done.code == 5
        assert [row["id"] for row in made if row["status"] == "error"] == ["r3"]
        assert made[3]["error"]["code"] == code
        assert [row.get("text") for row in made if row["id"] != "r3"] == [
            text for name, text in expected(40) if name != "r3"
        ]

    def test_its_neighbours_are_asked_once(self, cli, serving):
        server = serving(faults=self.bad("status:400"))
        cli("generate", "--jsonl", "-m", server.name, stdin=rows(40))
        asked = [said(request) for request in server.requests]
        assert sorted(asked) == sorted({*asked})

    def test_it_is_tried_again_on_demand(self, cli, serving, tmp_path: Path):
        broken = {"status:400"}
        server = serving(faults=lambda number, body: self.bad(next(iter(broken), ""))(number, body))
        asked = ["generate", "--jsonl", "-m", server.name, "-o", str(tmp_path / "out.jsonl")]
        assert cli(*asked, stdin=rows(40)).code == 5
        broken.clear()
        before = len(server.requests)
        assert cli(*asked, "--resume", stdin=rows(40)).code == 5
        assert cli(*asked, "--retry-failed", stdin=rows(40)).code == 0
        assert len(server.requests) == before + 1
        assert answers((tmp_path / "out.jsonl").read_text()) == expected(40)


def test_a_server_that_goes_away_ends_the_run_and_it_resumes(cli, serving, tmp_path: Path):
    gone = threading.Event()

    def fault(number: int, body: Any) -> str:
        if number >= 200:
            gone.set()
        return "status:503" if gone.is_set() else ""

    server = serving(faults=fault)
    asked = ["generate", "--jsonl", "-m", server.name, "-o", str(tmp_path / "out.jsonl")]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("llmcli.remote.asking.PATIENCE", 0.05)
        done = cli(*asked, stdin=rows(300))
    assert (done.code, "error[busy]" in done.err) == (7, True)
    server.faults = lambda number, body: ""
    before = len(server.requests)
    assert cli(*asked, "--resume", stdin=rows(300)).code == 0
    assert answers((tmp_path / "out.jsonl").read_text()) == expected(300)
    assert len(server.requests) - before < 300


def test_a_server_that_refuses_everything_is_not_asked_for_all(cli, serving):
    server = serving(faults=lambda number, body: "status:400")
    done = cli("generate", "--jsonl", "-m", server.name, stdin=rows(300))
    assert (done.code, len(server.requests) < 100) == (7, True)


def test_equal_rows_are_asked_once(cli, serving):
    server = serving()
    done = cli("generate", "--lines", "-m", server.name, stdin="same?\n" * 20)
    assert done.out == "SAME?\n" * 20
    assert len(server.requests) == 1


def test_batch_size_is_the_most_requests_at_once(cli, serving):
    server = serving()
    cli("generate", "--jsonl", "--batch-size", "2", "-m", server.name, stdin=rows(60))
    assert server.busiest <= 2


class TestPace:
    def test_it_grows_and_is_halved_once_a_wave(self):
        pace = Pace(most=16)
        for _ in range(20):
            pace.answered()
        assert pace.limit == 16
        with pace.place() as since:
            pace.refused(since, wait=0)
            pace.refused(since, wait=0)
        assert pace.limit == 8
        pace.answered()
        assert 8 < pace.limit < 9

    def test_it_begins_with_few(self):
        assert Pace(most=64).limit == FIRST
        assert Pace(most=1).limit == 1

    def test_one_is_always_under_way(self):
        pace = Pace(most=4)
        for _ in range(5):
            with pace.place() as since:
                pace.refused(since, wait=0)
        assert pace.limit == 1


def test_all_faults_are_tried():
    named = {fault.split(":")[0] for fault in PASSING} | {"huge", "slow", "quota", "filtered", "redirect"}
    assert named == {*FAULTS}
