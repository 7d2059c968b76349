"""Lines to paragraphs: what was wrapped at a width is joined, list items and what people say stay apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from llmcli.text.layout import BREAK, END, ITEM, blocks, indent

UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")
"""Scripts without spaces between words: Thai, Lao, Burmese, Khmer, Chinese, Japanese."""
_SPEAKER = re.compile(r"\s*(#?\w[\w.' -]{0,24}#?) ?(?::\s+|：\s*)\S")
_QUOTE = re.compile(r"^\s{0,3}(?:>\s?)+")
_BULLET = re.compile(r"\s*[-*+•◦▪‣–]\s")
_GREETING = re.compile(r"\S+(?: \S+){0,4}[,，]")
_IMAGE = re.compile(r"!\[[^\[\]]*\](?:\([^()]*\)|\[[^\[\]]*\])")
_LINK = re.compile(
    r"\[([^\[\]]*)\]\((?:[^()\s]|\([^()\s]*\))+(?:\s+\"[^\"]*\")?\)|(?<!\w)\[([^\[\]]+)\]\[[^\[\]]*\]|`([^`<>]+?)\s*<[^<>`]+>`__?"
)
WRAPPED, WRAPPED_UNSPACED, UNWRAPPED = 40, 12, 200
"""Widths, in characters: of the narrowest wrapped text, in scripts without spaces too, and what no wrapping leaves."""
SHORT = 3
"""Words of the shortest line that goes on in small letters: shorter ones are a list."""
HYPHENS = "-\u2010\u00ad"
FULL = 0.8
"""A line was wrapped if the next one's first word would have taken it past so much of the width."""


class Kind(Enum):
    """What a paragraph is."""

    PROSE = "prose"
    ITEM = "item"
    QUOTE = "quote"
    SPEECH = "speech"


@dataclass(frozen=True)
class Paragraph:
    """A paragraph on one line; links are their text, pictures are left out.

    ``lines`` it was, and whether it is but a ``part`` of a sentence: the definition of a term, what follows a formula.
    """

    text: str
    kind: Kind
    lines: int
    part: bool = False


def paragraphs(lines: Sequence[str]) -> list[Paragraph]:
    """The paragraphs of lines; empty lines, list markers, quotation marks of mails and speakers' names part them."""
    rows = list(lines)
    spoken = _is_dialogue(rows)
    words = _words(rows)
    made: list[Paragraph] = []
    last = 0
    for block in blocks(rows):
        for group in _groups(rows[block.start : block.stop], spoken=spoken):
            text = _without_links(_joined(group, words)).strip()
            open_ended = bool(made) and not END.search(made[-1].text) and not _GREETING.fullmatch(made[-1].text)
            goes_on = open_ended and BREAK not in "".join(rows[last : block.start])
            if re.search(r"\w", text):
                made.append(Paragraph(text, _kind(group[0], spoken=spoken), len(group), goes_on and text[0].islower()))
            last = block.stop
    return made


def _is_dialogue(rows: Sequence[str]) -> bool:
    """Whether lines begin with the name of who speaks: at least half of them, or with names that come again."""
    rows = [row for row in rows if row.strip()]
    names = Counter(match[1] for row in rows if (match := _SPEAKER.match(row)))
    again = sum(count for count in names.values() if count > 1)
    return names.total() > 1 and (names.total() * 2 >= len(rows) or (again > 2 and again * 5 >= len(rows)))


def _kind(line: str, *, spoken: bool) -> Kind:
    if _QUOTE.match(line):
        return Kind.QUOTE
    if spoken and _SPEAKER.match(line):
        return Kind.SPEECH
    return Kind.ITEM if ITEM.match(line) else Kind.PROSE


def _groups(rows: list[str], *, spoken: bool) -> list[list[str]]:
    width = max(map(len, rows))
    groups = [[rows[0]]]
    for line, after in pairwise(rows):
        if (spoken and _SPEAKER.match(after)) or not _goes_on(groups[-1][0], line, after, width=width):
            groups.append([])
        groups[-1].append(after)
    return groups


def _goes_on(first: str, line: str, after: str, *, width: int) -> bool:
    """Whether ``after`` goes on with the paragraph that begins with ``first``, ``line`` being its last so far."""
    unspaced = UNSPACED.match(after.lstrip())
    word = 1 if unspaced else len(after.split(maxsplit=1)[0])
    wrapped = (WRAPPED_UNSPACED if unspaced else WRAPPED) <= width <= UNWRAPPED
    full = wrapped and len(line) + 1 + word > FULL * width
    marker = ITEM.match(first)
    if bool(_QUOTE.match(line)) != bool(_QUOTE.match(after)) or _BULLET.match(after):
        return False
    if ITEM.match(after) and (marker or not full or END.search(line) or line.endswith(":")):
        return False
    if marker and indent(after) >= marker.end() > indent(first):
        return True
    lower = after.lstrip()[:1].islower() and not END.search(line) and not line.endswith(":")
    level = len(line.split()) >= SHORT and abs(indent(after) - indent(line)) < 3
    return full or (lower and (level or line[-1] in HYPHENS))


def _words(rows: Sequence[str]) -> frozenset[str]:
    """The words of a text that has words divided at the ends of lines."""
    if not any(re.search(r"[^\W\d_]-$", row) for row in rows):
        return frozenset()
    whole = re.sub(r"[^\W\d_]+-\n\s*[^\W\d_]+", "", "\n".join(rows).lower())
    return frozenset(re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", whole))


def _joined(group: Sequence[str], words: frozenset[str]) -> str:
    marker = ITEM.match(group[0])
    pieces = [line[marker.end() :] if marker and not at else line for at, line in enumerate(group)]
    text = ""
    for piece in (" ".join(_QUOTE.sub("", piece).split()) for piece in pieces):
        text = _together(text, piece, words) if text and piece else text + piece
    return text


def _together(text: str, piece: str, words: frozenset[str]) -> str:
    """Two lines of a paragraph. A hyphen at the end of the first goes where it divided a word."""
    if text[-1] in HYPHENS[1:] and text[-2:-1].isalpha():
        return text[:-1] + piece
    left, right = re.search(r"([^\W\d_]+)-$", text[-40:]), re.match(r"[^\W\d_]+", piece)
    if left and right and right[0].islower():
        one, other = left[1].lower(), right[0].lower()
        compound = one + other not in words and (f"{one}-{other}" in words or {one, other} <= words)
        return (text if compound else text[:-1]) + piece
    between = "" if UNSPACED.match(text[-1]) and UNSPACED.match(piece) else " "
    return text + between + piece


def _without_links(text: str) -> str:
    return _LINK.sub(lambda link: link[1] or link[2] or link[3] or "", _IMAGE.sub("", text))
