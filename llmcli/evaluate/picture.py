"""Scores and their intervals as a picture: a row of dots and bars for each model, in SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from llmcli.evaluate.comparing import Evaluation, measures
from llmcli.evaluate.report import ends, number

LEFT, WIDTH, RIGHT, LINE, TOP = 190, 380, 200, 26, 34
"""Of names, of the scale, of numbers, of a row, and of a heading, in pixels."""


def svg(found: Sequence[Evaluation]) -> str:
    """The picture of some evaluations of the same rows."""
    parts, y = [], 0
    for name in measures(found):
        parts.append(_heading(name, y))
        y += TOP
        scores = [(one, score) for one in found if (score := one.score(name))]
        low, high = min(own.interval.low for _, own in scores), max(own.interval.high for _, own in scores)
        room = (high - low) * 0.05 or 0.05
        low, high = low - room, high + room
        for one, own in scores:
            x = [LEFT + WIDTH * (value - low) / (high - low)
                 for value in (own.interval.low, own.value, own.interval.high)]  # fmt: skip
            middle = y + LINE // 2
            parts.append(
                f'<text x="{LEFT - 10}" y="{middle + 4}" text-anchor="end">{escape(one.answered.model[-26:])}</text>'
                f'<path d="M{x[0]:.1f} {middle}H{x[2]:.1f}M{x[0]:.1f} {middle - 4}v8M{x[2]:.1f} {middle - 4}v8"/>'
                f'<circle cx="{x[1]:.1f}" cy="{middle}" r="4"/>'
                f'<text x="{LEFT + WIDTH + 12}" y="{middle + 4}">{number(own.value)} {ends(own.interval)}</text>'
            )
            y += LINE
    width, height = LEFT + WIDTH + RIGHT, y + 10
    style = "text{font:13px sans-serif;fill:#222}.h{font-weight:bold}path{stroke:#36648b;stroke-width:2;fill:none}"
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}"><style>{style}circle{{fill:#36648b}}</style>'
            f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n')  # fmt: skip


def _heading(name: str, y: int) -> str:
    return f'<text class="h" x="{LEFT}" y="{y + 24}">{escape(name)}, 95% intervals</text>'
