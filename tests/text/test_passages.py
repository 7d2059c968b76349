"""Which passages of a text are read for a question."""

from __future__ import annotations

import pytest

from llmcli.text.passages import likeliest

TEXTS = ["The rain fell on the roof.", "The bridge was opened in 1932.", "The cat sat on the roof all day.",
         "A cat may look at a king.", "The king opened the bridges."]  # fmt: skip


@pytest.mark.parametrize(
    ("question", "most", "places"),
    [
        ("When was the bridge opened?", 1, [1]),
        ("When was the BRIDGE opened?", 2, [1, 4]),
        ("Did a cat look?", 2, [2, 3]),
        ("the", 2, [0, 1, 2, 3, 4]),  # a word of nearly all tells nothing
        ("Quando?", 2, [0, 1, 2, 3, 4]),
        ("", 2, [0, 1, 2, 3, 4]),
        ("Did a cat look?", 5, [0, 1, 2, 3, 4]),
    ],
)
def test_those_that_share_its_words(question: str, most: int, places: list[int]):
    assert likeliest(question, TEXTS, most=most) == places


def test_scripts_without_spaces():
    texts = ["今天下雨了。", "这座桥于一九三二年建成。", "猫在屋顶上。", "国王看着猫。"]
    assert likeliest("桥是什么时候建成的？", texts, most=1) == [1]
