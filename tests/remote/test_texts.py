"""One text, answered by a server."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.openai_server import MODEL

TEXT = "The old bridge was closed. It had rust in two of its supports."


@pytest.mark.parametrize(
    "arguments, out",
    [
        (["generate", "say it?"], "SAY IT?\n"),
        (["generate", "once upon a time"], "ONCE UPON A TIME\n"),
        (["generate", "--raw", "once upon"], "ONCE UPON\n"),
        (["generate", "--no-stream", "say it?"], "SAY IT?\n"),
        (["generate", "--stop", "I", "say it?"], "SAY \n"),
        (["generate", "--max-new-tokens", "1", "say it?"], "SAY\n"),
        (["summarize", TEXT], TEXT.upper() + "\n"),
        (["translate", "-t", "fr", "-f", "en", "The dog sleeps."], "THE DOG SLEEPS.\n"),
        (["code", "--explain", "x = 1"], "X = 1\n"),
    ],
)
def test_texts(cli, serving, arguments: list[str], out: str):
    server = serving()
    done = cli(*arguments, "-m", server.name)
    assert (done.out, done.code) == (out, 0), done.err


@pytest.mark.parametrize(
    "arguments, asked",
    [
        (["generate", "hm?"], {"temperature": 0, "max_tokens": 256, "stream": True}),
        (["generate", "--json", "hm?"], {"temperature": 0, "max_tokens": 256}),
        (["generate", "--json", "--temperature", "0.5", "--top-p", "0.9", "--stop", "x", "hm?"],
         {"temperature": 0.5, "top_p": 0.9, "seed": None, "stop": ["x"], "max_tokens": 256}),
        (["generate", "--json", "--system", "Be brief.", "hm?"],
         {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hm?"}]}),
        (["summarize", "--sentences", "1", "A text."], {"max_tokens": 120}),
    ],
)  # fmt: skip
def test_what_is_asked(cli, serving, arguments: list[str], asked: dict):
    server = serving()
    cli(*arguments, "-m", server.name)
    assert {name: server.requests[0].get(name) for name in asked} == asked
    assert server.requests[0]["model"] == MODEL


def test_a_seed_draws_the_same_again(cli, serving):
    server = serving()
    asked = ["generate", "-n", "3", "--json", "well?", "-m", server.name]
    one, again, other = (json.loads(cli(*asked, "--seed", seed).out)["texts"] for seed in "112")
    assert one == again != other
    assert len({*one}) == 3
    assert {request["n"] for request in server.requests} == {3}


def test_a_server_that_gives_fewer_texts_is_asked_for_the_others(cli, serving):
    def alone(body):
        return {"choices": [{"message": {"content": str(body["seed"])}, "finish_reason": "stop"}]}

    server = serving(extend={"/v1/chat/completions": alone})
    asked = ["generate", "-n", "3", "--seed", "1", "--json", "well?", "-m", server.name]
    assert len({*json.loads(cli(*asked).out)["texts"]}) == 3
    assert len({request["seed"] for request in server.requests}) == 3


def test_an_answer_says_what_the_server_says(cli, serving):
    server = serving()
    made = json.loads(cli("generate", "--json", "--max-new-tokens", "2", "one two three?", "-m", server.name).out)
    assert made["model"] == server.name
    assert (made["text"], made["finish_reason"]) == ("ONE TWO", "length")
    assert (made["input_tokens"], made["output_tokens"]) == (7, 3)


def test_an_answer_of_a_text(cli, serving):
    server = serving(write=lambda body: '"Ada"' if "Ada" in body["messages"][-1]["content"] else "No answer.")
    made = json.loads(cli("answer", "Who?", "--json", "-m", server.name, stdin="It was Ada.").out)
    assert (made["text"], made["start"], made["end"], made["score"]) == ("Ada", 7, 10, None)
    assert cli("answer", "Who?", "-m", server.name, stdin="It was so.").out == "no answer\n"
    server.write = lambda body: '"No answer."'
    assert cli("answer", "Who?", "-m", server.name, stdin="It is so.").out == "no answer\n"


def test_thinking_is_apart(cli, serving):
    def thinks(body):
        return {"choices": [{"message": {"content": "Yes.", "reasoning_content": "Hm."}, "finish_reason": "stop"}]}

    server = serving(extend={"/v1/chat/completions": thinks})
    made = json.loads(cli("generate", "--json", "--no-stream", "well?", "-m", server.name).out)
    assert (made["text"], made["thinking"]) == ("Yes.", "Hm.")


def yaml(tmp_path: Path, server, **more: object) -> None:
    folder = tmp_path / "config" / "models"
    folder.mkdir(parents=True)
    source = json.dumps({"server": server.url, "model": MODEL, **more.pop("source", {})})
    folder.joinpath("mine.yaml").write_text(f"name: mine\nsource: {source}\n" + "".join(
        f"{name}: {json.dumps(value)}\n" for name, value in more.items()))  # fmt: skip


class TestYaml:
    def test_a_model(self, cli, serving, tmp_path):
        server = serving(able={"chat_template_kwargs"})
        yaml(tmp_path, server, chat_template_kwargs={"enable_thinking": False})
        made = json.loads(cli("generate", "--json", "well?", "-m", "mine").out)
        assert (made["text"], made["model"]) == ("WELL?", "mine")
        assert server.requests[0]["chat_template_kwargs"] == {"enable_thinking": False}

    def test_a_base_model_continues(self, cli, serving, tmp_path):
        server = serving()
        yaml(tmp_path, server, chat=False)
        assert cli("generate", "--json", "once upon", "-m", "mine").code == 0
        assert server.requests[0]["path"] == "/v1/completions"

    def test_a_long_text_is_read_in_chunks(self, cli, serving, tmp_path):
        server = serving()
        yaml(tmp_path, server, context_window=400)
        assert cli("summarize", "-m", "mine", stdin=TEXT * 30).code == 0
        assert len(server.requests) > 2

    def test_it_is_described_without_being_asked(self, cli, serving, tmp_path):
        server = serving()
        yaml(tmp_path, server)
        shown = cli("models", "show", "mine").out
        assert ("model of a server" in shown, "refused" in shown, "size on disk" in shown) == (True, False, False)
        assert json.loads(cli("models", "show", "mine", "--json").out)["pipeline"] == "server"
        assert "mine" in cli("models", "list").out
        assert server.requests == []


def test_a_faulty_translation_is_not_asked_for_again_with_beams(cli, serving, tmp_path):
    server = serving(tried={"logprobs"})
    yaml(tmp_path, server, chat=False)
    done = cli("translate", "-f", "en", "-t", "fr", "--json", "The dog sleeps 5 hours.", "-m", "mine")
    assert (done.code, json.loads(done.out)["status"]) == (0, "ok"), done.err
    asked = [request["prompt"] for request in server.requests]
    assert sorted(asked) == sorted({*asked})


class TestKeys:
    def test_from_the_environment(self, cli, serving, monkeypatch):
        server = serving(key="secret-key-1")
        monkeypatch.setenv("LLMCLI_API_KEY", "secret-key-1")
        assert cli("generate", "well?", "-m", server.name).out == "WELL?\n"

    def test_a_wrong_one_is_not_shown(self, cli, serving, monkeypatch):
        server = serving(key="secret-key-1")
        monkeypatch.setenv("LLMCLI_API_KEY", "wrong-key-2")
        done = cli("generate", "--debug", "well?", "-m", server.name)
        assert (done.code, "error[key]" in done.err, "wrong-key-2" in done.err) == (7, True, False)
        assert len(server.requests) == 1

    def test_a_named_one(self, cli, serving, monkeypatch, tmp_path):
        server = serving(key="secret-key-1")
        yaml(tmp_path, server, source={"api_key_env": "MY_KEY"})
        assert "error[no-key]" in cli("generate", "well?", "-m", "mine").err
        monkeypatch.setenv("MY_KEY", "secret-key-1")
        assert cli("generate", "well?", "-m", "mine").out == "WELL?\n"


@pytest.mark.parametrize(
    "arguments, code, err",
    [
        (["generate", "hm?", "-m", "{url}"], 4, "error[no-model]"),
        (["generate", "hm?", "-m", "http://me:s3cret@localhost/v1#x"], 4, "error[no-model]"),
        (["generate", "hm?", "-m", "http://localhost:port/v1#x"], 4, "not a server's URL"),
        (["generate", "hm?", "-m", "http://[::1/v1#x"], 4, "not a server's URL"),
        (["generate", "hm?", "-m", "http://:80/v1#x"], 4, "not a server's URL"),
        (["generate", "hm?", "-m", "http://a..b/v1#x"], 4, "not a server's URL"),
        (["generate", "hm?", "-m", "{url}#other"], 7, "error[no-model]"),
        (["generate", "hm?", "-m", "{name}", "--num-beams", "2"], 2, "a server takes --max-new-tokens"),
        (["generate", "hm?", "-m", "{name}", "--top-k", "2", "--temperature", "1"], 2, "a server takes"),
        (["generate", "hm?", "-m", "{name}", "--device", "cpu"], 2, "--device is for models that run here"),
        (["code", "--infill", "a <FILL> b", "-m", "{name}"], 2, "a server cannot fill a gap"),
        (["answer", "hm?", "--threshold", "0.5", "-m", "{name}"], 2, "a server has no score for --threshold"),
        (["embed", "hm", "-m", "{name}"], 4, "error[wrong-task]"),
        (["models", "pull", "{name}"], 2, "nothing to pull"),
    ],
)
def test_refusals(cli, serving, arguments: list[str], code: int, err: str):
    server = serving()
    done = cli(*(one.format(url=server.url, name=server.name) for one in arguments), stdin="a text")
    assert (done.code, err in done.err, done.err.count("\n")) == (code, True, 1), done.err
    assert "s3cret" not in done.err


def test_nobody_is_there(cli):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        done = cli("generate", "hm?", "-m", f"http://127.0.0.1:{unused.getsockname()[1]}/v1#x")
    assert (done.code, done.err.count("\n")) == (7, 1)
    assert "error[unreachable]" in done.err


def test_neither_torch_nor_transformers_is_imported(serving):
    server = serving()
    script = """if True:
        import atexit, sys
        heavy = {"torch", "transformers", "numpy"}
        atexit.register(lambda: print(sorted(heavy & {*sys.modules}), file=sys.stderr))
        from llmcli.cli.main import main
        sys.argv = ["llmcli", "generate", "well?", "-m", sys.argv[1]]
        main()"""
    done = subprocess.run([sys.executable, "-c", script, server.name], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("WELL?\n", "[]\n")
