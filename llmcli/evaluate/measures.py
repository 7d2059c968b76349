"""Measures of answers, by task. Each is a sum over rows, or a function of some: so it can be resampled."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from llmcli.errors import UsageError
from llmcli.evaluate.answers import Answer
from llmcli.evaluate.rows import Row
from llmcli.evaluate.statistics import Measure

if TYPE_CHECKING:
    from llmcli.evaluate.statistics import Numbers

BINS = 10
"""Of scores, for the calibration error."""
CHRF_ORDER = 6
ROUGE = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L"}
LABELS = ("classify", "sentiment")
"""Tasks that put one label on a row."""
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
_ARTICLES = ("a", "an", "the")

Measures = Callable[[Sequence[Row], Sequence[Answer]], list[Measure]]


def measured(task: str, rows: Sequence[Row], answers: Sequence[Answer]) -> list[Measure]:
    """The measures of a task, the foremost first. Raises UsageError where a library that they need is missing."""
    return MEASURES[task](rows, answers)


def _mean(name: str, values: Sequence[float], *, right: bool = False, counts: Sequence[bool] | None = None) -> Measure:
    """The mean of the rows that count: of all, where that is not said."""
    import numpy

    there = counts or [True] * len(values)
    parts = numpy.array([[value * counted, counted] for value, counted in zip(values, there, strict=True)], dtype=float)
    flags = tuple(bool(value) for value in values) if right else None
    # A resample may have no row that counts.
    return Measure(name, parts, lambda sums: sums[..., 0] / numpy.maximum(sums[..., 1], 1), flags)


def labelling(rows: Sequence[Row], answers: Sequence[Answer]) -> list[Measure]:
    """Accuracy, macro-F1, and where there are scores the calibration error."""
    given, gold = [answer.text for answer in answers], [row.gold[0] for row in rows]
    accuracy = _mean("accuracy", [one == other for one, other in zip(given, gold, strict=True)], right=True)
    found = [accuracy, _macro(gold, given)]
    if all(answer.score is not None for answer in answers if not answer.failed):
        found.append(_calibration(accuracy, answers))
    return found


def _macro(gold: Sequence[str], given: Sequence[str]) -> Measure:
    """The mean F1 of the labels that the rows have."""
    import numpy

    labels = {label: place for place, label in enumerate(sorted(set(gold)))}
    count = len(labels)
    parts = numpy.zeros((len(gold), 3 * count))
    for row, (right, label) in enumerate(zip(gold, given, strict=True)):
        parts[row, labels[right] + count] += 1
        if label in labels:
            parts[row, labels[label] + 2 * count] += 1
            parts[row, labels[label]] += right == label

    def f1(sums: Numbers) -> Numbers:
        right, gold, given = (sums[..., part * count : (part + 1) * count] for part in range(3))
        scores = 2 * right / numpy.maximum(gold + given, 1)
        # A label that a resample lacks is no label of it.
        there = gold > 0
        mean: Numbers = (scores * there).sum(-1) / numpy.maximum(there.sum(-1), 1)
        return mean

    return Measure("macro-F1", parts, f1)


def _calibration(accuracy: Measure, answers: Sequence[Answer]) -> Measure:
    """How far scores are from how often they are right, in bins of equal width. Guo et al., ICML 2017."""
    import numpy

    scores = numpy.array([answer.score or 0.0 for answer in answers])
    bins = numpy.minimum((scores * BINS).astype(int), BINS - 1)
    parts = numpy.zeros((len(scores), BINS + 1))
    parts[numpy.arange(len(scores)), bins] = accuracy.parts[:, 0] - scores
    parts[:, BINS] = 1
    return Measure("calibration error", parts, lambda sums: abs(sums[..., :BINS]).sum(-1) / sums[..., BINS])


def translation(rows: Sequence[Row], answers: Sequence[Answer]) -> list[Measure]:
    """Corpus chrF, from 0 to 100. Popović, WMT 2015, as sacrebleu computes it."""
    return [chrf(rows, answers)]


def chrf(rows: Sequence[Row], answers: Sequence[Answer]) -> Measure:
    """See :func:`translation`."""
    import numpy

    metric = _needed("sacrebleu.metrics", "CHRF")()
    statistics = [metric._extract_corpus_statistics([answer.text], [[text] for text in row.gold])[0]
                  for row, answer in zip(rows, answers, strict=True)]  # fmt: skip
    return Measure("chrF", numpy.array(statistics, dtype=float), _chrf)


def _chrf(sums: Numbers) -> Numbers:
    """(…, orders of (given, right, shared)) to chrF2: the mean precision and recall of the orders that there are."""
    import numpy

    given, right, shared = (sums[..., part::3] for part in range(3))
    there = (given > 0) & (right > 0)
    orders = numpy.maximum(there.sum(-1), 1)
    precision = (shared / numpy.maximum(given, 1) * there).sum(-1) / orders
    recall = (shared / numpy.maximum(right, 1) * there).sum(-1) / orders
    score: Numbers = 100 * 5 * precision * recall / numpy.maximum(4 * precision + recall, 1e-16)
    return score


def chrf_signature() -> str:
    """How sacrebleu names its settings."""
    metric = _needed("sacrebleu.metrics", "CHRF")()
    metric.corpus_score(["a"], [["a"]])
    return str(metric.get_signature())


def summaries(rows: Sequence[Row], answers: Sequence[Answer]) -> list[Measure]:
    """ROUGE-1, ROUGE-2 and ROUGE-L, F1 from 0 to 100, stemmed. Lin, 2004, as Google's rouge-score computes it."""
    latin = any(re.search("[A-Za-z0-9]", text) for row in rows for text in row.gold)
    options: dict[str, Any] = {"use_stemmer": True} if latin else {"tokenizer": _Words()}
    scorer = _needed("rouge_score.rouge_scorer", "RougeScorer")([*ROUGE], **options)
    scores = [scorer.score_multi(row.gold, answer.text) for row, answer in zip(rows, answers, strict=True)]
    return [_mean(name, [100 * score[key].fmeasure for score in scores]) for key, name in ROUGE.items()]


