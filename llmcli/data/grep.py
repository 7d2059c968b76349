"""``--grep LABEL``, ``--grep 'LABEL>0.9'``: which results match."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from llmcli.errors import UsageError

_PATTERN = re.compile(r"\s*(?P<label>[^<>=]+?)\s*(?:(?P<sign>>=|>|<=|<)\s*(?P<score>\d*\.?\d+))?\s*")


@dataclass(frozen=True)
class Pattern:
    """A label, and a bound of its score."""

    label: str
    sign: str = ">="
    score: float = 0.0

    def matches(self, held: Mapping[str, float]) -> bool:
        """Whether the label is among those that hold, with a score within the bound."""
        if self.label not in held:
            return False
        score = float(held[self.label])
        return {">": score > self.score, ">=": score >= self.score, "<": score < self.score,
                "<=": score <= self.score}[self.sign]  # fmt: skip


def parse(text: str) -> Pattern:
    """The pattern of a command line. Raises UsageError."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise UsageError(f"--grep {text!r} is not understood", hint="give a label, or 'label>0.9'")
    score = float(match["score"] or 0)
    if score > 1:
        raise UsageError(f"--grep {text!r}: a score is from 0 to 1", hint="give 'label>0.9'")
    return Pattern(match["label"], match["sign"] or ">=", score)
