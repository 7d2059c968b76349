"""A document beside a translation of it that somebody made: piece by piece, and what stands between them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llmcli.text import documents
from llmcli.text.checks import Pair, check
from llmcli.text.documents import gettext, subtitles
from llmcli.text.documents.segments import Document, Edit, Segment, splice
from llmcli.text.glossary import Term

GAP = 3.0
"""What it costs to leave a piece without a partner, where lengths that differ by a factor of e cost one."""


@dataclass(frozen=True)
class Found:
    """A fault, in which line of the translation (of the source, where there is none), and of which texts."""

    check: str
    message: str
    line: int
    source: str
    target: str


@dataclass
class Comparison:
    """How two documents are compared. ``segments``: how many pairs of pieces the last two had."""

    format: str
    source: str
    target: str
    keep: re.Pattern[str] | None = None
    terms: tuple[Term, ...] = ()
    segments: int = 0

    def faults(self, text: str, other: str) -> list[Found]:
        """What is wrong with a translation. Raises InputError where one of both is not of their format."""
        if self.format == "po":
            pairs = [(entry.text, entry.translation, entry.line) for entry in gettext.translations(other)]
            self.segments = len(pairs)
            return [found for one, another, line in pairs for found in self._pair(one, another, line, "plain")]
        first, second = self._read(text), self._read(other)
        found = [*self._structure(text, first, other, second)]
        one, another = first.segments, second.segments
        partners = [*_partners([len(s.text) for s in one], [len(s.text) for s in another])]
        self.segments = len(partners)
        for here, there in partners:
            if there is None and here is not None:
                line = _line(text, one[here])
                found.append(Found("missing", "a segment has no translation", line, one[here].text, ""))
            elif here is None and there is not None:
                line = _line(other, another[there])
                found.append(Found("added", "a segment is not in the source", line, "", another[there].text))
            elif here is not None and there is not None:
                line = _line(other, another[there])
                found += self._pair(one[here].text, another[there].text, line, one[here].syntax)
        return sorted(found, key=lambda fault: fault.line)

    def _read(self, text: str) -> Document:
        if self.format in ("srt", "vtt"):
            return subtitles.cues(text)
        return documents.read(text, format=self.format, target=self.target)

    def _pair(self, one: str, other: str, line: int, syntax: str) -> Iterator[Found]:
        pair = Pair(one, other, self.source, self.target, syntax, self.keep, self.terms)
        for fault in check(pair):
            yield Found(fault.check, fault.message, line, one, other)

    def _structure(self, text: str, first: Document, other: str, second: Document) -> Iterator[Found]:
        """Whether what stands around the pieces is the same: the first line that is not."""
        one, another = (_around(*both) for both in ((text, first), (other, second)))
        for here, there in zip([*one, None], [*another, None], strict=False):
            if here is None or there is None or here[0] != there[0]:
                at = there or here
                if at is not None or len(one) != len(another):
                    line = at[1] if at else 1
                    yield Found("structure", "what stands around the text is not that of the source", line,
                                here[0] if here else "", there[0] if there else "")  # fmt: skip
                return


def _around(text: str, document: Document) -> list[tuple[str, int]]:
    """The lines of what is no segment, blank ones aside, each with its number; segments are a mark in them."""
    edits = [
        Edit(edit.span, "\0" + "\n" * text.count("\n", edit.span.start, edit.span.end))
        for segment in document.segments if segment.within is None for edit in segment.edits("x")
    ]  # fmt: skip
    edits += [Edit(edit.span, "\1") for edit in document.fixed]
    lines = splice(text, edits).split("\n")
    shown = [(" ".join(line.split()), number) for number, line in enumerate(lines, 1)]
    return [(line, number) for line, number in shown if line and set(line) - {"\0", " ", ">"}]


def _line(text: str, segment: Segment) -> int:
    return text.count("\n", 0, segment.span.start) + 1


def _partners(one: Sequence[int], other: Sequence[int]) -> Iterator[tuple[int | None, int | None]]:
    """Pieces of both documents side by side, by their lengths; as many as there are of each: one by one.

    Method: dynamic programming over lengths, after Gale and Church, "A Program for Aligning Sentences in Bilingual
    Corpora" (1993).
    """
    if len(one) == len(other):
        yield from zip(range(len(one)), range(len(other)), strict=True)
        return
    from math import log

    costs = [[0.0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i in range(len(one) + 1):
        for j in range(len(other) + 1):
            ways = [costs[i - 1][j] + GAP] if i else []
            ways += [costs[i][j - 1] + GAP] if j else []
            if i and j:
                ways.append(costs[i - 1][j - 1] + abs(log((one[i - 1] + 4) / (other[j - 1] + 4))))
            costs[i][j] = min(ways, default=0.0)
    i, j = len(one), len(other)
    found: list[tuple[int | None, int | None]] = []
    while i or j:
        both = costs[i - 1][j - 1] + abs(log((one[i - 1] + 4) / (other[j - 1] + 4))) if i and j else float("inf")
        if both <= costs[i][j] + 1e-9:
            i, j = i - 1, j - 1
            found.append((i, j))
        elif i and costs[i - 1][j] + GAP <= costs[i][j] + 1e-9:
            i -= 1
            found.append((i, None))
        else:
            j -= 1
            found.append((None, j))
    yield from reversed(found)
