"""Translations that are remembered can be read again."""

from __future__ import annotations

import pytest

from llmcli.text import memory
from llmcli.text.documents import gettext


@pytest.mark.parametrize(
    ("text", "kept"), [("a <b> & c", True), ("two\nlines\tand", True), ("a \b", False), ("\x00", False)]
)
def test_what_is_remembered_is_read_again(text: str, kept: bool):
    before, after = memory.Memory("en", "de"), memory.Memory("en", "de")
    before.add(text, text.upper(), source="en")
    memory.read_tmx(memory.tmx(before, ""), after)
    assert after.find(text) == (text.upper() if kept else None)
    memory.read_tsv(memory.tsv_lines(before), again := memory.Memory("en", "de"))
    assert again.find(text) == after.find(text)


@pytest.mark.parametrize(
    ("written", "said"), [(r"\x41", "A"), (r"\xfffffffff", "\xfffffffff"), (r"\101", "A"), (r"\x", "x")]
)
def test_escapes_of_a_catalogue(written: str, said: str):
    assert gettext.unescaped(written) == said
