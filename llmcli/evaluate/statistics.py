"""Intervals and tests: how far a score may be from the true one, and whether a difference is more than chance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

Z = 1.959963984540054
"""Of the normal distribution, for intervals of 95%."""
TIMES, AT_ONCE = 2000, 100
"""Resamples of a bootstrap, and how many are drawn together."""
SEED = 20


@dataclass(frozen=True)
class Interval:
    """Where the true value lies, with 95% confidence."""

    low: float
    high: float


@dataclass(frozen=True)
class Measure:
    """A score of a model: ``of`` gives it of the sum of ``parts``, (rows, parts), or of several sums at once.

    ``of`` takes (…, parts) to (…). ``right``: of rows that are right or wrong, how each is.
    """

    name: str
    parts: Numbers
    of: Callable[[Numbers], Numbers]
    right: tuple[bool, ...] | None = None

    @property
    def value(self) -> float:
        """The score of all rows."""
        return float(self.of(self.parts.sum(0)))


def wilson(right: int, rows: int) -> Interval:
    """The interval of a proportion. Method: Wilson, JASA 22 (1927); see Newcombe, Statistics in Medicine 17 (1998)."""
    if not rows:
        return Interval(0.0, 1.0)
    p = right / rows
    middle, whole = p + Z * Z / (2 * rows), 1 + Z * Z / rows
    half = Z * math.sqrt(p * (1 - p) / rows + Z * Z / (4 * rows * rows))
    return Interval(max((middle - half) / whole, 0.0), min((middle + half) / whole, 1.0))


def bootstrap(measures: Sequence[Measure], *, times: int = TIMES, seed: int = SEED) -> Numbers:
    """Scores on resampled rows, (times, measures); all measures are of the same rows, and of each draw together.

    Method: Efron, Annals of Statistics 7 (1979); paired for systems as in Koehn, EMNLP 2004.
    """
    import numpy

    rows = len(measures[0].parts)
    draw = numpy.random.default_rng(seed)
    found = []
    for begin in range(0, times, AT_ONCE):
        size = min(AT_ONCE, times - begin)
        weights = draw.multinomial(rows, numpy.full(rows, 1 / rows), size=size).astype(float)
        found.append(numpy.stack([measure.of(weights @ measure.parts) for measure in measures], axis=1))
    return numpy.concatenate(found)


def spread(samples: Numbers) -> Interval:
    """The middle 95% of resampled scores, (times)."""
    import numpy

    low, high = numpy.percentile(samples, [2.5, 97.5])
    return Interval(float(low), float(high))


def chance(differences: Numbers) -> float:
    """The two-sided p of resampled differences: how often they fall on the other side of nothing."""
    below, above = int((differences <= 0).sum()), int((differences >= 0).sum())
    return min(1.0, 2 * (min(below, above) + 1) / (len(differences) + 1))


def mcnemar(fixed: int, broke: int) -> float:
    """The exact two-sided p of rows on which two models differ. McNemar, Psychometrika 12 (1947); a sign test."""
    rows, fewer = fixed + broke, min(fixed, broke)
    if not rows:
        return 1.0
    tail = sum(math.comb(rows, count) for count in range(fewer + 1))
    return float(min(1.0, 2 * tail / 2**rows))


def holm(values: Sequence[float]) -> list[float]:
    """P-values of several tests, adjusted. Holm, Scandinavian Journal of Statistics 6 (1979)."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    adjusted, largest = [0.0] * len(values), 0.0
    for step, place in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - step) * values[place]))
        adjusted[place] = largest
    return adjusted
