"""What a model thinks is apart from its answer, whole or in pieces."""

from __future__ import annotations

import pytest

from llmcli.text.thinking import Hidden, Thought, split

CASES = {
    "none": ("Paris.", Thought("", "Paris.")),
    "before the answer": ("<think>\nHm.\n</think>\n\nParis.", Thought("Hm.", "Paris.")),
    "empty": ("<think>\n\n</think>\n\nParis.", Thought("", "Paris.")),
    "opened by the prompt": ("Hm.\n</think>\nParis.", Thought("Hm.", "Paris.")),
    "cut off": ("<think>\nHm, and", Thought("Hm, and", "", unfinished=True)),
    "a continuation": (" Sydney.", Thought("", " Sydney.")),
    "a mark in the answer": ("Write <think> first.", Thought("", "Write <think> first.")),
}


@pytest.mark.parametrize("name", CASES)
def test_split(name: str):
    text, thought = CASES[name]
    assert split(text) == thought


@pytest.mark.parametrize("name", [name for name in CASES if name != "opened by the prompt"])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_pieces_give_the_answer_alone(name: str, size: int):
    text, thought = CASES[name]
    heard: list[str] = []
    hidden = Hidden(heard.append)
    for start in range(0, len(text), size):
        hidden(text[start : start + size])
    assert "".join(heard) == thought.answer
