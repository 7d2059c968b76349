"""The words or sentences of a text that can be left out one by one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llmcli.text import chunking

MOST = 64
"""Parts of a text: each costs a text of its own. Of a longer text neighbours are one part."""
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
"""Between white space; in writing without it (Chinese, Japanese, Thai, …) each character."""


@dataclass(frozen=True)
class Part:
    """A part of a text: ``text[start:end]``."""

    start: int
    end: int


def parts(text: str, *, by_word: bool) -> list[Part]:
    """Words, where they are few enough, else sentences; without ``by_word`` sentences alone."""
    words = [Part(*match.span()) for match in _WORD.finditer(text)]
    if by_word and len(words) <= MOST:
        return words
    found = list(_sentences(text)) or words
    return _joined(found if len(found) > 1 or not by_word else words)


def without(text: str, part: Part) -> str:
    """The text with a part left out, and the white space behind it."""
    return text[: part.start] + text[part.end :].lstrip()


def _sentences(text: str) -> Iterator[Part]:
    at = 0
    for sentence in chunking.sentences(text):
        bare = sentence.strip()
        start = text.find(bare, at)
        if bare and start >= 0:
            at = start + len(bare)
            yield Part(start, at)


def _joined(found: Sequence[Part]) -> list[Part]:
    """At most so many parts, of neighbours."""
    each = -(-len(found) // MOST)
    groups = [found[place : place + each] for place in range(0, len(found), max(each, 1))]
    return [Part(group[0].start, group[-1].end) for group in groups]
