"""What a model thinks before it answers: ``<think>…</think>``, apart from the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

OPEN, CLOSE = "<think>", "</think>"


@dataclass(frozen=True)
class Thought:
    """A text's thinking, its answer, and whether it broke off before the answer."""

    thinking: str
    answer: str
    unfinished: bool = False


def split(text: str) -> Thought:
    """Take a text apart. Where the prompt has opened the thinking already, only its end stands in the text."""
    before, closed, answer = text.partition(CLOSE)
    opened = before.lstrip().startswith(OPEN)
    if closed:
        return Thought(before.lstrip().removeprefix(OPEN).strip(), answer.lstrip())
    if opened:
        return Thought(before.lstrip().removeprefix(OPEN).strip(), "", unfinished=True)
    return Thought("", text)


class Hidden:
    """Passes the pieces of a text on, without the thinking that it begins with."""

    def __init__(self, emit: Callable[[str], None]) -> None:
        self._emit = emit
        self._text = ""
        self._answers = False

    def __call__(self, piece: str) -> None:
        """Take the next piece."""
        if self._answers:
            self._emit(piece)
            return
        self._text += piece
        begun = self._text.lstrip()
        if begun.startswith(OPEN):
            _, closed, answer = begun.partition(CLOSE)
            begun = answer.lstrip() if closed else ""
        elif OPEN.startswith(begun):
            begun = ""  # it may still become a mark
        else:
            begun = self._text
        if begun:
            self._answers = True
            self._emit(begun)
