"""Which sentences stand for a text."""

from __future__ import annotations

import pytest

from llmcli.text import ranking

CHATTER = [f"{''.join(chr(97 + (n * k) % 26) for k in (3, 5, 7, 11, 17))} stood {n}." for n in range(1, 25)]
CORE = [
    "The town council will close the old bridge to cars next spring.",
    "Rust was seen in two supports of the bridge, the council said.",
    "A new bridge for cars is planned by the town for 2030.",
]


def pick(sentences: list[str], most: int) -> list[str]:
    return [sentences[at] for at in ranking.pick(sentences, fits=lambda places: len(places) <= most)]


def test_what_sentences_share_counts_more_than_their_place():
    for text in (CHATTER + CORE, CHATTER[:12] + CORE + CHATTER[12:], CORE + CHATTER):
        assert len(set(pick(text, 3)) & set(CORE)) > 1


def test_of_equals_the_first_in_the_order_of_the_text():
    plain = ["One apple fell.", "Two pears rose.", "Some plums slept.", "Few figs sang."]
    assert pick(plain, 2) == plain[:2]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("The council approved the new budget on Monday.", "On Monday the council approved the new budget!", True),
        ("The council approved the new budget on Monday.", "The council approved the new budget on Monday, too.", True),
        ("The rate was 4 in 2019.", "The rate was 7 in 2023.", False),
        ("今天天气很好，我们去公园。", "今天天气很好，我们去公园！", True),
        ("今天天气很好，我们去公园。", "明天下雨，我们在家里喝茶。", False),
    ],
)
def test_near_equals_are_picked_once(first: str, second: str, same: bool):
    assert (len(pick([first, second], 5)) == 1) is same


def test_one_at_least_and_none_of_none():
    assert ranking.pick(["Tea."], fits=lambda places: False) == [0]
    assert ranking.pick([], fits=lambda places: True) == []
