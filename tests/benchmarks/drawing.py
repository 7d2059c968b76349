"""Bars: a drawing of figures as SVG, without a library."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

LEFT, WIDTH, HEIGHT, GAP = 300, 340, 18, 14
COLOURS = {"llmcli": "#2a6f97", "script": "#9aa5ab", "gemma": "#2a6f97", "smollm2": "#9aa5ab"}
OTHER = "#c8a15a"

Bar = tuple[str, float, str]
"""A contestant, its figure, and the figure as it is written."""


def svg(groups: Sequence[tuple[str, Sequence[Bar]]]) -> str:
    """Groups of bars below each other; in each the longest bar has the full width."""
    parts: list[str] = []
    top = GAP
    for title, bars in groups:
        parts.append(_text(GAP, top + HEIGHT - 5, title, weight="bold"))
        top += HEIGHT + 4
        longest = max(figure for _, figure, _ in bars)
        for name, figure, label in bars:
            size = max(2.0, WIDTH * figure / longest)
            parts.append(_text(LEFT - 8, top + HEIGHT - 5, name, anchor="end"))
            parts.append(
                f'<rect x="{LEFT}" y="{top}" width="{size:.1f}" height="{HEIGHT - 3}" fill="{_colour(name)}"/>'
            )
            parts.append(_text(LEFT + size + 6, top + HEIGHT - 5, label))
            top += HEIGHT
        top += GAP
    width = LEFT + WIDTH + 160
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" viewBox="0 0 {width} {top}" '
        'font-family="sans-serif" font-size="13">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _colour(name: str) -> str:
    return next((colour for start, colour in COLOURS.items() if name.startswith(start)), OTHER)


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'
