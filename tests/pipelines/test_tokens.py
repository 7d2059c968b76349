"""Where generated tokens become text."""

from __future__ import annotations

import pytest

from llmcli.pipelines.base import HeadModel
from llmcli.pipelines.tokens import Encoder
from llmcli.text import chunking
from tests.support import tiny


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("日本".encode(), "日本"),
        ("日本".encode()[:-1], "日"),
        ("日本".encode()[:-2], "日"),
        ("ok 🙂".encode()[:-1], "ok "),
        ("🙂".encode()[:-3], ""),
        (b"a\xffb", "a�b"),
        ("a�".encode(), "a�"),
        ("a �".encode(), "a �"),
        (b"", ""),
    ],
)
def test_a_character_cut_at_the_end_is_dropped(raw: bytes, text: str):
    tokenizer = tiny.byte_tokenizer()
    ids = [tokenizer.convert_tokens_to_ids(piece) for piece in (BYTES[byte] for byte in raw)]
    assert Encoder(tokenizer).decode(ids) == text


def test_a_long_text_is_counted_and_cut_in_parts(monkeypatch):
    tokenizer = tiny.byte_tokenizer()
    lengths: list[int] = []
    model = HeadModel(None, Encoder(tokenizer), window=1, batch_size=1)
    tokens = model.encoder.tokens
    monkeypatch.setattr(
        model.encoder, "tokens", lambda text, **options: lengths.append(len(text)) or tokens(text, **options)
    )
    text = "Tea is hot. " * 100
    assert (model.count(text), model.truncate(text, 30)) == (1200, text[:30])
    monkeypatch.setattr(chunking, "PART", 50)
    lengths.clear()
    assert (model.count(text), model.truncate(text, 30), model.truncate(text, 5000)) == (1200, text[:30], text)
    assert max(lengths[:25]) <= 50


def _bytes() -> dict[int, str]:
    """What byte-level vocabularies write for each byte: itself where it can be printed, else a letter from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = (byte for byte in range(256) if byte not in plain)
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + place) for place, byte in enumerate(others)}


BYTES = _bytes()
