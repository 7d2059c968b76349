"""Lines to sentences, with the marks that stand in them: none is cut in two."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from llmcli.text import chunking
from llmcli.text.documents.segments import Span
from llmcli.text.inline import Sentence
from llmcli.text.protected import Kind, Mark, marks

_STAND_IN = "thing"
"""What stands for a noun where sentences are told apart."""


def alone(text: str, *, syntax: str, keep: re.Pattern[str] | None = None) -> Sentence:
    """A text as one sentence."""
    return _peeled(text, Span(0, len(text)), marks(text, syntax=syntax, keep=keep), syntax)


def sentences(text: str, *, syntax: str, language: str, keep: re.Pattern[str] | None = None) -> list[Sentence]:
    """The sentences of a line. Marks around a sentence as a whole stand beside it; none is cut in two."""
    if len(text) > chunking.AT_ONCE:
        pieces = chunking.pieces_of(text)
        return [one for piece in pieces for one in sentences(piece, syntax=syntax, language=language, keep=keep)]
    found = marks(text, syntax=syntax, keep=keep)
    around = _peeled(text, Span(0, len(text)), found, syntax)
    if not around.before and not around.after:
        return [_peeled(text, span, found, syntax) for span in _spans(text, found, language)]
    inner = sentences(around.text, syntax=syntax, language=language, keep=keep)
    if not inner or len(around.text) == len(text):
        return [around]
    inner[0] = replace(inner[0], before=around.before + inner[0].before)
    inner[-1] = replace(inner[-1], after=inner[-1].after + around.after)
    return inner


def _spans(text: str, found: Sequence[Mark], language: str) -> Iterator[Span]:
    """Where sentences begin and end: by their words alone, and never within what belongs together."""
    visible: list[str] = []
    places: list[int] = []
    at = 0
    for mark in [*found, None]:
        end = mark.span.start if mark else len(text)
        visible.append(text[at:end])
        places += range(at, end)
        if mark is None:
            break
        if mark.kind is Kind.NOUN:
            visible.append(_STAND_IN)
            places += [mark.span.start] * len(_STAND_IN)
        at = mark.span.end
    shown = "".join(visible)
    cuts, begin = [0], 0
    for sentence in chunking.sentences(shown, language):
        begin = shown.find(sentence, begin)
        if begin > 0:
            cuts.append(places[begin])
        begin += len(sentence)
    bounds = [_before_openers(cut, found) for cut in cuts if not _inside(cut, found)]
    for start, end in zip(bounds, [*bounds[1:], len(text)], strict=True):
        if text[start:end].strip():
            yield Span(start, end)


def _before_openers(cut: int, found: Sequence[Mark]) -> int:
    """A sentence begins before the marks that open around its first word."""
    for mark in reversed(found):
        if mark.span.end == cut and mark.kind is Kind.OPEN:
            cut = mark.span.start
    return cut


def _inside(cut: int, found: Sequence[Mark]) -> bool:
    """Whether a cut parts what a pair of marks is around."""
    opened = _before_openers(cut, found)
    return any(
        mark.pair >= 0 and mark.kind is Kind.OPEN and mark.span.end <= opened < found[mark.pair].span.start
        for mark in found
    )


def _peeled(text: str, span: Span, found: Sequence[Mark], syntax: str) -> Sentence:
    """A sentence without the marks and blanks at its ends: asides, and pairs around all of it."""
    inside = [mark for mark in found if span.holds(mark.span)]
    start, end = span.start, span.end
    changed = True
    while changed:
        changed = False
        start += len(text[start:end]) - len(text[start:end].lstrip())
        end -= len(text[start:end]) - len(text[start:end].rstrip())
        first = next((mark for mark in inside if mark.span.start == start), None)
        last = next((mark for mark in inside if mark.span.end == end), None)
        if first and _loose(first, inside, found):
            start, changed = first.span.end, True
        elif last and _loose(last, inside, found):
            end, changed = last.span.start, True
        elif first and last and first.pair >= 0 and found[first.pair] is last:
            start, end, changed = first.span.end, last.span.start, True
        if start >= end:
            return Sentence(text[span.start : span.end], "", "", (), syntax)
    kept = [mark for mark in inside if Span(start, end).holds(mark.span)]
    own = {id(mark): place for place, mark in enumerate(kept)}
    moved = tuple(
        replace(mark, span=Span(mark.span.start - start, mark.span.end - start),
                pair=own.get(id(found[mark.pair]), -1) if mark.pair >= 0 else -1)
        for mark in kept
    )  # fmt: skip
    return Sentence(text[span.start : start], text[start:end], text[end : span.end], moved, syntax)


def _loose(mark: Mark, inside: Sequence[Mark], found: Sequence[Mark]) -> bool:
    """Whether a mark at an end says nothing of the sentence, or its partner stands outside."""
    if mark.kind is Kind.ASIDE:
        return True
    return mark.kind in (Kind.OPEN, Kind.CLOSE) and (mark.pair < 0 or found[mark.pair] not in inside)
