"""Answers that are a piece of the prompt's own examples: worse than any mistake, since they are invented."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

PIECE, SHARED = 5, 3
"""Words in a row that make a piece of an example; and that a text has in common with an example that it resembles."""
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")


@dataclass(frozen=True)
class Example:
    """A worked example of a prompt: what was given, and its answer."""

    text: str
    answer: str


def echoes(answer: str, *, source: str, examples: Iterable[Example]) -> bool:
    """Whether an answer holds a piece of an example's answer that nothing in the source calls for.

    A source that shares words with the example's own text may well have the same answer.
    """
    words = _words(answer)
    given = _words(source)
    return any(
        _share(words, _words(example.answer), PIECE)
        and not _share(given, _words(example.text), SHARED)
        and not _share(given, _words(example.answer), PIECE)
        for example in examples
    )


@lru_cache(maxsize=256)
def _words(text: str) -> list[str]:
    """Words in small letters; scripts without spaces count a character a word."""
    return [part for word in _WORD.findall(text.casefold()) for part in _parts(word)]


def _parts(word: str) -> Iterable[str]:
    return word if _UNSPACED.search(word) else [word]


def _share(one: Sequence[str], other: Sequence[str], length: int) -> bool:
    """Whether two texts have so many words in a row in common; a shorter one, of two words or more, all of it."""
    characters = sum(len(word) == 1 for word in other) > len(other) / 2  # a script without spaces: two make a word
    length = min(2 * length if characters else length, len(other))
    return length > 1 and not set(_runs(other, length)).isdisjoint(_runs(one, length))


def _runs(words: Sequence[str], length: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[at : at + length]) for at in range(len(words) - length + 1))
