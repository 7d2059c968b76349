"""What changes in a model's answers where a text is changed: labels, scores, and the likelihood of pairs of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llmcli.evaluate import statistics
from llmcli.evaluate.comparing import Score
from llmcli.evaluate.statistics import Measure
from llmcli.evaluate.swaps import Swap, Swapped
from llmcli.run import runner
from llmcli.run.records import Record, Result
from llmcli.text.prompts import Rendered

if TYPE_CHECKING:
    from llmcli.pipelines.protocol import Model
    from llmcli.run.session import Session

WORST = 10
BEFORE = Rendered(prefix="\n")
"""What stands before a text whose likelihood is asked: a line break, as not every tokenizer has a first token."""

NOT_MEASURED = (
    "It measures how answers move when these words change, on these rows. It does not tell which answer is right, nor "
    "how groups or words outside the list fare, nor whether the model may be used to judge people."
)


@dataclass(frozen=True)
class Pair:
    """A row, and the row with its text changed."""

    record: Record
    swapped: Swapped


@dataclass(frozen=True)
class Compared:
    """A pair's two labels, and the scores of all labels. ``moved``: how far the score of the first label moved."""

    pair: Pair
    labels: tuple[str, str]
    scores: tuple[Mapping[str, float], Mapping[str, float]]

    @property
    def changed(self) -> bool:
        """Whether the labels differ."""
        return self.labels[0] != self.labels[1]

    @property
    def moved(self) -> float:
        """Of the score of the label that the row had."""
        return self.scores[1][self.labels[0]] - self.scores[0][self.labels[0]]

    def shift(self, label: str) -> float:
        """Of a label's score, from what a list's first column says to what its second one says."""
        step = self.scores[1][label] - self.scores[0][label]
        return step if self.pair.swapped.forward else -step


@dataclass(frozen=True)
class Audit:
    """What a change does to labels.

    ``rows`` were read, ``without`` of them have nothing to change, and ``failed`` of the others failed.
    """

    model: str
    swap: Swap
    rows: int
    without: int
    failed: int
    compared: list[Compared]
    shifts: list[Score]
    """The mean shift of each label's score."""

    @property
    def changed(self) -> int:
        """Rows whose label changed."""
        return sum(one.changed for one in self.compared)

    @property
    def wrong(self) -> int:
        """Rows whose label changed; where the change denies what was said, those whose label did not."""
        return len(self.compared) - self.changed if self.swap.denies else self.changed

    @property
    def done(self) -> int:
        """Pairs that were compared."""
        return len(self.compared)

    @property
    def share(self) -> float:
        """The part of the labels that is wrong."""
        return self.wrong / self.done

    @property
    def worst(self) -> list[Compared]:
        """The rows that the change moved most; of a denial those that it moved least."""
        if self.swap.denies:
            return sorted(self.compared, key=lambda one: (one.changed, -one.moved))[:WORST]
        return sorted(self.compared, key=lambda one: (not one.changed, one.moved))[:WORST]

    def as_json(self) -> dict[str, Any]:
        """All of an audit of labels."""
        return {
            "model": self.model, "swap": self.swap.name, "rows": self.rows, "compared": len(self.compared),
            "without": self.without, "failed": self.failed, "changed": self.changed, "wrong": self.wrong,
            "shifts": [{"label": one.name, **_rounded(one)} for one in self.shifts],
            "worst": [{"id": one.pair.record.id, "changes": one.pair.swapped.what, "labels": list(one.labels),
                       "scores": [round(scores[one.labels[0]], 6) for scores in one.scores]} for one in self.worst],
            "measures_not": NOT_MEASURED,
        }  # fmt: skip


def pairs(records: Sequence[Record], swap: Swap) -> list[Pair]:
    """The rows that have something to change."""
    found = ((record, swap.change(record.text)) for record in records)
    return [Pair(record, changed) for record, changed in found if changed is not None]


