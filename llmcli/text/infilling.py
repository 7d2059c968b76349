"""What fills a gap in a text: models go on into the text behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator

REPEATED = 16
"""Characters of the text behind a gap that are no chance."""
FEW = 3
"""Characters that may be: they end too many texts."""
CLAUSES = ("else", "elif", "except", "finally", "case")
"""What begins another branch of a block."""


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


def indentation(before: str) -> str:
    """The white space that stands before a gap on its line, where nothing else does."""
    line = before.rpartition("\n")[2]
    return line if line.isspace() else ""


def block(filled: str, before: str, after: str) -> str:
    """What fills a gap that begins an indented line, up to the block's end: the first line that is less indented.

    What would leave the block before the text behind the gap, a last ``return`` or ``raise``, is no part of it.
    """
    indent = indentation(before)
    if not indent:
        return filled
    lines = filled.split("\n")
    out = (place for place, line in enumerate(lines) if place and line.strip() and not line.startswith(indent))
    lines = "\n".join(lines[: next(out, len(lines))]).rstrip().split("\n")
    behind = next((line for line in after.split("\n") if line.strip()), "")
    goes_on = behind.startswith(indent) and not behind[len(indent) :].startswith(CLAUSES)
    if goes_on and len(lines) > 1 and re.match(rf"{indent}(return|raise)\b", lines[-1]):
        lines.pop()
    return "\n".join(lines).rstrip()


def _common(one: str, other: str) -> int:
    """Characters that two texts begin with in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def sure(filled: str, cut: str) -> bool:
    """Whether what a cut takes away is more than chance."""
    return len(filled.rstrip()) - len(cut) >= FEW
