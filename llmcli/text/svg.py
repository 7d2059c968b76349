"""One self-contained SVG picture: dark letters on a white card, so that it reads on light and dark pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from llmcli.text.painted import Colour, Span

LETTER, LINE, MARGIN, WIDTH = 8, 24, 16, 860
"""Pixels: the width of a letter, the height of a line, the edge, and the width of running text."""
STYLE = (
    "text{font:13px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1b1b1b}"
    ".t{font-weight:bold}.s{font-size:11px;fill:#555}.m{text-anchor:middle}.e{text-anchor:end}"
)


def hexadecimal(colour: Colour) -> str:
    """A colour as SVG writes it."""
    return "#" + "".join(f"{part:02x}" for part in colour)


def text(x: float, y: float, content: str, kind: str = "", *, turned: bool = False) -> str:
    """A text whose baseline begins at a point. ``kind``: t title, s small, m middle, e ends there."""
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


def strip(spans: Sequence[Span], notes: Sequence[str], *, top: float) -> tuple[list[str], float, float]:
    """Running text, each span with its colour behind it and its note below; how wide it is, and where the
    next thing may begin.
    """
    parts, x, y, widest = [], float(MARGIN), top, 0.0
    step = LINE + (16 if any(notes) else 0)
    for span, note in zip(spans, notes or [""] * len(spans), strict=True):
        wide = max(length(span.text), LETTER, length(note) * 0.85) + 4
        if x + wide > WIDTH - MARGIN and x > MARGIN:
            x, y = float(MARGIN), y + step + 4
        if span.fill is not None:
            parts.append(box(x, y, wide, LINE - 2, span.fill))
        parts.append(text(x + wide / 2, y + 15, span.text, "m"))
        if note:
            parts.append(text(x + wide / 2, y + LINE + 9, note, "s m"))
        x += wide + 2
        widest = max(widest, x - MARGIN)
    return parts, widest, y + step + 8
