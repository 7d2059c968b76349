"""Tokens: which bytes each stands for, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmcli.inspecting import pieces
from llmcli.text import painted
from tests.support import tiny

TEXTS = {
    "words": "Unbelievable! The cat sleeps.",
    "wide": "自注意力 and 力",
    "emoji": "a 👩‍💻 b 🇩🇪",
    "right to left": "שלום, مرحبا 12",
    "white space": "  two  spaces\n\ttab ",
    "accents": "e\u0301té naïve Straße",
    "a control token": "a <bos> b </s> [SEP]",
    "one letter": "x",
}


def encoder(name: str, folder: Path) -> Any:
    from transformers import AutoTokenizer

    from llmcli.pipelines.tokens import Encoder

    if name == "bytes":
        return Encoder(tiny.byte_tokenizer())
    tiny.BUILDERS[name](folder)
    return Encoder(AutoTokenizer.from_pretrained(folder))


@pytest.mark.parametrize("name", ["bytes", "bert", "roberta", "t5", "marian", "nllb"])
def test_places_are_those_of_the_bytes(name: str, tmp_path: Path):
    one = encoder(name, tmp_path)
    for text in TEXTS.values():
        raw, found = text.encode(), pieces.tokens(one, text)
        assert [token.id for token in found] == one.tokens(one.inert(text, same_length=True),
                                                           split_special_tokens=True)["input_ids"]  # fmt: skip
        placed = [token for token in found if token.begin is not None]
        for token in placed:
            assert 0 <= token.begin <= token.end <= len(raw)
            assert 0 <= token.first <= token.last <= len(text)
            assert raw[token.begin : token.end] in text[token.first : token.last].encode()
        assert [token.begin for token in placed] == sorted(token.begin for token in placed)
        if name in ("bytes", "roberta"):  # nothing of the text is changed or lost
            assert b"".join(token.raw for token in found if not token.special) == raw or "control" in text
            covered = b"".join(raw[token.begin : token.end] for token in placed)
            assert covered == raw


def test_a_character_that_is_split_over_tokens(tmp_path: Path):
    found = pieces.tokens(encoder("bytes", tmp_path), "é自")
    assert [(token.shown, token.begin, token.end, token.first, token.last) for token in found] == [
        ("\\xc3", 0, 1, 0, 1), ("\\xa9", 1, 2, 0, 1),
        ("\\xe8", 2, 3, 1, 2), ("\\x87", 3, 4, 1, 2), ("\\xaa", 4, 5, 1, 2),
    ]  # fmt: skip


class Bytes:
    """SentencePiece's way to spell bytes."""

    all_special_ids = (0,)
    unk_token_id = None

    def convert_ids_to_tokens(self, number: int) -> str:
        return ["<s>", "▁", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "ab", "▁x"][number]


def test_bytes_of_sentencepiece():
    found = pieces.placed(Bytes(), [0, 1, 2, 3, 4, 5, 6, 7], "😀ab x")
    assert [token.raw for token in found[1:]] == [b" ", b"\xf0", b"\x9f", b"\x98", b"\x80", b"ab", b" x"]
    assert [(token.begin, token.end) for token in found] == [
        (None, None), (0, 0), (0, 1), (1, 2), (2, 3), (3, 4), (4, 6), (6, 8)]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\nb", "a⏎b"), ("\t", "⇥"), ("\x1b[31m", "\\x1b[31m"), ("\u202e", "\\u202e"), ("力", "力")],
)
def test_nothing_commands_a_terminal(text: str, shown: str):
    assert painted.visible(text) == shown


def test_colours_are_left_out_where_nobody_wants_them(monkeypatch: pytest.MonkeyPatch):
    spans = [painted.Span("a", painted.nth(0)), painted.Span("b")]
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert painted.ansi(spans) == "\x1b[38;2;0;0;0;48;2;207;226;243ma\x1b[0mb"
    monkeypatch.setenv("NO_COLOR", "1")
    assert painted.ansi(spans) == "ab"
    assert painted.isolated("שלום") == "\u2068שלום\u2069"
    assert painted.isolated("hello") == "hello"
