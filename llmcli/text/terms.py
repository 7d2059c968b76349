"""What texts are compared by, whatever their language: the beginnings of their words."""

from __future__ import annotations

import re

from llmcli.text.paragraphs import UNSPACED

_STEM = 6


def terms(text: str) -> list[str]:
    """The first letters of its words, numbers, and pairs of characters in scripts without spaces; in order of kind."""
    folded = text.casefold()
    characters = "".join(UNSPACED.findall(folded))
    pairs = [characters[at : at + 2] for at in range(len(characters) - 1)]
    return [word[:_STEM] for word in re.findall(r"[^\W\d_]{3,}|\d+", UNSPACED.sub(" ", folded))] + pairs
