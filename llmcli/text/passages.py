"""Which passages of a long text to read for a question: those that share its words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from llmcli.text.terms import terms

SATURATION, LENGTH = 1.2, 0.75
"""BM25's k1 and b."""
TELLING = 3
"""A word tells passages apart that at most one in so many has."""


def likeliest(question: str, passages: Sequence[str], *, most: int) -> list[int]:
    """The places of the passages that share most with a question, in the text's order; all where no word tells."""
    if len(passages) <= most or not (found := shared(question, passages)):
        return list(range(len(passages)))
    return sorted(sorted(range(len(passages)), key=lambda place: -found[place])[:most])


def shared(question: str, passages: Sequence[str]) -> list[float]:
    """How much each passage shares with a question; empty where no word tells passages apart.

    Method: BM25, Robertson and Zaragoza, "The Probabilistic Relevance Framework" (2009).
    """
    counts = [Counter(terms(passage)) for passage in passages]
    holding = Counter(word for count in counts for word in count)
    wanted = {word for word in terms(question) if holding[word]}
    if not any(holding[word] * TELLING <= len(passages) for word in wanted):
        return []
    weights = {word: math.log(1 + (len(passages) - holding[word] + 0.5) / (holding[word] + 0.5)) for word in wanted}
    sizes = [count.total() for count in counts]
    mean = sum(sizes) / len(sizes)

    def score(count: Counter[str], size: int) -> float:
        damped = SATURATION * (1 - LENGTH + LENGTH * size / mean)
        found = ((weight, count[word]) for word, weight in weights.items())
        return sum(weight * times * (SATURATION + 1) / (times + damped) for weight, times in found if times)

    return [score(count, size) for count, size in zip(counts, sizes, strict=True)]
