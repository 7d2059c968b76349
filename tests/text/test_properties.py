"""What holds for any text."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcli.text import chunking, code_blocks, markup, prose, ranking
from tests.support import fuzz

ANY = st.text(max_size=300)
PIECES = st.sampled_from(
    ["Tea is hot. ", "a", " ", "  ", "\n", "\n\n", "\t", "\f", "# ", "- ", "1. ", "> ", "| ", "```", "~~~", "===\n",
     "---\n", "<p>", "</p>", "<b", "<!--", "-->", "<script>", "</script>", "&amp;", "&", "[a](b)", "![", "](", "`",
     "::\n", ".. x", "Key: value\n", "From: me\n", "#Person1#: ", "…", "。", "今天", "สวัสดี", "ab-\n", "\u00ad\n",
     "\x08", "\x1b[1m", "\r\n", "\ufeff", "....", "LS(1)   x   LS(1)\n", "Copyright 2019,\n", "\x00"]
)  # fmt: skip
DOCUMENTS = st.lists(PIECES, max_size=40).map("".join)
bounded = fuzz.bounded(150)


@bounded
@given(st.one_of(ANY, DOCUMENTS), st.sampled_from(["en", "de", "zh", "th", "ar", "xx"]))
def test_every_sentence_is_of_the_text(text: str, language: str):
    """Its characters, white space apart, stand in the text in the same order."""
    found = prose.read(text).sentences(language)
    for sentence in found.texts:
        assert any(_in_order(sentence, source) for source in (text, html.unescape(text), html.unescape(text + ";")))
    assert all(sentence.strip() for sentence in found.texts)
    assert bool(found.texts) == bool(markup.plain(text).strip())


def _in_order(sentence: str, source: str) -> bool:
    left = iter("".join(source.split()))
    return all(character in left for character in "".join(sentence.split()))


@bounded
@given(st.lists(st.sampled_from(["tea", "Hot", "water", "is", "good.", "Leaves", "fall", "down."]), max_size=60),
       st.sampled_from([" ", "\n", "\n\n"]))  # fmt: skip
def test_plain_words_come_out_as_they_are(words: list[str], between: str):
    text = between.join(words)
    for sentence in prose.read(text).sentences("en").texts:
        assert sentence in " ".join(text.split())


@bounded
@given(st.one_of(ANY, DOCUMENTS), st.integers(min_value=1, max_value=40))
def test_pieces_joined_are_the_text(text: str, budget: int):
    pieces = chunking.chunks(text, budget=budget, count=len)
    assert "".join(pieces) == text
    assert all(len(piece) <= budget for piece in pieces)


@bounded
@given(st.one_of(ANY, DOCUMENTS), st.integers(min_value=2, max_value=40))
def test_parts_joined_are_the_text(text: str, length: int):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(chunking, "PART", length)
        parts = [*chunking.parts(text)]
    assert "".join(parts) == text
    assert all(len(part) <= length for part in parts)


@bounded
@given(st.one_of(ANY, DOCUMENTS))
def test_the_code_of_any_answer(answer: str):
    code, named = code_blocks.extract(answer, lang="python")
    assert code == code.rstrip()
    assert not named or named in answer.lower()


@bounded
@given(st.lists(st.one_of(ANY, DOCUMENTS), max_size=12), st.integers(min_value=1, max_value=5))
def test_any_sentences_are_ranked(sentences: list[str], most: int):
    picked = ranking.pick(sentences, fits=lambda places: len(places) <= most)
    assert picked == sorted(set(picked))
    assert len(picked) <= most
    assert bool(picked) == bool(sentences)


def test_long_lines_take_time_in_proportion():
    """Sentences of one long line are those of its parts."""
    text = "Tea is hot. Leaves are green! " * 2000
    assert chunking.sentences(text) == ["Tea is hot.", "Leaves are green!"] * 2000


@pytest.mark.parametrize("text", ["", " ", "\n\n"])
def test_no_sentence_in_nothing(text: str):
    assert chunking.sentences(text) == []
