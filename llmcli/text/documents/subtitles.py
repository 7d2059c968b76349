"""SubRip and WebVTT: numbers, times and tags stay; a sentence over several cues is translated whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from llmcli.text.documents.segments import Document, Edit, Segment, Span, has_words, joined
from llmcli.text.paragraphs import UNSPACED

_TIMES = re.compile(r"[ \t]*(?:\d+:)?\d+:\d+[.,]\d+[ \t]*-->[ \t]*(?:\d+:)?\d+:\d+[.,]\d+.*")
_END = re.compile(r"[.!?…:。！？♪\])][\"'”’»)]*\s*$")
_SPEECH = re.compile(r"\s*(?:</?[^<>]*>|\{\\[^{}]*\})*(?:[-–—♪#*(\[]|>>)")
"""What begins a line of its own: another speaker, a song, a sound."""
TAG = re.compile(r"<[^<>\n]*>|\{\\[^{}\n]*\}")
APART = 6
"""The most cues of a sentence: a text without end marks is not one sentence."""


@dataclass(frozen=True)
class Line:
    """A line of a cue. ``cue`` counts the cues."""

    span: Span
    cue: int


def read(text: str, *, target: str) -> Document:
    """See :func:`llmcli.text.documents.read`."""
    return Document([_segment(text, group) for group in _sentences(text, list(_lines(text))) if _words(text, group)])


def cues(text: str) -> Document:
    """Each cue by itself, as translators see them."""
    groups: dict[int, list[Line]] = {}
    for line in _lines(text):
        groups.setdefault(line.cue, []).append(line)
    return Document([_segment(text, group) for group in groups.values()])


def _words(text: str, group: Sequence[Line]) -> bool:
    return has_words(TAG.sub("", "".join(text[line.span.start : line.span.end] for line in group)))


def _lines(text: str) -> Iterator[Line]:
    """The lines of all cues: those between a line of times and an empty one."""
    cue, inside = 0, False
    for match in re.finditer(r"([^\r\n]*)(\r\n|\n|\r|$)", text):
        line = match[1]
        if _TIMES.fullmatch(line):
            cue, inside = cue + 1, True
        elif not line.strip():
            inside = False
        elif inside:
            start = match.start() + len(line) - len(line.lstrip())
            yield Line(Span(start, match.start() + len(line.rstrip())), cue)


def _sentences(text: str, lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Lines that are one sentence, over the ends of cues too."""
    group: list[Line] = []
    for line in lines:
        shown = text[line.span.start : line.span.end]
        if group:
            before = TAG.sub("", text[group[-1].span.start : group[-1].span.end])
            new_cue = line.cue != group[-1].cue
            capital = TAG.sub("", shown)[:1].isupper() and before[-1:].isalnum() is False and before[-1:] != ","
            over = new_cue and (bool(_END.search(before)) or capital or line.cue - group[0].cue >= APART)
            if _SPEECH.match(shown) or over:
                yield group
                group = []
        group.append(line)
    if group:
        yield group


def _segment(text: str, group: Sequence[Line]) -> Segment:
    shown = [text[line.span.start : line.span.end] for line in group]

    def edits(translation: str) -> list[Edit]:
        parts = laid(translation, [len(TAG.sub("", line)) for line in shown])
        return [Edit(line.span, part) for line, part in zip(group, parts, strict=True)]

    return Segment(Span(group[0].span.start, group[-1].span.end), joined(shown), "html", edits)


def laid(translation: str, sizes: Sequence[int]) -> list[str]:
    """A text in as many parts as there were lines, each about as much of it as the line was; none is empty.

    Where there are fewer words than lines, each line has all of it.
    """
    units = _units(translation)
    if len(sizes) == 1:
        return [translation]
    if len(units) < len(sizes):
        return [translation] * len(sizes)
    lengths = [len(TAG.sub("", unit)) for unit in units]
    total, wanted, before = sum(lengths), sum(sizes) or 1, 0
    cuts, at, done = [], 0, 0
    for place, size in enumerate(sizes[:-1]):
        before += size
        aim = total * before / wanted
        least, most = at + 1, len(units) - (len(sizes) - 1 - place)
        best = min(range(least, most + 1), key=lambda cut: _miss(units, lengths, cut, at=at, done=done, aim=aim))
        cuts.append(best)
        done += sum(lengths[at:best])
        at = best
    bounds = [0, *cuts, len(units)]
    return ["".join(units[a:b]).strip() for a, b in pairwise(bounds)]


def _miss(units: Sequence[str], lengths: Sequence[int], cut: int, *, at: int, done: int, aim: float) -> float:
    """How far a cut is from where it is wanted; behind a comma or a full stop it may be a little farther."""
    mark = units[cut - 1].rstrip()[-1:] in ",;.!?:，。、"
    return abs(done + sum(lengths[at:cut]) - aim) - (4 if mark else 0)


def _units(text: str) -> list[str]:
    """Words with the white space behind them, characters in scripts without spaces; a tag is a part of its word."""
    units: list[str] = []
    for match in re.finditer(rf"(?:{TAG.pattern})|\s+|.", text, re.DOTALL):
        unit = match[0]
        tag = TAG.fullmatch(unit)
        ends = units and (units[-1][-1].isspace() or UNSPACED.match(units[-1][-1]))
        if not units or (ends and not unit.isspace() and not (tag and unit.startswith("</"))):
            units.append(unit)
        else:
            units[-1] += unit
    if len(units) > 1 and not TAG.sub("", units[-1]).strip():
        units[-2:] = ["".join(units[-2:])]
    return units
