"""Rows that say nearly the same: they must stand on one side of a split, or the test tells what was learnt by heart.

Method: Broder, "On the resemblance and containment of documents" (1997): shingles, their least hashes in bands, and the
resemblance itself of those that share a band.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHINGLE = 5
"""Characters of a shingle."""
BANDS, EACH = 16, 4
"""Of least hashes: two rows of resemblance 0.7 share a band with probability 0.99, two of 0.3 with 0.12."""
ALIKE = 0.7
"""The resemblance from which rows are taken for the same."""
PRIME = (1 << 31) - 1


def groups(texts: Sequence[str]) -> list[int]:
    """For each text the place of the first that it is like, itself where there is none; likeness is passed on."""
    shingles = [_shingles(text) for text in texts]
    first = list(range(len(texts)))
    for one, other in _candidates(shingles):
        a, b = _root(first, one), _root(first, other)
        if a != b and _resemblance(shingles[one], shingles[other]) >= ALIKE:
            first[max(a, b)] = min(a, b)
    return [_root(first, place) for place in range(len(texts))]


def _root(first: list[int], place: int) -> int:
    while first[place] != place:
        first[place] = first[first[place]]
        place = first[place]
    return place


def _shingles(text: str) -> frozenset[int]:
    ends = range(max(len(text) - SHINGLE + 1, 1))
    return frozenset(zlib.crc32(text[at : at + SHINGLE].encode("utf-8", "surrogatepass")) for at in ends)


def _resemblance(one: frozenset[int], other: frozenset[int]) -> float:
    return len(one & other) / len(one | other)


def _candidates(shingles: Sequence[frozenset[int]]) -> Iterator[tuple[int, int]]:
    """Pairs that share a band of least hashes: each row with the first of its band."""
    import numpy

    draw = numpy.random.default_rng(0)
    factors = draw.integers(1, PRIME, size=BANDS * EACH, dtype=numpy.int64)
    shifts = draw.integers(0, PRIME, size=BANDS * EACH, dtype=numpy.int64)
    seen: dict[tuple[int, bytes], int] = {}
    for place, found in enumerate(shingles):
        least = _least(numpy.fromiter(found, dtype=numpy.int64) % PRIME, factors, shifts)
        for band in range(BANDS):
            other = seen.setdefault((band, least[band * EACH : (band + 1) * EACH].tobytes()), place)
            if other != place:
                yield other, place


def _least(hashes: NDArray[Any], factors: NDArray[Any], shifts: NDArray[Any]) -> NDArray[Any]:
    """(shingles) to the least of each hash function, (functions)."""
    least: NDArray[Any] = ((hashes[:, None] * factors + shifts) % PRIME).min(0)
    return least
