"""Pick the sentences that stand for a text."""

from __future__ import annotations

from collections.abc import Sequence

REDUNDANCY = 0.5
LEAD = 0.3

Vectors = Sequence[Sequence[float]]


def pick(sentences: Sequence[str], vectors: Vectors, *, limit: int) -> list[int]:
    """Places of at most ``limit`` sentences, in the text's order.

    Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): nearness to the text as a whole, where
    earlier and longer sentences weigh more, less the likeness to what was picked already.
    """
    weights = [min(len(sentence), 200) ** 0.5 for sentence in sentences]
    centre = [sum(w * v[d] for w, v in zip(weights, vectors, strict=True)) for d in range(len(vectors[0]))]
    norm = sum(x * x for x in centre) ** 0.5 or 1.0
    longest = max(weights)
    scores = [
        dot(vector, centre) / norm + weights[i] / longest + LEAD / (1 + i) for i, vector in enumerate(vectors)
    ]
    picked: list[int] = []
    while len(picked) < min(limit, len(sentences)):
        best = max(
            (i for i in range(len(sentences)) if i not in picked),
            key=lambda i: (
                scores[i] - REDUNDANCY * max((dot(vectors[i], vectors[j]) for j in picked), default=0)
            ),
        )
        picked.append(best)
    return sorted(picked)


def dot(left: Sequence[float], right: Sequence[float]) -> float:
    """Inner product."""
    return sum(a * b for a, b in zip(left, right, strict=True))
