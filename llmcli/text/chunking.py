"""Split a long text at paragraph and sentence ends, within a token budget. Nothing is dropped."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from llmcli.errors import GenerationError

MIN_BUDGET = 8
"""Fewer tokens than this hold no text worth reading."""
AT_ONCE = 8000
"""Characters of a line that are searched for sentences at once."""
PART = 1 << 16
"""Characters of a part: a tokenizer holds some 50 bytes for each character that it reads."""
Count = Callable[[str], int]


class Tokens(Protocol):
    """Counts and cuts a text in a model's tokens."""

    def count(self, text: str) -> int:
        """Tokens of a text, without special tokens."""

    def truncate(self, text: str, tokens: int) -> str:
        """The beginning of a text, of at most so many tokens."""


_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？؟])|\n+")


def sentences(text: str, language: str = "en") -> list[str]:
    """The sentences of a text, without surrounding white space, a line break always ending one.

    Segmentation: the sentencex library; the rules cover the language given, or its nearest relative.
    """
    from sentencex import segment

    lines = (line for line in text.split("\n") if line.strip())
    parts = (part.strip() for line in lines for piece in pieces_of(line) for part in segment(language, piece))
    return [part for part in parts if part]


def pieces_of(line: str) -> Iterator[str]:
    """A line in pieces that sentencex, whose time grows with the square of the length, takes quickly.

    Joined they are the line.
    """
    start = 0
    while len(line) - start > AT_ONCE:
        ends = [match.end() for match in _END.finditer(line, start + AT_ONCE // 2, start + AT_ONCE)]
        last = ends[-1] if ends else start + AT_ONCE
        yield line[start:last]
        start = last
    yield line[start:]


def around(text: str, start: int, end: int) -> str:
    """The sentence, or sentences, that hold the characters from ``start`` to ``end``."""
    ends = [match.end() for match in _END.finditer(text)]
    first = max((at for at in ends if at <= start), default=0)
    last = min((at for at in ends if at >= end), default=len(text))
    return text[first:last].strip()


def parts(text: str) -> Iterator[str]:
    """A text in parts whose tokens can be counted apart, cut before a space or a line break where there is one."""
    start = 0
    while len(text) - start > PART:
        middle = start + PART // 2
        blank = max(text.rfind("\n", middle, start + PART), text.rfind(" ", middle, start + PART))
        end = blank if blank > 0 else start + PART
        yield text[start:end]
        start = end
    yield text[start:]


def chunks(text: str, *, budget: int, count: Count) -> list[str]:
    """Pieces of at most ``budget`` tokens, cut at sentence ends where possible; joined they give the text."""
    if count(text) <= budget:
        return [text]
    pieces: list[str] = []
    current, used = list[str](), 0
    for unit, tokens in _units(text, budget=budget, count=count):
        if current and used + tokens > budget:
            pieces.append("".join(current))
            current, used = [], 0
        current.append(unit)
        used += tokens
    return [*pieces, "".join(current)] if current else pieces


def _units(text: str, *, budget: int, count: Count) -> Iterator[tuple[str, int]]:
    """The sentences of a text, and parts of those that are too long, with their tokens."""
    bounds = itertools.chain([0], (match.end() for match in _END.finditer(text)), [len(text)])
    for start, end in itertools.pairwise(bounds):
        if end > start:
            yield from _cut(text[start:end], budget=budget, count=count)


def _cut(unit: str, *, budget: int, count: Count) -> Iterator[tuple[str, int]]:
    """Halve a sentence that alone exceeds the budget, at a space near the middle if there is one."""
    tokens = count(unit)
    if len(unit) < 2 or tokens <= budget:
        yield unit, tokens
        return
    middle = len(unit) // 2
    space = unit.find(" ", middle, middle + len(unit) // 4)
    at = space + 1 if space > 0 else middle
    yield from _cut(unit[:at], budget=budget, count=count)
    yield from _cut(unit[at:], budget=budget, count=count)


SPARE = 8
"""Tokens besides those of a text's characters that a tokenizer may put in."""


@dataclass(frozen=True)
class Fitted:
    """The pieces of a text that a model can read, and whether its end was cut off."""

    pieces: list[str]
    truncated: bool = False


def fit(text: str, *, budget: int, on_long: str, model: Tokens) -> Fitted:
    """Make a text fit a budget of tokens: whole, in chunks, or truncated.

    Raises GenerationError (``too-long``) where ``on_long`` is ``error``, or nothing would fit.
    """
    if text.isascii() and 2 * len(text) + SPARE <= budget:
        return Fitted([text])  # a token has a character at least: counting takes longer than a GPU does
    tokens = model.count(text)
    if tokens <= budget:
        return Fitted([text])
    if budget < MIN_BUDGET:
        raise GenerationError(
            f"the prompt and --max-new-tokens leave {max(budget, 0)} tokens of the context window for the text",
            code="too-long", hint="give a smaller --max-new-tokens",
        )  # fmt: skip
    if on_long == "error":
        raise GenerationError(
            f"the text has {tokens} tokens, and {budget} fit the context window",
            code="too-long",
            hint="see --on-long",
        )
    if on_long == "truncate":
        return Fitted([model.truncate(text, budget)], truncated=True)
    return Fitted(chunks(text, budget=budget, count=model.count))