class _Words:
    """Takes texts apart that rouge-score's own tokenizer would leave nothing of."""

    def tokenize(self, text: str) -> list[str]:
        """Words; of Chinese and Japanese characters."""
        return _WORD.findall(text.lower())


def spans(rows: Sequence[Row], answers: Sequence[Answer]) -> list[Measure]:
    """F1 of words and exact match, against the best of the right answers. Rajpurkar et al., EMNLP 2016 and ACL 2018.

    Where some questions have no answer, F1 of the others too, and the share of those without that were told apart:
    whoever finds no answer anywhere has a good F1 of all rows.
    """
    pairs = [(row.gold, answer.text) for row, answer in zip(rows, answers, strict=True)]
    f1 = [max(overlap(right, found) for right in gold) for gold, found in pairs]
    exact = [any(words(right) == words(found) for right in gold) for gold, found in pairs]
    found = [_mean("F1", f1), _mean("exact match", exact, right=True)]
    has = [any(row.gold) for row in rows]
    if any(has) and not all(has):
        found.append(_mean("F1 with an answer", f1, counts=has))
        found.append(_mean("no answer told", f1, counts=[not there for there in has]))
    return found


def texts(rows: Sequence[Row], answers: Sequence[Answer]) -> list[Measure]:
    """Of free texts: chrF, F1 of words, and exact match."""
    return [chrf(rows, answers), *spans(rows, answers)]


def overlap(right: str, found: str) -> float:
    """F1 of two texts' words; two texts without any are equal."""
    one, other = Counter(words(right)), Counter(words(found))
    if not one and not other:
        return 1.0
    return 2 * (one & other).total() / (one.total() + other.total())


def words(text: str) -> list[str]:
    """Words without case, marks and articles; a Chinese or Japanese character is one."""
    return [word for word in _WORD.findall(text.lower()) if word not in _ARTICLES]


def _needed(module: str, name: str) -> Any:
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        package = module.partition(".")[0].replace("_", "-")
        raise UsageError(f"{package} is not installed", code="not-installed",
                         hint="pip install 'llmcli[evaluate]'") from error  # fmt: skip


MEASURES: dict[str, Measures] = {
    "classify": labelling, "sentiment": labelling, "translate": translation, "summarize": summaries, "answer": spans,
    "generate": texts,
}  # fmt: skip
"""By task."""
