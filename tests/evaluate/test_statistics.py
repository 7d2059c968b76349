"""Intervals and tests, on published values."""

from __future__ import annotations

import numpy
import pytest

from llmcli.evaluate import measures, statistics
from llmcli.evaluate.answers import Answer
from llmcli.evaluate.comparing import COVERAGES, _risks
from llmcli.evaluate.rows import Row
from llmcli.evaluate.statistics import Measure
from llmcli.run.records import Record


@pytest.mark.parametrize(
    "right, rows, low, high",
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_in_newcombe_1998(right: int, rows: int, low: float, high: float):
    found = statistics.wilson(right, rows)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    "fixed, broke, p",
    [(2, 9, 0.06543), (9, 2, 0.06543), (0, 0, 1.0), (5, 5, 1.0), (1, 9, 0.021484375)],
)
def test_mcnemar_as_in_r_exact2x2(fixed: int, broke: int, p: float):
    assert statistics.mcnemar(fixed, broke) == pytest.approx(p, abs=1e-5)


def test_holm_as_in_r_p_adjust():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])


LSAT = [576, 635, 558, 578, 666, 580, 555, 661, 651, 605, 653, 575, 545, 572, 594]
GPA = [3.39, 3.30, 2.81, 3.03, 3.44, 3.07, 3.00, 3.43, 3.36, 3.13, 3.12, 2.74, 2.76, 2.88, 2.96]


def test_the_bootstrap_as_in_efron_and_tibshirani():
    """The law schools' correlation, 0.776, whose standard error is 0.132 with 3200 resamples (their table 6.1)."""
    x, y = numpy.array(LSAT, dtype=float) / 100, numpy.array(GPA)
    parts = numpy.stack([numpy.ones(15), x, y, x * x, y * y, x * y], axis=1)

    def correlation(sums: numpy.ndarray) -> numpy.ndarray:
        n, x, y, xx, yy, xy = (sums[..., part] for part in range(6))
        return (n * xy - x * y) / numpy.sqrt((n * xx - x * x) * (n * yy - y * y))

    measure = Measure("correlation", parts, correlation)
    assert measure.value == pytest.approx(0.776, abs=5e-4)
    samples = statistics.bootstrap([measure, measure], times=3200)
    assert samples[:, 0].std() == pytest.approx(0.132, abs=0.006)
    assert (samples[:, 0] == samples[:, 1]).all()  # paired: of the same draws
    assert (statistics.bootstrap([measure], times=3200)[:, 0] == samples[:, 0]).all()  # seeded


def rows(*gold: str | tuple[str, ...]) -> list[Row]:
    return [Row(Record(id=place, text="x"), (one,) if isinstance(one, str) else one) for place, one in enumerate(gold)]


def answers(*texts: str) -> list[Answer]:
    return [Answer(text) for text in texts]


def test_macro_f1_as_in_scikit_learn():
    """The example of its page on f1_score."""
    found = {one.name: one for one in measures.labelling(rows(*"012012"), answers(*"021001"))}
    assert found["macro-F1"].value == pytest.approx(0.26666667)
    assert found["accuracy"].value == pytest.approx(1 / 3)


def test_the_calibration_error_by_hand():
    """Three answers with scores around 0.9, two right; one with 0.6, right: |2.7 - 2| / 4 + |0.6 - 1| / 4."""
    scored = [Answer("a", 0.9), Answer("a", 0.92), Answer("b", 0.88), Answer("a", 0.6)]
    found = measures.labelling(rows("a", "a", "a", "a"), [*scored[:2], Answer("b", 0.91), scored[3]])[2]
    assert found.value == pytest.approx((abs(0.9 + 0.92 + 0.91 - 2) + 0.4) / 4)


def test_risk_against_coverage_by_hand():
    from llmcli.evaluate.answers import Answered

    scored = [Answer("a" if place < 8 else "b", 1 - place / 10) for place in range(10)]
    given = rows(*["a"] * 10)
    accuracy = measures.labelling(given, scored)[0]
    found = {risk.coverage: risk for risk in _risks(accuracy, Answered("m", scored))}
    assert [*found] == [*COVERAGES]
    assert found[1.0].error == pytest.approx(0.2)
    assert found[0.9].error == pytest.approx(1 / 9)
    assert (found[0.8].error, found[0.8].score) == (0.0, pytest.approx(0.3))


REFERENCES = ["The dog bit the man.", "It was not unexpected.", "The man bit him first."]
SYSTEM = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]


def test_chrf_is_sacrebleus():
    """The example of its page, and an answer that is empty."""
    from sacrebleu import corpus_chrf

    for system in (SYSTEM, ["", *SYSTEM[1:]]):
        expected = corpus_chrf(system, [REFERENCES]).score
        assert measures.translation(rows(*REFERENCES), answers(*system))[0].value == pytest.approx(expected)
    assert "|nc:6|" in measures.chrf_signature()


def test_rouge_is_googles():
    """The example of rouge-score's page; words of Chinese are characters."""
    found = measures.summaries(
        rows("The quick brown fox jumps over the lazy dog"), answers("The quick brown dog jumps on the log.")
    )
    assert found[0].value == pytest.approx(100 * 2 * 6 / (8 + 9))
    assert measures.summaries(rows("猫在桥上"), answers("猫在河上"))[0].value == pytest.approx(75)


@pytest.mark.parametrize(
    "gold, found, f1, exact",
    [
        (("Tom Reilly",), "tom reilly", 1, 1),
        (("the Tom Reilly", "a fisherman"), "local fisherman", 2 / 3, 0),
        (("",), "", 1, 1),
        (("",), "Tom", 0, 0),
        (("儿童读物",), "儿童", 2 / 3, 0),
    ],
)
def test_answers_as_squad_scores_them(gold: tuple[str, ...], found: str, f1: float, exact: int):
    scores = [one.value for one in measures.spans(rows(gold), answers(found))]
    assert scores == pytest.approx([f1, exact])


def test_questions_without_an_answer_are_told_apart_from_the_others():
    """Who never finds one has a half of all rows right here, and none of those that have an answer."""
    gold = rows(("",), ("Tom",), ("",), ("the fisherman",))
    never, mixed = ({one.name: one.value for one in measures.spans(gold, answers(*found))}
                    for found in (("", "", "", ""), ("", "Tom", "Ann", "a local fisherman")))  # fmt: skip
    assert never == {"F1": 0.5, "exact match": 0.5, "F1 with an answer": 0.0, "no answer told": 1.0}
    assert mixed["F1 with an answer"] == pytest.approx((1 + 2 / 3) / 2)
    assert mixed["no answer told"] == 0.5
