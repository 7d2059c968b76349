"""The shell completes commands, options, models and languages; nothing heavy is imported for it."""

from __future__ import annotations

import pytest

CASES = {
    "commands": ("llmcli su", "summarize"),
    "options": ("llmcli translate --num", "--num-beams"),
    "models": ("llmcli generate --model smollm2-1", "smollm2-135m-instruct"),
    "languages by code": ("llmcli translate --to f", "fr"),
    "languages by name": ("llmcli translate --to Ger", "German"),
    "choices": ("llmcli sentiment --dtype fl", "float32"),
    "a group's commands": ("llmcli models pu", "pull"),
    "a group's models": ("llmcli models show gpt", "gpt2"),
}


@pytest.mark.parametrize("name", CASES)
def test_completion(process, name: str):
    line, offered = CASES[name]
    done = process(_LLMCLI_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(line.split()) - 1))
    assert offered in done.stdout.decode().split(), done.stderr
