"""Near duplicates among vectors, in one pass and in little memory."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]

BLOCK = 4096
"""Vectors that are compared with others at a time: of 384 numbers, 6 MB."""
DIGITS = 4
"""Decimals of a cosine: numbers of 16 bits tell no more."""


@dataclass(frozen=True)
class Match:
    """The nearest leader before a text and the cosine with it, None for the first; ``leader``: where it is near."""

    leader: int | None
    score: float | None


class Leaders:
    """The texts that were near none before them: the vectors of 100,000, of 384 numbers, take 77 MB.

    Method: leader clustering, Hartigan, "Clustering Algorithms" (1975): each vector joins the nearest leader whose
    cosine is the threshold or more, else it becomes one. So no row is dropped for one that is dropped itself.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._blocks: list[NDArray[np.float16]] = []
        self._lengths: list[Float32] = []
        self._bare: dict[bytes, int] = {}
        self._count = 0

    def add(self, vectors: Sequence[bytes], texts: Sequence[str]) -> list[Match]:
        """Judge texts by their unit vectors, each of float16 numbers, little-endian: one match each.

        Texts that differ in case, spacing and punctuation alone are near, whatever their vectors are: their score is 1.
        """
        import numpy as np

        if not vectors:
            return []
        raw = np.frombuffer(b"".join(vectors), dtype="<f2").reshape(len(vectors), -1)
        rows = raw.astype(np.float32)
        lengths = np.linalg.norm(rows, axis=1)  # not quite 1: 16 bits round it
        rows /= lengths[:, None]
        best, place = self._nearest(rows)
        among = rows @ rows.T
        new: dict[int, int] = {}
        matches = []
        for row, text in enumerate(texts):
            bare = _bare(text)
            if bare in self._bare:
                matches.append(Match(self._bare[bare], 1.0))
                continue
            earlier = list(new)
            if earlier:
                nearest = earlier[int(among[row, earlier].argmax())]
                if among[row, nearest] > best[row]:
                    best[row], place[row] = among[row, nearest], new[nearest]
            score = None if best[row] == -np.inf else min(round(float(best[row]), DIGITS), 1.0)
            near = score is not None and score >= self._threshold
            matches.append(Match(int(place[row]) if near else None, score))
            if not near:
                new[row] = self._bare[bare] = self._count
                self._keep(raw[row], lengths[row])
        return matches

    def _nearest(self, rows: Float32) -> tuple[Float32, NDArray[np.int64]]:
        """The largest cosine of each row with a leader, and which leader: -inf and 0 where there is none."""
        import numpy as np

        best, place = np.full(len(rows), -np.inf, np.float32), np.zeros(len(rows), np.int64)
        for number, block in enumerate(self._blocks):
            used = min(self._count - number * BLOCK, BLOCK)
            cosines = rows @ block[:used].astype(np.float32).T / self._lengths[number][:used]
            nearest = cosines.argmax(axis=1)
            found = cosines[np.arange(len(rows)), nearest]
            better = found > best
            best[better], place[better] = found[better], nearest[better] + number * BLOCK
        return best, place

    def _keep(self, row: NDArray[np.float16], length: np.float32) -> None:
        import numpy as np

        if self._count % BLOCK == 0:
            self._blocks.append(np.empty((BLOCK, len(row)), np.float16))
            self._lengths.append(np.empty(BLOCK, np.float32))
        self._blocks[-1][self._count % BLOCK], self._lengths[-1][self._count % BLOCK] = row, length
        self._count += 1


def _bare(text: str) -> bytes:
    """A short name of what a text is without case, spacing and punctuation; of one that is nothing else, of itself."""
    bare = "".join(c for c in text.casefold() if unicodedata.category(c)[0] not in "PZC")
    return hashlib.blake2b((bare or text).encode("utf-8", "surrogatepass"), digest_size=8).digest()
