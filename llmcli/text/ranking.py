"""Pick the sentences that stand for a text, by what its sentences have in common."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Sequence

from llmcli.text.terms import terms

MEAN = 0.5
"""Weight of the mean weight of a sentence's words, against 1 for their sum over the root of their number."""
PLACE, FADE = 3.0, 3.0
"""Weight of the first place, and sentences after which it falls by a factor of e. The more sentences a text has, the
farther the best stand out, and the less this counts. Both measured, on dialogues and on packages' READMEs."""
COVERED = 0.5
"""What a word's weight falls to each time that a picked sentence has it."""
SAME = 0.75
"""The share of words in common that makes two sentences say the same."""

Fits = Callable[[list[int]], bool]


def pick(sentences: Sequence[str], *, fits: Fits) -> list[int]:
    """Places of the best sentences, in the text's order; at least one, and as many as ``fits`` allows.

    The score adds the standardised weight of the words that come again in other sentences, and an early place. What a
    picked sentence has said counts for less afterwards, and its near equals are left out.
    Method: after SumBasic, Nenkova and Vanderwende, "The Impact of Frequency on Summarization" (2005), with the weights
    df log((n + 1) / df) in place of probabilities.
    """
    ranked = _Ranking(sentences)
    picked: list[int] = []
    for place in iter(ranked.best, None):
        if picked and not fits([*picked, place]):
            break
        picked.append(place)
        ranked.cover(place)
    return sorted(picked)


class _Ranking:
    """Sentences in a queue by their score, which only falls: the first is scored anew until it stays the first."""

    def __init__(self, sentences: Sequence[str]) -> None:
        self._words = [terms(sentence) for sentence in sentences]
        shared = Counter(word for words in self._words for word in set(words))
        count = len(sentences)
        self._weights = {
            word: sharing * math.log((count + 1) / sharing) for word, sharing in shared.items() if sharing > 1
        }
        sums, means = (_spread([measure(words) for words in self._words]) for measure in (self._sum, self._mean))
        self._scales = sums, means
        self._queue = [(-self._score(place), place) for place in range(count)]
        heapq.heapify(self._queue)
        self._picked: list[frozenset[str]] = []

    def best(self) -> int | None:
        """The place of the best sentence that is left and says something new, or None."""
        while self._queue:
            _, place = heapq.heappop(self._queue)
            score = -self._score(place)
            if self._queue and (score, place) > self._queue[0]:
                heapq.heappush(self._queue, (score, place))
            elif not self._is_said(place):
                return place
        return None

    def cover(self, place: int) -> None:
        """Take a sentence as picked."""
        words = frozenset(self._words[place])
        self._picked.append(words)
        for word in words & self._weights.keys():
            self._weights[word] *= COVERED

    def _is_said(self, place: int) -> bool:
        words = set(self._words[place])
        return any(len(words & said) >= SAME * len(words | said) for said in self._picked if words or said)

    def _score(self, place: int) -> float:
        words = self._words[place]
        (centre, spread), (middle, width) = self._scales
        common = (self._sum(words) - centre) / spread + MEAN * (self._mean(words) - middle) / width
        return common + PLACE * math.exp(-place / FADE)

    def _sum(self, words: Sequence[str]) -> float:
        return sum(self._weights.get(word, 0.0) for word in set(words)) / math.sqrt(len(words) or 1)

    def _mean(self, words: Sequence[str]) -> float:
        return sum(self._weights.get(word, 0.0) for word in set(words)) / (len(set(words)) or 1)


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation, the latter 1 where all values are equal."""
    mean = sum(values) / (len(values) or 1)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) or 1)) or 1.0
