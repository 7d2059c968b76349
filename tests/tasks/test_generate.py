"""Prompts of chat models: what is thought, what is said before, what is cut."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmcli.pipelines.protocol import Completion


@pytest.fixture
def thinks(fake, monkeypatch) -> None:
    def complete(prompts: Any, generation: Any, *, emit: Any = None) -> list[list[Completion]]:
        text = "<think>\nHm.\n</think>\n\nParis."
        if emit:
            emit(text)
        return [[Completion(text, 1, 1, "stop")] for _ in prompts]

    monkeypatch.setattr(fake, "complete", complete)


THINKING = {
    "hidden": ([], "Paris.\n"),
    "hidden in whole texts": (["--no-stream"], "Paris.\n"),
    "shown": (["--show-thinking"], "<think>\nHm.\n</think>\n\nParis.\n"),
    "lines": (["--lines"], "Paris.\n"),
}


@pytest.mark.parametrize("name", THINKING)
@pytest.mark.usefixtures("thinks")
def test_thinking(cli, name: str):
    options, out = THINKING[name]
    done = cli("generate", *options, stdin="Capital of France?")
    assert (done.code, done.out) == (0, out)


@pytest.mark.usefixtures("thinks")
def test_thinking_is_a_field(cli):
    row = json.loads(cli("generate", "--json", "Capital of France?").out)
    assert (row["text"], row["thinking"]) == ("Paris.", "Hm.")


def test_a_system_prompt_stands_first(cli, fake):
    assert cli("generate", "--system", "Be brief.", "Once").code == 0
    assert [dict(message) for message in fake.prompts[0].messages] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Once"},
    ]


@pytest.mark.parametrize("options", [["-m", "gemma-3-270m"], ["--raw"]])
def test_a_system_prompt_needs_a_chat_model(cli, fake, options: list[str]):
    done = cli("generate", "--system", "Be brief.", *options, "Once")
    assert (done.code, done.out) == (2, "")
    assert "--system is for chat models" in done.err


@pytest.mark.parametrize("task", ["generate", "code"])
def test_the_question_is_kept_where_the_text_is_cut(cli, fake, task: str):
    fake.context_window = 400
    done = cli(task, "--on-long", "truncate", "--max-new-tokens", "10", "What is it?", stdin="word " * 1000)
    prompt = fake.prompts[-1]
    asked = prompt.row or prompt.messages[-1]["content"]
    assert done.code == 0
    assert "What is it?" in asked
    assert 100 < asked.count("word") < 400
    assert "tokens of the text: --on-long truncate" in done.err


CONTINUED: dict[str, tuple[list[str], str, str]] = {
    # name: arguments, stdin, stdout
    "an argument that breaks off": (["Once"], "", "OnceONCE\n"),
    "all at once": (["--no-stream", "Once"], "", "OnceONCE\n"),
    "several": (["-n", "2", "Once"], "", "OnceONCE\n\nOnceONCE\n"),
    "by a base model": (["-m", "gemma-3-270m", "Once."], "", "Once.ONCE.\n"),
    "answered": (["Once?"], "", "ONCE?\n"),
    "raw": (["--raw", "Once"], "", "ONCE\n"),
    "piped": ([], "Once", "ONCE\n"),
    "behind a piped text": (["and"], "Once", "ONCE\n\nAND\n"),
    "as JSON": (["--json", "Once"], "", '"text": "ONCE", "continued": true'),
}


@pytest.mark.parametrize("name", CONTINUED)
def test_a_prompt_that_goes_on_is_printed_first(cli, fake, name: str):
    arguments, stdin, out = CONTINUED[name]
    done = cli("generate", *arguments, stdin=stdin)
    assert done.code == 0
    assert done.out == out or (name == "as JSON" and out in done.out)
