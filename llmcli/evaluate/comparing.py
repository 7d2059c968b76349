"""A model's scores with their intervals, and whether two models differ by more than chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from llmcli.evaluate import statistics
from llmcli.evaluate.answers import Answered
from llmcli.evaluate.measures import LABELS, chrf_signature, measured
from llmcli.evaluate.rows import Row
from llmcli.evaluate.statistics import Interval, Measure

if TYPE_CHECKING:
    from llmcli.evaluate.statistics import Numbers

COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
"""Shares of the rows that are answered, for risk against coverage."""


@dataclass(frozen=True)
class Score:
    """A measure's value and its interval."""

    name: str
    value: float
    interval: Interval


@dataclass(frozen=True)
class Class:
    """How a label did: of the rows that got it, the share that have it, and of those that have it the share found."""

    label: str
    precision: float
    recall: float
    f1: float
    rows: int


@dataclass(frozen=True)
class Risk:
    """The share of wrong answers where only rows from ``score`` on are answered: a part, ``coverage``, of all."""

    coverage: float
    error: float
    score: float


@dataclass(frozen=True)
class Evaluation:
    """How good a model's answers are."""

    answered: Answered
    rows: int
    scores: list[Score]
    classes: list[Class]
    confusion: dict[str, dict[str, int]]
    """The label that is right -> the label that was given -> rows."""
    risks: list[Risk]
    signature: str = ""

    def score(self, name: str) -> Score | None:
        """The score of that name; None where there is none: of a model that gives labels alone none is calibrated."""
        return next((score for score in self.scores if score.name == name), None)


def measures(found: Sequence[Evaluation]) -> list[str]:
    """The names of all scores that any of several evaluations has."""
    return list(dict.fromkeys(score.name for one in found for score in one.scores))


@dataclass(frozen=True)
class Difference:
    """What a second model has more than a first, of one measure; ``p`` is adjusted where there are several pairs.

    ``fixed`` and ``broke``: rows that only the second, or only the first, has right; empty where rows are not right or
    wrong.
    """

    first: str
    second: str
    measure: str
    gain: float
    interval: Interval
    p: float
    test: str
    fixed: list[Any]
    broke: list[Any]


def evaluate(task: str, rows: Sequence[Row], answered: Answered) -> Evaluation:
    """The scores of a model's answers."""
    found = measured(task, rows, answered.answers)
    labelled = task in LABELS
    return Evaluation(
        answered, len(rows), scores(found), _classes(rows, answered) if labelled else [],
        _confusion(rows, answered) if labelled else {}, _risks(found[0], answered) if labelled else [],
        chrf_signature() if any(measure.name == "chrF" for measure in found) else "",
    )  # fmt: skip


def scores(found: Sequence[Measure]) -> list[Score]:
    """Measures with their intervals: Wilson's for proportions, a bootstrap's for the others."""
    samples = statistics.bootstrap(found)
    return [Score(measure.name, measure.value, _interval(measure, samples[:, place]))
            for place, measure in enumerate(found)]  # fmt: skip


def _interval(measure: Measure, samples: Numbers) -> Interval:
    if measure.right is not None:
        return statistics.wilson(sum(measure.right), len(measure.right))
    return statistics.spread(samples)


def differences(task: str, rows: Sequence[Row], models: Sequence[Answered]) -> list[Difference]:
    """Each pair of models, by the task's foremost measure; the first of a pair was given first."""
    pairs = [difference(task, rows, one, other) for one, other in combinations(models, 2)]
    adjusted = statistics.holm([pair.p for pair in pairs])
    return [Difference(pair.first, pair.second, pair.measure, pair.gain, pair.interval, p,
                       pair.test + (", Holm" if len(pairs) > 1 else ""), pair.fixed, pair.broke)
            for pair, p in zip(pairs, adjusted, strict=True)]  # fmt: skip


def difference(task: str, rows: Sequence[Row], one: Answered, other: Answered) -> Difference:
    """What the other has more; p by McNemar's test where rows are right or wrong, else by the paired bootstrap."""
    first, second = (measured(task, rows, answered.answers)[0] for answered in (one, other))
    samples = statistics.bootstrap([first, second])
    apart = samples[:, 1] - samples[:, 0]
    fixed: list[Any] = []
    broke: list[Any] = []
    p, test = statistics.chance(apart), "paired bootstrap"
    if first.right is not None and second.right is not None:
        flips = [(row.record.id, a, b) for row, a, b in zip(rows, first.right, second.right, strict=True) if a != b]
        fixed, broke = [place for place, _, b in flips if b], [place for place, _, b in flips if not b]
        p, test = statistics.mcnemar(len(fixed), len(broke)), "McNemar, exact"
    return Difference(one.model, other.model, first.name, second.value - first.value, statistics.spread(apart), p, test,
                      fixed, broke)  # fmt: skip


def _confusion(rows: Sequence[Row], answered: Answered) -> dict[str, dict[str, int]]:
    table: dict[str, Counter[str]] = {label: Counter() for label in sorted({row.gold[0] for row in rows})}
    for row, answer in zip(rows, answered.answers, strict=True):
        table[row.gold[0]][answer.text if not answer.failed else "(failed)"] += 1
    return {label: dict(sorted(given.items())) for label, given in table.items()}


def _classes(rows: Sequence[Row], answered: Answered) -> list[Class]:
    pairs = Counter((row.gold[0], answer.text) for row, answer in zip(rows, answered.answers, strict=True))
    found = []
    for label in sorted({row.gold[0] for row in rows}):
        right = pairs[label, label]
        gold = sum(count for (one, _), count in pairs.items() if one == label)
        given = sum(count for (_, other), count in pairs.items() if other == label)
        f1 = 2 * right / (gold + given)
        found.append(Class(label, right / given if given else 0.0, right / gold, f1, gold))
    return found


def _risks(accuracy: Measure, answered: Answered) -> list[Risk]:
    """Wrong answers among the surest. El-Yaniv and Wiener, JMLR 11 (2010)."""
    assert accuracy.right is not None  # labels are right or wrong
    known = [(answer.score, right) for answer, right in zip(answered.answers, accuracy.right, strict=True)
             if answer.score is not None]  # fmt: skip
    if len(known) < len(answered.answers):
        return []
    known.sort(key=lambda one: -one[0])
    found = []
    for coverage in COVERAGES:
        surest = known[: max(round(coverage * len(known)), 1)]
        wrong = sum(not right for _, right in surest) / len(surest)
        found.append(Risk(coverage, wrong, surest[-1][0]))
    return found
