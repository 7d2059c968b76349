"""--explain: what the score loses without a word or a sentence."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import pytest

from llmcli.text import parts


def explanation(out: str) -> dict[str, float]:
    return {part["text"]: round(part["effect"], 3) for part in json.loads(out)["explanation"]["parts"]}


def test_the_word_that_decides_has_the_effect(cli, fake):
    done = cli("sentiment", "--explain", "--json", "a good old day")
    assert explanation(done.out) == {"a": 0.0, "good": 0.896, "old": 0.0, "day": 0.0}
    assert json.loads(done.out)["label"] == "positive"
    assert "occlusion" in done.err
    texts = [prompt.row for prompt in fake.prompts]
    assert sum("a old day" in text for text in texts) == 1


def test_tokens_are_of_all_that_was_read(cli, fake):
    one, whole = (json.loads(cli("sentiment", "--json", "--cost", *options, "a good day").out)
                  for options in ([], ["--explain"]))  # fmt: skip
    assert whole["input_tokens"] == whole["cost"]["input_tokens"] > 3 * one["input_tokens"]


def test_text_mode_names_the_foremost(cli, fake):
    assert cli("sentiment", "--explain", "a good day").out == "positive\t0.9863\tgood=+0.8960\n"


def test_a_text_of_one_word_has_no_parts(cli, fake):
    assert explanation(cli("sentiment", "--explain", "--json", "good").out) == {}


@pytest.mark.parametrize("options", [["--threshold", "0.999"], ["--all-scores"], []])
def test_what_is_shown_changes_no_effect(cli, fake, options: list[str]):
    out = cli("sentiment", "--explain", "--json", "a good day", *options).out
    assert explanation(out)["good"] == 0.896
    assert ("scores" in json.loads(out)) == (options == ["--all-scores"])


def test_rows_are_explained_each(cli, fake, tmp_path: Path):
    rows = '{"text": "so good"}\n{"text": ""}\n{"text": "very bad"}\n'
    done = cli("classify", "--labels", "x,y", "--explain", "--jsonl", stdin=rows)
    first, second, third = done.out.splitlines()
    assert explanation(first)["good"] > explanation(first)["so"] == 0
    assert json.loads(second)["status"] == "error"
    assert set(explanation(third)) == {"very", "bad"}
    table = cli("sentiment", "--explain", "--csv", stdin="text\nso good\n").out
    assert table.splitlines()[0].split(",")[:4] == ["text", "label", "score", "explanation"]


def test_an_answer_hangs_on_sentences(cli, fake):
    context = "Hello there. It rains. Good bye."
    done = cli("answer", "who?", "--explain", "--json", stdin=context)
    found = explanation(done.out)
    assert list(found) == ["Hello there.", "It rains.", "Good bye."]
    assert found["Hello there."] == pytest.approx(0.8)
    assert found["It rains."] == 0
    refused = cli("answer", "who?", "--free", "--explain", stdin=context)
    assert (refused.code, refused.out) == (2, "")
    assert "leave out --free" in refused.err


def test_a_picture(cli, fake, tmp_path: Path):
    target = tmp_path / "why.svg"
    assert cli("sentiment", "--explain", "--lines", "-o", str(target), stdin="a good day\nso <bad> & sad\n").code == 0
    text = "".join(ElementTree.fromstring(target.read_text()).itertext())
    assert "positive 0.9863" in text
    assert "<bad>" in text
    assert cli("answer", "who?", "--explain", "-o", str(target), stdin="Hello there. It rains.").code == 0
    head = next(ElementTree.fromstring(target.read_text()).iter("{http://www.w3.org/2000/svg}text"))
    assert head.text == "Hello"
    assert cli("sentiment", "--explain", "good", "-o", str(target)).code == 0
    assert ">good</text>" in target.read_text()
    plain = tmp_path / "plain.svg"
    assert cli("sentiment", "a good day", "-o", str(plain)).code == 0
    assert plain.read_text() == "positive\t0.9863\n"
    assert cli("sentiment", "-i", str(target), "--explain", "-o", str(target)).code == 2
    assert cli("sentiment", "x", "--json", "--explain", "-o", str(target)).code == 2


CASES = {
    "words": ("a b, c", True, ["a", "b,", "c"]),
    "Chinese": ("服务很好 ok", True, ["服", "务", "很", "好", "ok"]),
    "sentences": ("A cat. A dog! Why?", False, ["A cat.", "A dog!", "Why?"]),
    "many words": ("word " * 65 + ". End.", True, [("word " * 65 + ".").strip(), "End."]),
    "blank": (" \n", True, []),
}


@pytest.mark.parametrize(("text", "by_word", "expected"), CASES.values(), ids=CASES)
def test_parts(text: str, by_word: bool, expected: list[str]):
    found = parts.parts(text, by_word=by_word)
    assert [text[part.start : part.end] for part in found] == expected


def test_a_long_text_has_few_parts():
    text = " ".join(f"This is sentence {number}." for number in range(1000))
    found = parts.parts(text, by_word=True)
    assert len(found) <= parts.MOST
    assert (found[0].start, found[-1].end) == (0, len(text))
    assert all(one.end < other.start for one, other in pairwise(found))
