"""One self-contained SVG picture: dark letters on a white card, so that it reads on light and dark pages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from llmcli.text.painted import Colour, Span, right_to_left

LETTER, LINE, MARGIN, WIDTH = 8, 24, 16, 860
"""Pixels: the width of a letter, the height of a line, the edge, and the width of running text."""
STYLE = (
    "text{font:13px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1b1b1b}"
    ".t{font-weight:bold}.n{font-size:11px}.s{font-size:11px;fill:#555}.m{text-anchor:middle}.e{text-anchor:end}"
)


def hexadecimal(colour: Colour) -> str:
    """A colour as SVG writes it."""
    return "#" + "".join(f"{part:02x}" for part in colour)


def text(x: float, y: float, content: str, kind: str = "", *, turned: bool = False) -> str:
    """A text whose baseline begins at a point. ``kind``: t title, n a number on a colour, s small on white,
    m middle, e ends there.
    """
    turn = f' transform="rotate(-60 {x:.1f} {y:.1f})"' if turned else ""
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" xml:space="preserve"{turn}>{_clean(content)}</text>'


def box(x: float, y: float, width: float, height: float, fill: Colour) -> str:
    """A filled rectangle."""
    return (f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" '
            f'fill="{hexadecimal(fill)}"/>')  # fmt: skip


def _clean(content: str) -> str:
    """What XML cannot hold is left out."""
    return escape("".join(c for c in content if c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff"))


def card(parts: Iterable[str], *, width: float, height: float) -> str:
    """A whole picture."""
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {width:.0f} {height:.0f}"><style>{STYLE}</style>'
            f'<rect width="100%" height="100%" rx="6" fill="#fff"/>{"".join(parts)}</svg>\n')  # fmt: skip


def length(content: str) -> int:
    """The width of a text in pixels, where wide characters take two places."""
    from rich.cells import cell_len

    return cell_len(content) * LETTER


def short(content: str, *, cells: int) -> str:
    """A text of so many places at most, its end cut off where there are more."""
    from rich.cells import cell_len, set_cell_size

    return content if cell_len(content) <= cells else set_cell_size(content, cells - 1) + "…"


def _lines(content: str) -> list[str]:
    """A text in pieces that a line can hold, divided at blanks where there are some."""
    from rich.cells import cell_len, chop_cells

    most, lines = (WIDTH - 2 * MARGIN - 4) // LETTER, [""]
    if cell_len(content) <= most:
        return [content]
    for word in re.findall(r"\S*\s*", content):
        for piece in chop_cells(word, most):
            if cell_len(lines[-1] + piece.rstrip()) > most:
                lines.append("")
            lines[-1] += piece
    return [line.strip() for line in lines]


def strip(spans: Sequence[Span], notes: Sequence[str], *, top: float) -> tuple[list[str], float, float]:
    """Running text, each span with its colour behind it and its note below; how wide it is, and where the
    next thing may begin. A text that is written from right to left runs so.
    """
    places: list[tuple[float, float, float, Span, str]] = []
    x, y, widest = float(MARGIN), top, 0.0
    step = LINE + (16 if any(notes) else 0)
    for span, note in zip(spans, notes or [""] * len(spans), strict=True):
        for number, line in enumerate(_lines(span.text)):
            below = "" if number else note
            wide = max(length(line), LETTER, length(below) * 0.85) + 4
            if x + wide > WIDTH - MARGIN and x > MARGIN:
                x, y = float(MARGIN), y + step + 4
            places.append((x, y, wide, Span(line, span.fill), below))
            x += wide + 2
            widest = max(widest, x - MARGIN)
    turned, parts = right_to_left("".join(span.text for span in spans)), []
    for begin, line_top, wide, span, note in places:
        left = widest + 2 * MARGIN - begin - wide if turned else begin
        parts += _piece(left, line_top, wide, span, note)
    return parts, widest, y + step + 8


def _piece(x: float, y: float, wide: float, span: Span, note: str) -> list[str]:
    parts = [] if span.fill is None else [box(x, y, wide, LINE - 2, span.fill)]
    parts.append(text(x + wide / 2, y + 15, span.text, "m"))
    return [*parts, text(x + wide / 2, y + LINE + 9, note, "s m")] if note else parts
