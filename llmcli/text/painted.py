"""Pieces of text with a colour behind them, for a terminal and for pictures."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

Colour = tuple[int, int, int]
PASTELS: tuple[Colour, ...] = ((207, 226, 243), (252, 229, 205), (217, 234, 211), (234, 209, 220), (255, 242, 204))
"""Neighbours that differ, each behind black letters."""
FOR, AGAINST = (46, 125, 50), (198, 40, 40)
"""The strongest colours: of what speaks for something, and of what speaks against it."""
WHITE = (255, 255, 255)
_ISOLATE, _ISOLATED = "\u2068", "\u2069"
_RIGHT_TO_LEFT = ("R", "AL")


@dataclass(frozen=True)
class Span:
    """A piece of text, and the colour behind it, if any."""

    text: str
    fill: Colour | None = None


def nth(place: int) -> Colour:
    """A colour for each of several pieces in a row."""
    return PASTELS[place % len(PASTELS)]


def tone(strength: float) -> Colour:
    """White at 0, green up to 1, red down to -1; black letters stay readable on all of them."""
    strongest = FOR if strength >= 0 else AGAINST
    share = min(abs(strength), 1.0) * 0.6
    red, green, blue = (round(light + (dark - light) * share) for light, dark in zip(WHITE, strongest, strict=True))
    return red, green, blue


def shade(share: float) -> Colour:
    """White at 0, dark blue at 1."""
    red, green, blue = (round(255 + (dark - 255) * min(max(share, 0.0), 1.0)) for dark in (21, 67, 130))
    return red, green, blue


def visible(text: str) -> str:
    """A text in which a line break and a tab can be seen, and nothing commands a terminal."""
    shown = text.replace("\n", "⏎").replace("\t", "⇥")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def isolated(text: str) -> str:
    """A text that is written from right to left, marked so that what stands beside it keeps its place."""
    turned = any(unicodedata.bidirectional(c) in _RIGHT_TO_LEFT for c in text)
    return f"{_ISOLATE}{text}{_ISOLATED}" if turned else text


def right_to_left(text: str) -> bool:
    """Whether most of a text's letters are written from right to left."""
    ways = [unicodedata.bidirectional(c) for c in text]
    return sum(way in _RIGHT_TO_LEFT for way in ways) > ways.count("L")


def ansi(spans: Iterable[Span]) -> str:
    """Spans for a terminal, with the escape sequences of their colours; without them where NO_COLOR is set."""
    bare = bool(os.environ.get("NO_COLOR"))
    return "".join(span.text if bare or span.fill is None else _behind(span.text, span.fill) for span in spans)


def _behind(text: str, fill: Colour) -> str:
    red, green, blue = fill
    return f"\x1b[38;2;0;0;0;48;2;{red};{green};{blue}m{text}\x1b[0m"


def marked(spans: Iterable[Span]) -> str:
    """Spans where there are no colours: bars stand between them."""
    return "|".join(span.text for span in spans)
