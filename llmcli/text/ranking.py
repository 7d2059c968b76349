"""Pick the sentences that stand for a text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

CENTRALITY = 0.5
"""Weight of nearness to the whole text, against 1 for an early place; both measured on dialogues."""
FADE = 4.0
"""Sentences after which the weight of an early place falls by a factor of e."""

Vectors = Sequence[Sequence[float]]


def pick(vectors: Vectors, *, fits: Callable[[list[int]], bool]) -> list[int]:
    """Places of the best sentences, in the text's order; at least one, and as many as ``fits`` allows.

    The score adds two standardised terms: an early place, and the cosine with the mean of all sentences.
    """
    centre = [sum(column) for column in zip(*vectors, strict=True)]
    near = _standard([dot(vector, centre) for vector in vectors])
    early = _standard([math.exp(-place / FADE) for place in range(len(vectors))])
    ranked = sorted(range(len(vectors)), key=lambda i: (-(early[i] + CENTRALITY * near[i]), i))
    picked = ranked[:1]
    for place in ranked[1:]:
        if not fits([*picked, place]):
            break
        picked.append(place)
    return sorted(picked)


def _standard(values: list[float]) -> list[float]:
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values)) or 1.0
    return [(value - mean) / spread for value in values]


def dot(left: Sequence[float], right: Sequence[float]) -> float:
    """Inner product."""
    return sum(a * b for a, b in zip(left, right, strict=True))