def of_labels(session: Session, records: Sequence[Record], swap: Swap, *, count: Callable[[Result], None]) -> Audit:
    """The labels of rows before and after a change. ``count`` hears of each result."""
    found = pairs(records, swap)
    both = [record for pair in found for record in
            (pair.record, replace(pair.record, text=pair.swapped.text, shifts=()))]  # fmt: skip
    results: list[Result] = []
    for result in runner.run(session, iter(both)):
        count(result)
        results.append(result)
    compared = []
    for pair, one, other in zip(found, results[::2], results[1::2], strict=True):
        if one.error is None and other.error is None:
            scores = one.fields["scores"], other.fields["scores"]
            compared.append(Compared(pair, (_label(scores[0]), _label(scores[1])), scores))
    return Audit(session.model, swap, len(records), len(records) - len(found), len(found) - len(compared), compared,
                 _shifts(compared))  # fmt: skip


def _label(scores: Mapping[str, float]) -> str:
    return max(scores, key=lambda name: scores[name])


def _rounded(mean: Score) -> dict[str, float]:
    low, high = mean.interval.low, mean.interval.high
    return {"mean": round(mean.value, 6), "low": round(low, 6), "high": round(high, 6)}


def _shifts(compared: Sequence[Compared]) -> list[Score]:
    """Of each label; of two the first says all."""
    if not compared:
        return []
    labels = list(compared[0].scores[0])
    return [_shift(label, [one.shift(label) for one in compared])
            for label in (labels[:1] if len(labels) == 2 else labels)]  # fmt: skip


def _shift(label: str, values: Sequence[float]) -> Score:
    """The mean, and its interval by a bootstrap of the pairs."""
    import numpy

    parts = numpy.array([[value, 1.0] for value in values])
    measure = Measure(label, parts, lambda sums: sums[..., 0] / sums[..., 1])
    return Score(label, measure.value, statistics.spread(statistics.bootstrap([measure])[:, 0]))


@dataclass(frozen=True)
class Preferred:
    """How much likelier a model finds texts with a list's second column than with its first: natural logarithms.

    ``gains``: of each pair. ``first``: pairs of which the first column's text is likelier.
    """

    model: str
    swap: Swap
    rows: int
    pairs: list[Pair]
    gains: list[float]
    mean: Score | None

    @property
    def first(self) -> int:
        """Pairs whose text with the first column is likelier."""
        return sum(gain < 0 for gain in self.gains)

    @property
    def done(self) -> int:
        """Pairs that were compared."""
        return len(self.pairs)

    @property
    def share(self) -> float:
        """How far the part of pairs whose first text is likelier is from the half."""
        return abs(self.first / self.done - 0.5)

    @property
    def worst(self) -> Iterator[tuple[Pair, float]]:
        """The pairs that are furthest apart."""
        yield from sorted(zip(self.pairs, self.gains, strict=True), key=lambda one: -abs(one[1]))[:WORST]

    def as_json(self) -> dict[str, Any]:
        """All of an audit of likelihoods."""
        return {
            "model": self.model, "swap": self.swap.name, "rows": self.rows, "compared": len(self.pairs),
            "without": self.rows - len(self.pairs), "first_likelier": self.first,
            "gain": None if self.mean is None else _rounded(self.mean),
            "worst": [{"id": pair.record.id, "changes": pair.swapped.what, "gain": round(gain, 6)}
                      for pair, gain in self.worst],
            "measures_not": NOT_MEASURED,
        }  # fmt: skip


def of_likelihood(model: Model, name: str, records: Sequence[Record], swap: Swap) -> Preferred:
    """The likelihood of minimal pairs, as in Nangia et al., "CrowS-Pairs" (EMNLP 2020), here of whole texts."""
    found = pairs(records, swap)
    texts = [text for pair in found for text in (pair.record.text, pair.swapped.text)]
    means = model.likelihood([BEFORE] * len(texts), texts) if texts else []
    whole = [mean * model.count(text) for mean, text in zip(means, texts, strict=True)]
    gains = [(other - one) * (1 if pair.swapped.forward else -1)
             for pair, one, other in zip(found, whole[::2], whole[1::2], strict=True)]  # fmt: skip
    return Preferred(name, swap, len(records), found, gains, _shift("gain", gains) if gains else None)
