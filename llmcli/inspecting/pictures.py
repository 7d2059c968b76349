"""Pictures of what goes on inside a model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import torch

from llmcli.errors import InputError
from llmcli.inspecting.attention import Attention
from llmcli.inspecting.embeddings import Embedded
from llmcli.inspecting.layers import Lens
from llmcli.inspecting.pieces import Token
from llmcli.inspecting.scores import Scored
from llmcli.text import svg
from llmcli.text.painted import Span, nth, shade, tone, visible
from llmcli.text.svg import LINE, MARGIN

CELLS = 128
"""The most tokens of a picture of attention: with more nothing can be told apart."""
PIECES = 2048
"""The most tokens of running text."""
SIDE, WORD, APART = 520, 24, 15
"""A map: its pixels, the places of a word's name, and the pixels between two lines of names."""


def strip(title: str, spans: Sequence[Span], notes: Sequence[str], legend: str = "") -> str:
    """Running text in colours, and what is below each piece. Raises InputError for more pieces than can be seen."""
    _visible(len(spans), PIECES)
    parts, wide, end = svg.strip(spans, notes, top=MARGIN + LINE + (18 if legend else 4))
    head = _head(title, legend)
    wide = max(wide, svg.length(title), svg.length(legend) * 0.85)
    return svg.card([*head, *parts], width=wide + MARGIN * 2, height=end + MARGIN - 8)


def _head(title: str, legend: str) -> list[str]:
    parts = [svg.text(MARGIN, MARGIN + 12, title, "t")]
    return [*parts, svg.text(MARGIN, MARGIN + 30, legend, "s")] if legend else parts


def _visible(tokens: int, most: int) -> None:
    if tokens > most:
        raise InputError(f"{tokens:,} tokens are more than a picture can show", code="too-long",
                         hint=f"up to {most:,}; leave out --svg")  # fmt: skip


def tokens(model: str, found: Sequence[Token]) -> str:
    """The tokens of a text and their ids."""
    spans = [Span(token.name, nth(place)) for place, token in enumerate(found)]
    return strip(f"{len(found)} tokens: {model}", spans, [str(token.id) for token in found])


def scores(model: str, found: Sequence[Scored]) -> str:
    """The tokens of a text, the likely ones green; below each its probability."""
    spans = [Span(one.token.name, None if one.probability is None else tone(one.probability)) for one in found]
    notes = ["" if one.probability is None else f"{one.probability:.3f}" for one in found]
    return strip(f"probability of each token: {model}", spans, notes, "after all tokens before it, from 0 to 1")


def layers(model: str, found: Lens) -> str:
    """What each layer would say, the last one on top."""
    rows, parts = list(reversed(found.layers)), []
    wide = max((svg.length(one.token.name) for layer in rows for one in layer.likely), default=80) + 58
    for place, layer in enumerate(rows):
        y = MARGIN + 40 + place * LINE
        name = f"layer {layer.number}" if layer.number else "embedding"
        parts.append(svg.text(MARGIN + 74, y + 15, name, "s e"))
        for column, one in enumerate(layer.likely):
            x = MARGIN + 84 + column * wide
            parts.append(svg.box(x, y, wide - 4, LINE - 2, tone(one.probability)))
            parts.append(svg.text(x + 4, y + 15, one.token.name))
            parts.append(svg.text(x + wide - 8, y + 15, f"{one.probability:.2f}", "n e"))
    title = f"what each layer would say after “{found.tokens[found.place].name}”: {model}"
    head = _head(title, "its state, read by the model's own output matrix (the logit lens)")
    columns = max((len(layer.likely) for layer in rows), default=1)
    width = max(MARGIN * 2 + 84 + columns * wide, svg.length(title) + 40)
    return svg.card([*head, *parts], width=width, height=MARGIN * 2 + 40 + len(rows) * LINE)


