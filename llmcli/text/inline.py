"""Sentences with marks in them: what a model reads in their place, and how its answer gets them back."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import Enum
from functools import cached_property

from llmcli.text.documents.segments import Span
from llmcli.text.protected import Kind, Mark

LATIN = "\u1fff"
"""The last letter of alphabets; of the scripts behind, one character can be a word."""
LETTERS = "XYZQ"
"""A noun is shown as one of these and its number, which models carry over as they do names."""
ALIKE = 0.75
"""How much of a phrase must stand in a sentence for it to be the same phrase."""


class Style(Enum):
    """How marks around words are shown to a model. In both, nouns are a letter and a number."""

    BRACKETS = "brackets"
    """As square brackets."""
    BARE = "bare"
    """Not at all: they are put around words of its answer afterwards."""


@dataclass(frozen=True)
class Sentence:
    """A sentence as it stands in a document. ``before`` and ``after`` are marks around it that go with it unread.

    ``marks`` lie in ``text``.
    """

    before: str
    text: str
    after: str
    marks: tuple[Mark, ...]
    syntax: str

    @cached_property
    def pairs(self) -> list[tuple[Mark, Mark]]:
        """The marks around words, each with the one at the other end."""
        return [
            (mark, self.marks[mark.pair]) for mark in self.marks if mark.kind is Kind.OPEN and mark.pair >= 0
        ]  # fmt: skip

    @cached_property
    def nouns(self) -> list[Mark]:
        """What is shown as a letter and a number. A mark whose partner is in another sentence is one too."""
        return [mark for mark in self.marks if mark.kind is not Kind.SIGN and mark.pair < 0]

    @property
    def phrases(self) -> list[str]:
        """The words within each pair of marks."""
        return [self.shown(Style.BARE, part=Span(one.span.end, other.span.start)) for one, other in self.pairs]

    @property
    def between(self) -> list[str]:
        """What stands before, between and behind the nouns, without the marks around words."""
        ends = [0, *(mark.span.end for mark in self.nouns)]
        starts = [*(mark.span.start for mark in self.nouns), len(self.text)]
        return [self.shown(Style.BARE, part=Span(*span), strip=False) for span in zip(ends, starts, strict=True)]

    @cached_property
    def letter(self) -> str:
        """The letter of its nouns: one that does not stand before a digit in it."""
        return next((letter for letter in LETTERS if not re.search(rf"{letter}\d", self.text)), LETTERS[0])

    @property
    def has_words(self) -> bool:
        """Whether there is a word besides its marks. A letter alone counts something: ``(a)``."""
        letters = [character for character in self.shown(Style.BARE, nouns=False) if character.isalpha()]
        return len(letters) > 1 or any(letter > LATIN for letter in letters)

    def whole(self, text: str) -> str:
        """A translation with what stands around it."""
        return f"{self.before}{text}{self.after}"

    def shown(self, style: Style, *, nouns: bool = True, part: Span | None = None, strip: bool = True) -> str:
        """What a model reads of it, or of a ``part`` of it."""
        span = part or Span(0, len(self.text))
        made, at = [], span.start
        for mark in self.marks:
            if not span.holds(mark.span):
                continue
            made.append(self._plain(at, mark.span.start))
            made.append(self._mark(mark, style, nouns=nouns, before=made[-1]))
            at = mark.span.end
        text = "".join([*made, self._plain(at, span.end)])
        return text.strip() if strip else text

    def _plain(self, start: int, end: int) -> str:
        text = self.text[start:end]
        return html.unescape(text) if self.syntax in ("html", "markdown") else text

    def _mark(self, mark: Mark, style: Style, *, nouns: bool, before: str) -> str:
        if mark.kind is Kind.SIGN:
            return " " if mark.says == "\xa0" else mark.says
        if mark.pair >= 0:
            return ("[" if mark.kind is Kind.OPEN else "]") if style is Style.BRACKETS else ""
        if not nouns:
            return " "
        gap = " " if mark.kind is not Kind.NOUN and before and not before[-1].isspace() else ""
        return f"{gap}{self.letter}{self.nouns.index(mark) + 1}"

    def restored(self, answer: str, style: Style) -> str | None:
        """An answer with the marks in place; None where it has not carried each of them once, in an order that can be.

        In the style BARE those around words are missing: see :func:`laid`.
        """
        if style is Style.BRACKETS and self.pairs and (answer.count("["), answer.count("]")) != (len(self.pairs),) * 2:
            return None
        numbers = [int(number) for number in re.findall(rf"{self.letter}(\d+)(?!\d)", answer)]
        if sorted(numbers) != list(range(1, len(self.nouns) + 1)):
            return None
        if style is Style.BARE or not self.pairs:
            return self._filled(answer)
        ends = [mark for mark in self.marks if mark.pair >= 0]
        made = []
        for part, mark in zip(re.split(r"[\[\]]", answer), [*ends, None], strict=False):
            made.append(self._filled(part))
            if mark is None:
                break
            made.append(mark.raw)
        kinds = ["[" if mark.kind is Kind.OPEN else "]" for mark in ends]
        if re.findall(r"[\[\]]", answer) != kinds:
            return None
        return "".join(made)

    def _filled(self, part: str) -> str:
        """A piece of an answer as its syntax spells it, with the nouns in it."""
        texts = re.split(rf"( ?){self.letter}(\d+)(?!\d)", part)
        made = [self.spelled(texts[0])]
        for at in range(1, len(texts), 3):
            gap, number, text = texts[at : at + 3]
            mark = self.nouns[int(number) - 1]
            glued = mark.kind is not Kind.NOUN and not self.text[mark.span.start - 1 : mark.span.start].isspace()
            made += ["" if glued else gap, mark.raw, self.spelled(text)]
        return "".join(made)

    def spelled(self, text: str) -> str:
        """Words as the syntax spells them: what would be a mark in it is none, and signs are as they were."""
        signs = {mark.says: mark.raw for mark in self.marks if mark.kind is Kind.SIGN and not mark.says.isspace()}
        plain = "".join(self.text[a:b] for a, b in self._gaps())
        if self.syntax == "html":
            signs = {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | signs if not set("<>&") & set(plain) else signs
        elif self.syntax == "markdown":
            signs = {mark: f"\\{mark}" for mark in "*_`[]<|" if mark not in plain} | signs
        return "".join(signs.get(character, character) for character in text)

    def _gaps(self) -> Iterator[tuple[int, int]]:
        at = 0
        for mark in self.marks:
            yield at, mark.span.start
            at = mark.span.end
        yield at, len(self.text)


def laid(sentence: Sentence, answer: str, phrases: Mapping[int, Sequence[str]]) -> str | None:
    """A bare answer with the marks around words: each pair around what its own words are in the answer.

    ``phrases`` are translations of the words of each pair, by its place among ``sentence.pairs``. A pair whose words
    are not found is left out. None where nouns were not carried.
    """
    if sentence.restored(answer, Style.BARE) is None:
        return None
    places: dict[int, Span] = {}
    for pair in sorted(phrases, key=lambda place: -len(sentence.pairs[place][1].raw)):
        free = _place(answer, phrases[pair], taken=list(places.values()))
        if free is not None:
            places[pair] = free
    cuts: list[tuple[int, int, str]] = []
    for pair, span in places.items():
        opened, closed = sentence.pairs[pair]
        cuts += [(span.start, pair, opened.raw), (span.end, -pair - 1, closed.raw)]
    made, at = [], 0
    for place, _, raw in sorted(cuts, key=lambda cut: (cut[0], cut[1] >= 0)):
        made += [sentence._filled(answer[at:place]), raw]
        at = place
    return "".join([*made, sentence._filled(answer[at:])])


def _place(answer: str, phrases: Sequence[str], *, taken: Sequence[Span]) -> Span | None:
    """Where the words of a phrase stand in an answer: word for word, else what is most like them."""
    units = [Span(*match.span()) for match in re.finditer(r"[\w'’-]+", answer)]
    best, likeness = None, ALIKE
    for phrase in phrases:
        wanted = re.sub(r"^\W+|\W+$", "", phrase)
        if not wanted:
            continue
        exact = re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", answer, re.IGNORECASE)
        if exact and _free(Span(*exact.span()), taken):
            return Span(*exact.span())
        count = len(re.findall(r"[\w'’-]+", wanted))
        for size in {max(count - 1, 1), count, count + 1}:
            for first in range(len(units) - size + 1):
                span = Span(units[first].start, units[first + size - 1].end)
                alike = SequenceMatcher(None, answer[span.start : span.end].casefold(), wanted.casefold()).ratio()
                if alike > likeness and _free(span, taken):
                    best, likeness = span, alike
    return best


def _free(span: Span, taken: Sequence[Span]) -> bool:
    return all(span.end <= other.start or other.end <= span.start for other in taken)
