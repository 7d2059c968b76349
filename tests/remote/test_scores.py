"""Labels with the best that a server can do: the ladder, and its scores against local ones."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmcli.config.model_config import ModelConfig, Source
from llmcli.remote import opening
from llmcli.text.prompts import Rendered
from tests.support.checkpoint_server import Checkpoint
from tests.support.openai_server import MODEL, Server, said

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
TRIED = {"echo", "logprobs", "logprob_token_ids", "prompt_logprobs", "add_generation_prompt", "response_format",
         "top_logprobs", "prompt", "is"}  # fmt: skip
"""What a server may be asked on trial, though it does not know it."""
TEXTS = [f"{word} {place}" for place in range(25) for word in ("a good day", "the dog reads")]
LABELS = ["classify", "--labels", "sea,river", "--all-scores", "--lines", "--json"]


def labelled(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def letters(body: dict[str, Any]) -> dict[str, Any]:
    """A chat answer that begins with the letter B, with the likeliest letters."""
    tops = [("B", 0.6), (" B", 0.1), ("A", 0.2), ("Hm", 0.1)]
    logs = [{"token": token, "logprob": math.log(p)} for token, p in tops]
    return {"choices": [{"index": 0, "message": {"content": "B"}, "finish_reason": "length",
                         "logprobs": {"content": [{"token": "B", "logprob": math.log(0.6), "top_logprobs": logs}]}}],
            "usage": {"prompt_tokens": 5}}  # fmt: skip


def decided(body: dict[str, Any]) -> dict[str, Any]:
    """Answers of ``/v1/decisions``: the first label, nearly."""
    answers = []
    for question in body["questions"]:
        if question["type"] == "predicate":
            answers.append({"type": "predicate", "name": question["name"], "probability": 0.7})
            continue
        values = [choice["value"] for choice in question["choices"]]
        each = [{"value": value, "probability": 0.8 if place == 0 else 0.2 / (len(values) - 1)}
                for place, value in enumerate(values)]  # fmt: skip
        answers.append({"type": "choice", "name": "label", "choice": values[0], "probabilities": each[::-1]})
    return {"answers": answers, "usage": {"input_tokens": 3}}


@pytest.fixture(scope="module")
def model(checkpoint: Callable[..., Path]) -> Checkpoint:
    return Checkpoint(checkpoint("qwen3"))


def from_checkpoint(rung: str, model: Checkpoint) -> dict[str, Any]:
    """The options of a server that can do one rung."""
    return {
        "token-ids": {"able": {"token-ids", "logprobs"},
                      "extend": {"/tokenize": model.tokenize, COMPLETIONS: model.completions}},
        "echo": {"able": {"echo"}, "extend": {COMPLETIONS: model.completions}},
        "prompt-logprobs": {"able": {"prompt_logprobs"}, "extend": {CHAT: model.chat}},
    }[rung]  # fmt: skip


@pytest.mark.parametrize("rung, count", [("token-ids", 3), ("echo", 50)])
def test_scores_are_those_of_the_model_here(cli, serving, model, checkpoint, rung: str, count: int):
    texts = TEXTS[:count]
    server = serving(tried=TRIED, **from_checkpoint(rung, model))
    here = cli(*LABELS, "-m", str(checkpoint("qwen3")), "--dtype", "float32", stdin="\n".join(texts))
    there = cli(*LABELS, "-m", server.name, stdin="\n".join(texts))
    local, remote = labelled(here.out), labelled(there.out)
    assert len(remote) == len(texts), there.err
    assert {row["scored_by"] for row in remote} == {rung}
    assert [row["scores"] for row in remote] == [pytest.approx(row["scores"], abs=1e-3) for row in local]


def test_several_labels_that_hold(cli, serving, model, checkpoint):
    server = serving(tried=TRIED, **from_checkpoint("echo", model))
    asked = ["classify", "--labels", "sea,river,a long book", "--multi", "--all-scores", "--json", "a good day"]
    here = json.loads(cli(*asked, "-m", str(checkpoint("qwen3")), "--dtype", "float32").out)
    there = json.loads(cli(*asked, "-m", server.name).out)
    assert there["scores"] == pytest.approx(here["scores"], abs=1e-3)


def test_likelihood_is_that_of_the_model_here(serving, model, checkpoint, tmp_path):
    from llmcli import tasks
    from llmcli.pipelines.load import load
    from llmcli.run.resolve import resolve

    server = serving(tried=TRIED, **from_checkpoint("echo", model))
    prompts = [Rendered("Text: the sea\n\n", f"Text: {text}\nLabel:") for text in TEXTS]
    answers = [f" {text.split()[1]} river" for text in TEXTS]
    found = []
    for name, given in ((server.name, opening.load), (str(checkpoint("qwen3")), load)):
        settings = {"model": name} | ({"dtype": "float32"} if given is load else {})
        config = resolve(tasks.get("sentiment"), settings)
        found.append(given(config, report=lambda *_: None).likelihood(prompts, answers))
    assert found[0] == pytest.approx(found[1], abs=1e-3)


def test_labels_as_answers_of_a_chat(cli, serving, model, checkpoint):
    server = serving(tried=TRIED, **from_checkpoint("prompt-logprobs", model))
    row = json.loads(cli("sentiment", "--all-scores", "--json", "a good day", "-m", server.name).out)
    assert (row["scored_by"], sum(row["scores"].values())) == ("prompt-logprobs", pytest.approx(1))


class TestChats:
    def test_letters(self, cli, serving):
        server = serving(able={"logprobs"}, tried=TRIED, extend={CHAT: letters})
        done = cli("classify", "--labels", "sea,river,book", "--all-scores", "--json", "a text", "-m", server.name)
        row = json.loads(done.out)
        assert row["scores"] == pytest.approx({"sea": 0.2 / 0.9, "river": 0.7 / 0.9, "book": 0}, abs=1e-5)
        assert (row["label"], row["scored_by"]) == ("river", "top-logprobs")
        asked = server.requests[-1]
        assert (asked["max_tokens"], asked["top_logprobs"]) == (1, 20)
        assert "A) sea\nB) river\nC) book" in said(asked)

    def test_examples_of_labels_answer_with_letters_too(self, cli, serving):
        server = serving(able={"logprobs"}, tried=TRIED, extend={CHAT: letters})
        cli("classify", "--labels", "sea,river", "--example", "river: it flows", "a text", "-m", server.name)
        assert {"role": "assistant", "content": "B"} in server.requests[-1]["messages"]

    def test_letters_say_nothing_of_each_label(self, cli, serving):
        server = serving(able={"logprobs"}, tried=TRIED, extend={CHAT: letters})
        done = cli("classify", "--labels", "sea,river", "--multi", "a text", "-m", server.name)
        assert (done.code, "--multi needs the probability of each label" in done.err) == (2, True)

    def test_one_of_a_list(self, cli, serving):
        def write(body: dict[str, Any]) -> str:
            return json.dumps({"label": "seven" if "six" in said(body) else "river"})

        server = serving(able={"response_format"}, tried=TRIED, write=write)
        row = json.loads(cli("classify", "--labels", "sea,river", "--json", "a text", "-m", server.name).out)
        assert (row["label"], row["score"], row["scored_by"]) == ("river", None, "enum")
        names = server.requests[-1]["response_format"]["json_schema"]["schema"]["properties"]["label"]["enum"]
        assert names == ["sea", "river"]

    @pytest.fixture
    def bare(self, serving) -> Server:
        """A server that does nothing but chat."""
        return serving(tried=TRIED, write=lambda body: "Seven." if "six" in said(body) else
                       "nonsense" if "strange" in said(body) else "River")  # fmt: skip

    def test_an_answer_alone(self, cli, bare):
        done = cli("classify", "--labels", "sea,river", "-m", bare.name, "a text")
        assert done.out == "river\t-\n"

    def test_an_answer_that_is_no_label_is_an_error(self, cli, bare):
        done = cli("classify", "--labels", "sea,river", "--lines", "--json", "-m", bare.name, stdin="one\nstrange\n")
        assert [(row["status"], row.get("score", 1)) for row in labelled(done.out)] == [("ok", None), ("error", 1)]

    @pytest.mark.parametrize(
        "option",
        [["--all-scores"], ["--threshold", "0.5"], ["--abstain", "0.5", "--unsure", "x"], ["--grep", "sea>0.9"]],
    )
    def test_what_needs_scores_is_refused(self, cli, bare, option, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        done = cli("classify", "--labels", "sea,river", *option, "-m", bare.name, "a text")
        assert (done.code, "gives labels without scores" in done.err, done.err.count("\n")) == (2, True, 1), done.err

    def test_rows_with_a_label_are_found(self, cli, bare):
        done = cli("classify", "--labels", "sea,river", "--lines", "--grep", "river", "-m", bare.name, stdin="one\n")
        assert (done.out, done.code) == ("one\n", 0)


def test_models_with_scores_and_without_are_compared(cli, serving, tmp_path):
    rows, picture = tmp_path / "rows.jsonl", tmp_path / "x.svg"
    rows.write_text('{"text": "one", "label": "sea"}\n{"text": "two", "label": "river"}\n')
    scored = serving(able={"logprobs"}, tried=TRIED, extend={CHAT: letters})
    bare = serving(tried=TRIED, write=lambda body: "Seven" if "six" in said(body) else "sea")
    for models in ((scored, bare), (bare, scored)):
        done = cli("compare", "classify", str(rows), "-m", models[0].name, "-m", models[1].name, "--svg", str(picture))
        assert (done.code, done.out.count("calibration error")) == (0, 1), done.err
        assert picture.read_text().count("calibration error") == 1


class TestDecisions:
    def test_one_label(self, cli, serving):
        server = serving(extend={"/v1/decisions": decided})
        done = cli("classify", "--labels", "sea,river", "--all-scores", "--json", "a text", "-m", server.name)
        row = json.loads(done.out)
        assert (row["scores"], row["scored_by"]) == ({"sea": 0.8, "river": 0.2}, "decisions")

    def test_several(self, cli, serving):
        server = serving(extend={"/v1/decisions": decided})
        row = json.loads(cli("classify", "--labels", "sea,river", "--multi", "--json", "x", "-m", server.name).out)
        assert row["labels"] == {"sea": 0.7, "river": 0.7}


class TestTheLadder:
    def test_an_echo_without_the_prompt_is_none(self, cli, serving, model):
        server = serving(able={"echo", "logprobs"}, tried=TRIED,
                         extend={COMPLETIONS: model.generated_only, CHAT: letters})  # fmt: skip
        row = json.loads(cli("classify", "--labels", "sea,river", "--json", "a text", "-m", server.name).out)
        assert row["scored_by"] == "top-logprobs"

    def test_it_is_climbed_once_a_server(self, cli, serving):
        server = serving(able={"logprobs"}, tried=TRIED, extend={CHAT: letters})
        asked = ["classify", "--labels", "sea,river", "a text", "-m", server.name]
        cli(*asked)
        before = len(server.requests)
        cli(*asked)
        assert len(server.requests) - before == 1

    def test_a_newer_server_is_tried_again(self, cli, serving, monkeypatch):
        server = serving(able={"logprobs"}, tried=TRIED, extend={CHAT: letters})
        asked = ["classify", "--labels", "sea,river", "--json", "a text", "-m", server.name]
        cli(*asked)
        server.version = "2.0"
        server.extend["/v1/decisions"] = decided
        assert json.loads(cli(*asked).out)["scored_by"] == "decisions"

    def test_a_server_that_was_busy_is_not_judged_for_good(self, cli, serving):
        server = serving(able={"response_format"}, tried=TRIED, write=lambda body: "{}")
        server.faults = lambda number, body: "status:500" if "messages" in body else ""
        cli("classify", "--labels", "sea,river", "a text", "-m", server.name)
        server.faults = lambda number, body: ""
        server.extend[CHAT] = letters
        server.able.add("logprobs")
        row = json.loads(cli("classify", "--labels", "sea,river", "--json", "a text", "-m", server.name).out)
        assert row["scored_by"] == "top-logprobs"

    def test_letters_do_for_twenty_labels(self, cli, serving):
        server = serving(able={"logprobs", "response_format"}, tried=TRIED, write=lambda body: '{"label": "seven"}')
        many = ",".join(f"label{place}" for place in range(30))
        server.faults = lambda number, body: ""
        done = cli("classify", "--labels", f"seven,{many}", "--json", "a text", "-m", server.name)
        assert json.loads(done.out)["scored_by"] == "enum"

    def test_a_text_cannot_be_scored_everywhere(self, serving):
        from llmcli import tasks
        from llmcli.errors import ModelError
        from llmcli.run.resolve import resolve

        server = serving(tried=TRIED)
        config = resolve(tasks.get("sentiment"), {"model": server.name})
        with pytest.raises(ModelError, match="does not tell the log-probabilities"):
            opening.load(config, report=lambda *_: None).likelihood([Rendered(row="a")], ["b"])


def test_a_source_is_one_thing():
    with pytest.raises(ValueError, match="server and model belong together"):
        Source(server="http://localhost/v1")
    with pytest.raises(ValueError, match="are for a server"):
        Source(path=Path("x"), api_key_env="KEY")
    assert ModelConfig(name="x", source=Source(server="http://localhost/v1", model=MODEL)).source.converted is False
