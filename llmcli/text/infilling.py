"""What fills a gap in a text: models go on into the text behind it."""

from __future__ import annotations

from collections.abc import Iterator

REPEATED = 16
"""Characters of the text behind a gap that are no chance."""
FEW = 3
"""Characters that may be: they end too many texts."""


def cuts(filled: str, after: str) -> Iterator[str]:
    """What fills a gap, cut where it goes on into the text behind the gap; the earliest cut first.

    It goes on where its rest is the beginning of that text, or where that text, or enough of it, stands in it.
    """
    behind, end = after.strip(), len(filled.rstrip())
    for start in range(end if behind else 0):
        if filled[start] != behind[0]:
            continue
        same = _common(filled[start:end], behind)
        if same == end - start or same >= REPEATED or FEW <= same == len(behind):
            before = filled[:start]
            yield before.rstrip() if after[:1].isspace() else before


def block(filled: str, before: str) -> str:
    """What fills a gap that begins an indented line, up to the first line that is less indented: the block's end."""
    indent = before.rpartition("\n")[2]
    if not indent or not indent.isspace():
        return filled
    lines = filled.split("\n")
    out = (place for place, line in enumerate(lines) if place and line.strip() and not line.startswith(indent))
    return "\n".join(lines[: next(out, len(lines))]).rstrip()


def _common(one: str, other: str) -> int:
    """Characters that two texts begin with in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def sure(filled: str, cut: str) -> bool:
    """Whether what a cut takes away is more than chance."""
    return len(filled.rstrip()) - len(cut) >= FEW
