"""Texts without the letters of a script: which tokens have them, and that no text gets one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from llmcli.config.schemas import Generation
from llmcli.pipelines import scripts
from llmcli.pipelines.tokens import Encoder
from llmcli.text.prompts import Rendered
from tests.pipelines.test_tokens import BYTES
from tests.support import families, tiny

CHINESE, JAPANESE, CYRILLIC = ("Hani",), ("Hani", "Hira", "Kana"), ("Cyrl",)


class Vocabulary:
    """What is asked of a tokenizer."""

    def __init__(self, tokens: list[str], *, by_bytes: bool) -> None:
        self._tokens, self._by_bytes = tokens, by_bytes

    def get_vocab(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self._tokens)}

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return "".join(tokens).replace("Ġ", " ") if self._by_bytes else "".join(tokens)


def by_bytes(raw: bytes) -> str:
    return "".join(BYTES[byte] for byte in raw)


@pytest.mark.parametrize(
    ("text", "written", "has"),
    [
        ("好", CHINESE, True), (" the好", CHINESE, True), ("繁", CHINESE, True), ("の", CHINESE, False),
        ("の", JAPANESE, True), ("カ", JAPANESE, True), ("ж", CYRILLIC, True), ("ж", CHINESE, False),
        ("the", CHINESE, False), ("é", CYRILLIC, False), ("—", CHINESE, False), ("…", JAPANESE, False),
        ("“", CYRILLIC, False), ("😀", CHINESE, False), ("。", CHINESE, False), (" 2016", CHINESE, False),
        ("한", ("Hang",), True), ("ไทย", ("Thai",), True), ("α", ("Grek",), True), ("א", ("Hebr",), True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["bytes", "pieces"])
def test_tokens_with_a_letter(form: str, text: str, written: tuple[str, ...], has: bool):
    token = by_bytes(text.encode()) if form == "bytes" else text.replace(" ", "▁")
    assert scripts.tokens(Vocabulary([token], by_bytes=form == "bytes"), written) == ([0] if has else [])


@pytest.mark.parametrize(
    ("raw", "written", "has"),
    [
        ("好".encode()[:2], CHINESE, True), ("好".encode()[:1], CHINESE, True),
        (b" " + "好".encode()[:1], CHINESE, True),
        ("ж".encode()[:1], CYRILLIC, True), ("の".encode()[:2], JAPANESE, True),
        ("…".encode()[:1], CHINESE, False), ("…".encode()[:2], CHINESE, False), ("é".encode()[:1], CYRILLIC, False),
        ("😀".encode()[:2], CHINESE, False), ("好".encode()[2:], CHINESE, False), (b"\xff", CHINESE, False),
    ],
)  # fmt: skip
def test_tokens_that_begin_a_letter(raw: bytes, written: tuple[str, ...], has: bool):
    assert scripts.tokens(Vocabulary([by_bytes(raw)], by_bytes=True), written) == ([0] if has else [])


@pytest.mark.parametrize(("token", "has"), [("<0xE5>", True), ("<0xE2>", False), ("<0x41>", False), ("<pad>", False)])
def test_bytes_of_sentencepiece(token: str, has: bool):
    assert bool(scripts.tokens(Vocabulary([token], by_bytes=False), CHINESE)) == has


LETTERS = ("Latn",)
"""Of which a vocabulary of bytes has many, so that leaving them out changes every text."""
SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {}, "beams": {"num_beams": 3}, "drawn": {"temperature": 1.5, "seed": 4},
    "penalty": {"repetition_penalty": 1.3}, "top-p": {"temperature": 1.5, "top_p": 0.9, "seed": 4},
}  # fmt: skip


def has_letters(text: str) -> bool:
    """In ASCII: of two bytes of a random model may come any character."""
    return re.search("[A-Za-z]", text) is not None


def causal(name: str, **options: Any) -> Any:
    from llmcli.pipelines.causal import CausalModel

    return CausalModel(families.build(name), Encoder(tiny.byte_tokenizer()), window=256, **options)


@pytest.mark.parametrize("plain", [False, True], ids=["shortcuts", "plain"])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_no_text_has_one(settings: dict[str, Any], plain: bool):
    """Rows with and without in one batch: each is as it is alone."""
    model, asked = causal("llama", plain=plain), Generation(max_new_tokens=12, **settings)
    rows = [Rendered(prefix="Some examples.\n", row=text, without=without)
            for text in ("a good day", "tea", "h") for without in ((), LETTERS)]  # fmt: skip
    made = [one[0].text for one in model.complete(rows, asked)]
    assert made == [model.complete([row], asked)[0][0].text for row in rows]
    assert any(map(has_letters, made[::2]))
    assert not any(map(has_letters, made[1::2]))


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2"])
def test_texts_are_those_of_transformers(name: str, beams: int):
    from tests.pipelines.test_families import generated

    tokens = scripts.tokens(tiny.byte_tokenizer(), LETTERS)
    expected = [generated(families.build(name), text, max_new_tokens=8, num_beams=beams, suppress_tokens=tokens)
                for text in ("a good day", "tea")]  # fmt: skip
    rows = [Rendered(row=text, without=LETTERS) for text in ("a good day", "tea")]
    made = causal(name).complete(rows, Generation(max_new_tokens=8, num_beams=beams))
    assert [one[0].text for one in made] == [text for text, _ in expected]
    assert [one[0].score for one in made] == pytest.approx([score for _, score in expected], abs=1e-4)


def test_a_checkpoints_own_list_holds_as_well():
    model = causal("llama")
    own = scripts.tokens(tiny.byte_tokenizer(), LETTERS)
    model.model.generation_config.suppress_tokens = [-1, *own, 10_000]  # of which the model has no scores: ignored
    for beams in (1, 3):
        row = Rendered(row="a good day", without=CYRILLIC)
        (made,) = model.complete([row], Generation(max_new_tokens=12, num_beams=beams))[0]
        assert made.text
        assert not has_letters(made.text)


@pytest.mark.parametrize("beams", [1, 2])
def test_encoder_decoders(tmp_path: Path, beams: int):
    """A vocabulary of pieces; rows with and without in one call."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    from llmcli.pipelines.seq2seq import Seq2SeqModel

    tiny.t5(tmp_path)
    model = Seq2SeqModel(AutoModelForSeq2SeqLM.from_pretrained(tmp_path),
                         Encoder(AutoTokenizer.from_pretrained(tmp_path)), window=96)  # fmt: skip
    rows = [Rendered(row=text, without=without) for text in ("a good day", "the sea") for without in ((), LETTERS)]
    asked = Generation(max_new_tokens=12, num_beams=beams)
    made = [one[0].text for one in model.complete(rows, asked)]
    assert made == [model.complete([row], asked)[0][0].text for row in rows]
    assert any(map(has_letters, made[::2]))
    assert not any(map(has_letters, made[1::2]))
