"""--requests and --responses: OpenAI batch lines out, their responses in, and no network."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmcli.remote import files
from llmcli.remote.asking import Request

ROWS = "".join(json.dumps({"id": f"r{place}", "text": f"row {place}?"}) + "\n" for place in range(40))
Line = dict[str, Any]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("llmcli.remote.transport.Transport.__init__", refused)


def read(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def answered(line: Line, text: str = "") -> Line:
    """A response as an engine writes it."""
    said = text or line["body"]["messages"][-1]["content"].upper()
    choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
    body = {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
    return {"id": "x", "custom_id": line["custom_id"], "error": None, "response": {"status_code": 200, "body": body}}


def failed(line: Line) -> Line:
    error = {"message": "no", "code": "server_error"}
    return {"id": "x", "custom_id": line["custom_id"], "response": {"status_code": 500, "body": {"error": error}}}


@pytest.fixture
def engine(tmp_path: Path) -> Callable[..., Path]:
    """Writes the responses to a file of requests: ``change`` takes and gives the lines."""

    def run(requests: Path, name: str, change: Callable[[list[Line]], list[Line]] = lambda lines: lines) -> Path:
        made = change([answered(line) for line in read(requests)])
        path = tmp_path / name
        path.write_text("".join(json.dumps(line) + "\n" for line in made))
        return path

    return run


@pytest.fixture
def asked(cli, tmp_path: Path) -> Path:
    """The requests of ROWS."""
    path = tmp_path / "req.jsonl"
    done = cli("generate", "--jsonl", "-m", "qwen", "--requests", str(path), stdin=ROWS)
    assert (done.out, done.code) == ("", 0), done.err
    assert "40 requests in" in done.err
    return path


def shuffled(lines: list[Line]) -> list[Line]:
    random.Random(3).shuffle(lines)
    return lines


def test_a_line_is_as_openai_takes_it(asked):
    lines = read(asked)
    assert len({line["custom_id"] for line in lines}) == 40
    assert lines[3].keys() == {"custom_id", "method", "url", "body"}
    assert (lines[3]["method"], lines[3]["url"]) == ("POST", "/v1/chat/completions")
    assert lines[3]["body"] == {"model": "qwen", "messages": [{"role": "user", "content": "row 3?"}],
                                "max_tokens": 256, "temperature": 0}  # fmt: skip


def test_responses_in_any_order(cli, asked, engine, tmp_path):
    out = tmp_path / "out.jsonl"
    response = engine(asked, "resp.jsonl", shuffled)
    done = cli("generate", "--jsonl", "-m", "qwen", "--responses", str(response), "-o", str(out), stdin=ROWS)
    assert done.code == 0, done.err
    assert [(row["id"], row["text"]) for row in read(out)] == [(f"r{place}", f"ROW {place}?") for place in range(40)]


class TestWhatIsWrong:
    def rows(self, cli, asked, response: Path) -> dict[str, str]:
        done = cli("generate", "--jsonl", "-m", "qwen", "--responses", str(response), stdin=ROWS)
        made = [json.loads(line) for line in done.out.splitlines()]
        assert len(made) == 40
        self.err, self.code = done.err, done.code
        return {row["id"]: row["error"]["code"] for row in made if row["status"] == "error"}

    def test_a_missing_one(self, cli, asked, engine):
        assert self.rows(cli, asked, engine(asked, "resp.jsonl", lambda lines: lines[1:])) == {"r0": "no-response"}
        assert self.code == 5

    def test_a_failed_one(self, cli, asked, engine):
        response = engine(asked, "resp.jsonl", lambda lines: [failed(lines[0]), *lines[1:]])
        assert self.rows(cli, asked, response) == {"r0": "failed-response"}
        assert "HTTP 500" in self.err

    def test_a_failed_one_that_was_asked_again(self, cli, asked, engine):
        response = engine(asked, "resp.jsonl", lambda lines: [failed(lines[0]), *lines, failed(lines[1])])
        assert self.rows(cli, asked, response) == {}

    def test_two_that_differ(self, cli, asked, engine):
        def twice(lines: list[Line]) -> list[Line]:
            other = json.loads(json.dumps(lines[5]))
            other["response"]["body"]["choices"][0]["message"]["content"] = "otherwise"
            return [*lines, other]

        assert self.rows(cli, asked, engine(asked, "resp.jsonl", twice)) == {"r5": "doubled"}

    def test_the_same_one_twice(self, cli, asked, engine):
        assert self.rows(cli, asked, engine(asked, "resp.jsonl", lambda lines: lines * 2)) == {}

    def test_lines_that_are_none(self, cli, asked, engine):
        response = engine(asked, "resp.jsonl")
        response.write_bytes(b"not json\n\n[1]\n{}\n" + response.read_bytes() + b'{"custom_id": "x", "resp')
        assert self.rows(cli, asked, response) == {}
        assert self.err.count("error[bad-json]") == 4

    def test_a_body_that_is_none(self, cli, asked, engine):
        def empty(lines: list[Line]) -> list[Line]:
            lines[2]["response"]["body"] = {"choices": []}
            return lines

        assert self.rows(cli, asked, engine(asked, "resp.jsonl", empty)) == {"r2": "failed-response"}

    def test_no_file(self, cli, asked, tmp_path):
        done = cli("generate", "--jsonl", "-m", "qwen", "--responses", str(tmp_path / "none"), stdin=ROWS)
        assert (done.code, "No such file" in done.err) == (3, True)


class TestResume:
    def test_only_what_is_missing_is_asked_for(self, cli, asked, engine, tmp_path):
        out, more = tmp_path / "out.jsonl", tmp_path / "more.jsonl"
        run = ["generate", "--jsonl", "-m", "qwen", "-o", str(out)]
        half = engine(asked, "half.jsonl", lambda lines: lines[:20] + [failed(line) for line in lines[20:22]])
        assert cli(*run, "--responses", str(half), stdin=ROWS).code == 5
        cli(*run, "--resume", "--requests", str(more), stdin=ROWS)
        assert [line["body"]["messages"][-1]["content"] for line in read(more)] == [
            f"row {place}?" for place in range(22, 40)
        ]
        cli(*run, "--retry-failed", "--requests", str(more), stdin=ROWS)
        assert len(read(more)) == 20
        rest = engine(more, "rest.jsonl")
        assert cli(*run, "--retry-failed", "--responses", str(rest), stdin=ROWS).code == 0
        assert [row["text"] for row in read(out)] == [f"ROW {place}?" for place in range(40)]

    def test_responses_and_requests_together(self, cli, asked, engine, tmp_path):
        more = tmp_path / "more.jsonl"
        half = engine(asked, "half.jsonl", lambda lines: lines[:30])
        done = cli("generate", "--jsonl", "-m", "qwen", "--responses", str(half), "--requests", str(more), stdin=ROWS)
        assert (len(read(more)), "30 rows have an answer" in done.err) == (10, True)

    def test_a_longer_input_asks_for_what_is_new(self, cli, asked, engine, tmp_path):
        more = tmp_path / "more.jsonl"
        response = engine(asked, "resp.jsonl")
        cli("generate", "--jsonl", "-m", "qwen", "--responses", str(response), "--requests", str(more),
            stdin='{"text": "new?"}\n' + ROWS)  # fmt: skip
        assert [line["body"]["messages"][-1]["content"] for line in read(more)] == ["new?"]


def test_rounds_until_a_long_text_is_summarized(cli, engine, tmp_path):
    folder = tmp_path / "config" / "models"
    folder.mkdir(parents=True)
    folder.joinpath("mine.yaml").write_text(
        "name: mine\nsource: {server: 'http://localhost:1/v1', model: m}\ncontext_window: 400\n"
    )
    text = "The old bridge was closed on Tuesday. " * 60
    responses: list[str] = []
    for rounds in range(1, 6):
        path = tmp_path / f"req{rounds}.jsonl"
        cli("summarize", "-m", "mine", *responses, "--requests", str(path), stdin=text)
        if not read(path):
            break
        short = engine(path, f"resp{rounds}.jsonl", lambda lines: [
            answered({**line, "body": {}}, "It was closed.") for line in lines])  # fmt: skip
        responses += ["--responses", str(short)]
    assert rounds > 2
    assert cli("summarize", "-m", "mine", *responses, stdin=text).out.startswith("It was closed.")


@pytest.mark.parametrize(
    "logprobs, expected",
    [
        (None, ("sea", None, "answer")),
        ({"content": [{"top_logprobs": [{"token": "A", "logprob": 0.0}]}]}, ("sea", 1.0, "top-logprobs")),
    ],
)
def test_labels(cli, engine, tmp_path, logprobs: Any, expected: tuple[Any, ...]):
    path = tmp_path / "req.jsonl"
    run = ["classify", "--labels", "sea,river", "--json", "-m", "m", "a text"]
    cli(*run, "--requests", str(path))

    def letters(lines: list[Line]) -> list[Line]:
        for line in lines:
            choice = line["response"]["body"]["choices"][0]
            choice["message"]["content"], choice["logprobs"] = "A", logprobs
        return lines

    row = json.loads(cli(*run, "--responses", str(engine(path, "resp.jsonl", letters))).out)
    assert (row["label"], row["score"], row["scored_by"]) == expected


@pytest.mark.parametrize("target", ["/dev/null", "-", "."])
def test_only_a_file_can_hold_requests(cli, target: str):
    done = cli("generate", "hm?", "-m", "m", "--requests", target)
    assert (done.code, "is no file" in done.err) == (2, True), done.err


def test_equal_requests_are_asked_once(cli, tmp_path):
    path = tmp_path / "req.jsonl"
    cli("generate", "--lines", "-m", "m", "--requests", str(path), stdin="same?\n" * 9)
    assert len(read(path)) == 1


def test_what_is_drawn_is_found_again(cli, engine, tmp_path):
    path = tmp_path / "req.jsonl"
    for seed in ([], ["--seed", "3"]):
        run = ["generate", "--jsonl", "--temperature", "0.7", *seed, "-m", "m"]
        cli(*run, "--requests", str(path), stdin=ROWS)
        response = engine(path, "resp.jsonl")
        out = tmp_path / f"out{len(seed)}.jsonl"
        assert cli(*run, "--responses", str(response), "-o", str(out), stdin=ROWS).code == 0


def test_rows_that_are_none_are_said(cli, tmp_path):
    path = tmp_path / "req.jsonl"
    done = cli("generate", "--jsonl", "-m", "m", "--requests", str(path), stdin=ROWS + "{bad\n" + '{"text": ""}\n')
    assert (done.code, len(read(path)), done.err.count("error[")) == (5, 40, 3)


def test_a_full_file_is_followed_by_another(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "LINES", 3)
    path = tmp_path / "req.jsonl"
    requests = files.RequestFiles(path)
    for place in range(7):
        requests.put(Request("/chat/completions", {"model": "m", "n": place}))
    requests.close(whole=True)
    assert [p.name for p in requests.paths] == ["req.jsonl", "req-2.jsonl", "req-3.jsonl"]
    assert [len(read(p)) for p in requests.paths] == [3, 3, 1]


def test_a_large_file_is_followed_by_another(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "BYTES", 400)
    requests = files.RequestFiles(tmp_path / "req.jsonl")
    for place in range(4):
        requests.put(Request("/chat/completions", {"text": str(place) * 150}))
    requests.close(whole=True)
    assert all(p.stat().st_size <= 400 for p in requests.paths)
    assert len(requests.paths) == 4


@pytest.mark.parametrize(
    "arguments, err",
    [
        (["generate", "hm?"], "need the name that the server has for the model"),
        (["embed", "hm", "-m", "m"], "cannot do embed"),
        (["classify", "--labels", "a,b", "--multi", "hm", "-m", "m"], "--multi needs a server"),
    ],
)
def test_refusals(cli, tmp_path, arguments: list[str], err: str):
    done = cli(*arguments, "--requests", str(tmp_path / "req.jsonl"))
    assert (err in done.err, done.code in (2, 4), [*tmp_path.glob("req*")]) == (True, True, []), done.err
