"""Terms and their translations, from tab- or comma-separated text."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from llmcli.errors import InputError

STEM, INFLECTED = 4, 3
"""Characters of a word that stay the same whatever its ending, at least; and characters that endings have at most."""


@dataclass(frozen=True)
class Term:
    """A term and what it is called in the other language. Case and inflection are the language's own."""

    source: str
    target: str

    def stands_in(self, text: str) -> bool:
        """Whether a text has the term, or a form of it."""
        return _stands(self.source, text)

    def is_kept_in(self, text: str) -> bool:
        """Whether a translation has the term's translation, or a form of it."""
        return _stands(self.target, text)


def _stands(term: str, text: str) -> bool:
    return _pattern(term).search(text.casefold()) is not None


@cache
def _pattern(term: str) -> re.Pattern[str]:
    """A term's words, whatever their endings. A glossary has more terms than ``re`` keeps patterns."""
    stems = [re.escape(_stem(word)) + r"\w*" for word in term.casefold().split()]
    begin = r"(?<!\w)" if term[:1].isascii() else ""
    return re.compile(begin + r"\W+".join(stems))


def _stem(word: str) -> str:
    return word[: max(STEM, len(word) - INFLECTED)]


def parse(text: str, *, delimiter: str) -> list[Term]:
    """The terms of lines of two columns, or more; lines that begin with ``#`` are comments. Raises InputError."""
    terms = []
    for number, row in enumerate(csv.reader(text.split("\n"), delimiter=delimiter), 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#"):
            continue
        if len(cells) < 2 or not cells[0] or not cells[1]:
            raise InputError(
                f"line {number}: no two columns", code="bad-glossary", hint="a term, a tab, its translation"
            )
        terms.append(Term(cells[0], cells[1]))
    return terms


def given(terms: Iterable[str]) -> tuple[Term, ...]:
    """The terms of ``TERM=TRANSLATION``, or with a tab between."""
    return tuple(Term(*(side.strip() for side in re.split("[\t=]", term, maxsplit=1))) for term in terms)
