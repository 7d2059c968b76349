"""The sentences of a document's running text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from llmcli.text import layout, markup
from llmcli.text.chunking import sentences as segment
from llmcli.text.paragraphs import UNSPACED, Kind, Paragraph, paragraphs

ALONE, ITEM_WORDS, LEAD_IN, UNENDED = 4, 5, 15, 12
"""Words of the shortest sentence that is a paragraph; of a list item; that ends with a colon; without an end mark."""
FEW, PART = 5, 0.15
"""Where prose has fewer sentences, and is a smaller part of the words, list items are what a document says."""

_NO_MARKS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
"""Thai, Lao, Burmese and Khmer need no mark at the end of a sentence."""


@dataclass(frozen=True)
class Sentences:
    """Sentences word for word, each once; ``by_line`` if they were lines of their own: a dialogue, a list."""

    texts: list[str]
    by_line: bool = False


@dataclass(frozen=True)
class Document:
    """A text taken apart: its paragraphs, and the lines to fall back on where there are none."""

    paragraphs: tuple[Paragraph, ...]
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """What there is to tell the language by."""
        return "\n".join(paragraph.text for paragraph in self.paragraphs) or "\n".join(self.lines)

    def sentences(self, language: str) -> Sentences:
        """The sentences of prose; else the list items and whatever else is a paragraph; else the lines."""
        split = [(paragraph, segment(paragraph.text, language)) for paragraph in self.paragraphs]
        for least in (0, UNENDED):
            prose = [text for paragraph, texts in split for text in _of_prose(paragraph, texts, unended=least)]
            if prose:
                break
        items = {
            text for paragraph, texts in split if paragraph.kind is Kind.ITEM for text in texts if _words(text) >= ALONE
        }
        if len(prose) >= FEW or (prose and _size(prose) >= PART * _size(items.union(prose))):
            spoken = sum(paragraph.kind is Kind.SPEECH for paragraph in self.paragraphs)
            return Sentences(_distinct(prose), by_line=spoken * 2 >= len(self.paragraphs))
        wanted = items.union(prose) if prose else None
        texts = [text for _, texts in split for text in texts if wanted is None or text in wanted]
        return Sentences(_distinct(texts or self.lines), by_line=True)


def read(text: str) -> Document:
    """Take a text apart: plain, Markdown, reStructuredText, HTML, a mail, a man page, a dialogue."""
    plain = markup.plain(text)
    lines = [line.strip() for line in plain.split("\n")]
    legible = [line for line in lines if re.search(r"\w", line)] or [line for line in lines if line]
    return Document(tuple(paragraphs(layout.running(plain))), tuple(legible))


def _of_prose(paragraph: Paragraph, texts: list[str], *, unended: int) -> list[str]:
    """The sentences of a paragraph that are prose: they end, are words, and are no title, notice or list row.

    ``unended``: words that make a sentence without an end mark; 0: none does.
    """
    if paragraph.kind is Kind.SPEECH:
        return texts
    if paragraph.kind is Kind.QUOTE:
        return []
    whole = texts[1:] if paragraph.part else texts
    least = ITEM_WORDS if paragraph.kind is Kind.ITEM else ALONE if len(texts) == paragraph.lines == 1 else 1
    return [
        text for text in whole
        if not (layout.is_capitals(text) or _is_title(text) or _is_code(text)) and _words(text) >= least
        and not (paragraph.kind is Kind.ITEM and text[0].islower()) and _ends(text, unended=unended)
    ]  # fmt: skip


def _ends(text: str, *, unended: int) -> bool:
    if text.endswith((":", "：")):
        return _words(text) >= LEAD_IN
    if layout.END.search(text) or _NO_MARKS.match(text[-1]):
        return True
    return 0 < unended <= _words(text)


def _words(text: str) -> int:
    """Words of a text; of scripts without spaces two characters a word."""
    return len(re.findall(r"[^\W\d_][\w'’-]*", UNSPACED.sub(" ", text))) + len(UNSPACED.findall(text)) // 2


def _size(texts: Iterable[str]) -> int:
    return sum(map(_words, texts))


def _is_title(text: str) -> bool:
    """Whether all longer words, two at least, are capitalized, and half of all, as in a title."""
    words = re.findall(r"[^\W\d_]+", text)
    longer = [word for word in words if len(word) > 3]
    capitals = sum(word[0].isupper() for word in words)
    return 1 < len(longer) < 12 and all(word[0].isupper() for word in longer) and capitals * 2 >= len(words)


def _is_code(text: str) -> bool:
    """Whether less than two thirds of what stands between spaces are words, as in synopses, commands and paths."""
    if UNSPACED.search(text):
        return False
    parts = text.split()
    words = sum(
        bool(re.fullmatch(r"[\"'“‘«(*_`]*[^\W\d_][\w'’-]*[\"'”’»)*_`]*[.,;:!?…]*[\"'”’»)*_`]*|\d[\d.,%]*", part))
        for part in parts
    )
    return words * 3 < len(parts) * 2


def _distinct(texts: Iterable[str]) -> list[str]:
    """Texts of other words than those before."""
    seen: dict[object, str] = {}
    for text in texts:
        seen.setdefault(frozenset(re.findall(r"\w+", text.casefold())) or text, text)
    return list(seen.values())