def attention(title: str, found: Attention, weights: torch.Tensor) -> str:
    """A matrix of weights, (queries, keys). Raises InputError for more tokens than can be seen."""
    _visible(max(weights.shape), CELLS)
    names = [[token.name for token in tokens] for tokens in (found.queries, found.keys)]
    cell = min(26, max(11, 800 // max(weights.shape)))
    left, top = (max(svg.length(name) for name in each) for each in names)
    left, top = left + MARGIN + 8, int(top * 0.87) + MARGIN + 44
    parts = _head(title, "each row takes from the columns; white is 0, dark is 1")
    parts += [svg.text(left + (place + 0.7) * cell, top - 6, name, turned=True) for place, name in enumerate(names[1])]
    for row, name in enumerate(names[0]):
        parts.append(svg.text(left - 6, top + row * cell + cell * 0.7, name, "e"))
        parts += [svg.box(left + column * cell, top + row * cell, cell - 1, cell - 1, shade(value))
                  for column, value in enumerate(weights[row].tolist()) if value >= 0.005]  # fmt: skip
    parts.append(f'<rect x="{left}" y="{top}" width="{cell * len(names[1])}" height="{cell * len(names[0])}" '
                 'fill="none" stroke="#999"/>')  # fmt: skip
    width = max(left + cell * len(names[1]) + top * 0.5 + MARGIN, svg.length(title) + MARGIN * 2)
    return svg.card(parts, width=width, height=top + cell * len(names[0]) + MARGIN)


def alignment(title: str, found: Attention, weights: torch.Tensor) -> str:
    """What each token that is written takes from the source: lines between two rows of tokens, as thick as it takes.

    Raises InputError for more tokens than can be seen.
    """
    _visible(max(weights.shape), CELLS)
    rows = [[token.name for token in tokens] for tokens in (found.keys, found.queries)]
    parts = _head(title, "above what is read, below what is written; thicker lines take more")
    tops, places = (MARGIN + 44, MARGIN + 44 + 150), []
    widths = [sum(svg.length(name) + 12 for name in names) for names in rows]
    for names, y, width in zip(rows, tops, widths, strict=True):
        x, middles = MARGIN + (max(widths) - width) / 2, []
        for place, name in enumerate(names):
            wide = svg.length(name) + 8
            parts += [svg.box(x, y, wide, LINE - 2, nth(place)), svg.text(x + wide / 2, y + 15, name, "m")]
            middles.append(x + wide / 2)
            x += wide + 4
        places.append(middles)
    above, below = places
    for row, values in enumerate(weights.tolist()):
        for column, value in enumerate(values):
            if value >= 0.02:
                parts.append(
                    f'<path d="M{above[column]:.1f} {tops[0] + LINE}L{below[row]:.1f} {tops[1] - 2}" '
                    f'stroke="#154382" stroke-width="{value * 6:.2f}" stroke-opacity="{0.2 + value * 0.8:.2f}"/>'
                )
    width = max(*widths, svg.length(title)) + 2 * MARGIN
    return svg.card(parts, width=width, height=tops[1] + LINE + MARGIN)


def embeddings(model: str, found: Embedded) -> str:
    """Words on a map of their vectors' first two principal components."""
    legend, title = "the first two principal components of the words' unit vectors", f"word embeddings: {model}"
    top, points = MARGIN + 44, found.map
    low, high = points.min(0).values, points.max(0).values
    size = float((high - low).max()) or 1.0
    names = [svg.short(visible(word.text), cells=WORD) for word in found.words]
    wide = max(map(svg.length, names))
    across, down = (SIDE - wide - 60) / size, (SIDE * 0.6 - 50) / size
    dots = [(MARGIN + (SIDE - wide) / 2 + float(x) * across, top + SIDE * 0.3 - float(y) * down)
            for x, y in points - (low + high) / 2]  # fmt: skip
    lines = _beside(dots, names, top=top + 12)
    parts = [f'<path d="M{x:.1f} {y:.1f}L{x + 7:.1f} {line:.1f}" stroke="#b4c0d2"/>'
             for (x, y), line in zip(dots, lines, strict=True) if line != y]  # fmt: skip
    for (x, y), line, name in zip(dots, lines, names, strict=True):
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#154382"/>', svg.text(x + 8, line + 4, name)]
    height = max(SIDE * 0.6, *(line + 16 - top for line in lines))
    frame = f'<rect x="{MARGIN}" y="{top}" width="{SIDE}" height="{height:.0f}" fill="none" stroke="#bbb"/>'
    return svg.card([*_head(title, legend), frame, *parts], width=max(SIDE, svg.length(title)) + MARGIN * 2,
                    height=top + height + MARGIN)  # fmt: skip


def _beside(dots: Sequence[tuple[float, float]], names: Sequence[str], *, top: float) -> list[float]:
    """The height of each dot's name, right of it: its own, or the nearest where no other name or dot is."""
    taken: list[tuple[float, float, float]] = []

    def free(x: float, y: float, end: float) -> bool:
        return y >= top and not (
            any(abs(y - line) < APART and x < stop and begin < end for begin, line, stop in taken)
            or any(abs(y - dot) < APART / 2 and x < across < end for across, dot in dots)
        )

    for (x, y), name in zip(dots, names, strict=True):
        begin, end = x + 5, x + 12 + svg.length(name)
        steps = (y + step * sign for step in count(0, APART // 3) for sign in (1, -1))
        taken.append((begin, next(line for line in steps if free(begin, line, end)), end))
    return [line for _, line, _ in taken]
