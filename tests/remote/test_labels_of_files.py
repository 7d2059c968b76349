"""Labels from files of responses, some of which have scores and some none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

ROWS = '{"id": "a", "text": "one"}\n{"id": "b", "text": "two"}\n'
RUN = ["classify", "--labels", "sea,river", "--jsonl", "-m", "m"]
TOPS = [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -2.5}]
SCORED = {"content": [{"token": "A", "logprob": -0.1, "top_logprobs": TOPS}]}


@pytest.fixture
def responses(cli, tmp_path: Path) -> Callable[..., str]:
    """The responses to ROWS: the answer A, with the log-probabilities that each in turn has."""

    def write(*logprobs: Any, run: list[str] = RUN, stdin: str = ROWS) -> str:
        requests, path = tmp_path / "req.jsonl", tmp_path / "resp.jsonl"
        cli(*run, "--requests", str(requests), stdin=stdin)
        lines = []
        for line, logs in zip(requests.read_text().splitlines(), logprobs, strict=True):
            choice = {"message": {"content": "A"}, "logprobs": logs, "finish_reason": "length"}
            body = {"choices": [choice]}
            lines.append({"custom_id": json.loads(line)["custom_id"], "response": {"status_code": 200, "body": body}})
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return str(path)

    return write


NEEDING = [["--all-scores"], ["--threshold", "0.9"], ["--abstain", "0.5", "--unsure", "x"], ["--grep", "sea>0.9"]]


@pytest.mark.parametrize("option", NEEDING)
def test_one_without_a_score_is_enough_to_refuse_what_needs_it(cli, responses, option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = cli(*RUN, "--responses", responses(SCORED, None), *option, stdin=ROWS)
    assert (done.code, "gives labels without scores" in done.err, done.err.count("\n")) == (2, True, 1), done.err


@pytest.mark.parametrize("option", NEEDING[2:])
def test_finished_rows_have_no_score_either(cli, responses, option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = [*RUN, "--responses", responses(None, None), "-o", "out.jsonl"]
    assert cli(*run, stdin=ROWS).code == 0
    before = (tmp_path / "out.jsonl").read_text()
    done = cli(*run, "--resume", *option, stdin=ROWS)
    assert (done.code, "gives labels without scores" in done.err) == (2, True), done.err
    assert (tmp_path / "out.jsonl").read_text() == before


@pytest.fixture
def model(tmp_path: Path) -> Callable[[str], None]:
    """Writes the YAML of the model ``mine``."""

    def write(more: str) -> None:
        folder = tmp_path / "config" / "models"
        folder.mkdir(parents=True)
        folder.joinpath("mine.yaml").write_text(
            f"name: mine\nsource: {{server: 'http://localhost:1/v1', model: m}}\n{more}\n"
        )

    return write


MINE = ["classify", "--labels", "sea,river", "--json", "-m", "mine"]


def test_chunks_of_a_text_some_with_scores(cli, responses, model):
    model("context_window: 400")
    text = "The bridge was closed. " * 20 + "\n\n" + "It has rust in its supports. " * 20
    path = responses(SCORED, None, run=MINE, stdin=text)
    row = json.loads(cli(*MINE, "--responses", path, stdin=text).out)
    assert (row["label"], row["score"], row["scored_by"], row["chunks"]) == ("sea", None, "answer", 2)
    Draft202012Validator(json.loads(cli("schema", "classify").out)).validate(row)


def test_what_every_request_to_the_model_says_is_in_files_too(cli, model, tmp_path):
    model("chat_template_kwargs: {enable_thinking: false}")
    cli(*MINE, "--requests", str(tmp_path / "req.jsonl"), "a text")
    body = json.loads((tmp_path / "req.jsonl").read_text())["body"]
    assert body["chat_template_kwargs"] == {"enable_thinking": False}


def test_a_base_model_is_sent_no_messages(cli, model, tmp_path):
    model("chat: false")
    done = cli(*MINE, "--requests", str(tmp_path / "req.jsonl"), "a text")
    assert (done.code, "are for a chat model" in done.err, [*tmp_path.glob("req*")]) == (2, True, [])


def test_a_prompt_of_the_users_is_asked_with_its_examples(cli, model, tmp_path):
    model("")
    folder = tmp_path / "config" / "tasks"
    folder.mkdir()
    folder.joinpath("classify.yaml").write_text(
        "prompt:\n  instruction: Sort it.\n  example: 'T: {text} L: {answer}'\n"
        "  examples: [{text: it flows, answer: river}]\n"
    )
    cli(*MINE, "--requests", str(tmp_path / "req.jsonl"), "a text")
    messages = json.loads((tmp_path / "req.jsonl").read_text())["body"]["messages"]
    assert [message["content"] for message in messages[:3]] == ["Sort it.", "T: it flows L:", "B"]
    assert messages[3]["content"].startswith("T: a text L:\n\nOptions:")
