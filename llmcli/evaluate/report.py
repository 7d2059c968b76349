"""Evaluations as JSON values, and as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from llmcli.errors import one_line
from llmcli.evaluate.comparing import Difference, Evaluation, measures
from llmcli.evaluate.statistics import Interval

SHOWN = 12
"""Ids of flipped rows, and labels of a confusion table, that people are shown: JSON has all."""
DIGITS = 6


def as_json(found: Evaluation) -> dict[str, Any]:
    """All that is known of a model's answers."""
    answered = found.answered
    values: dict[str, Any] = {
        "model": answered.model,
        "rows": found.rows,
        "failed": answered.failed,
        "scores": {score.name: {"value": _round(score.value), **_ends(score.interval)} for score in found.scores},
        "rows_per_second": _round(answered.rows_per_second),
        "tokens_per_row": _round(answered.tokens_per_row),
    }
    if found.signature:
        values["signature"] = found.signature
    if found.classes:
        values["classes"] = {
            one.label: {"precision": _round(one.precision), "recall": _round(one.recall), "f1": _round(one.f1),
                        "rows": one.rows} for one in found.classes}  # fmt: skip
        values["confusion"] = found.confusion
    if found.risks:
        values["risk"] = [{"coverage": risk.coverage, "error": _round(risk.error), "score": _round(risk.score)}
                          for risk in found.risks]  # fmt: skip
    return values


def difference_as_json(pair: Difference) -> dict[str, Any]:
    """What one model has more than another."""
    return {"first": pair.first, "second": pair.second, "measure": pair.measure, "gain": _round(pair.gain),
            **_ends(pair.interval), "p": _round(pair.p), "test": pair.test, "fixed": pair.fixed,
            "broke": pair.broke}  # fmt: skip


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def _ends(interval: Interval) -> dict[str, float]:
    return {"low": round(interval.low, DIGITS), "high": round(interval.high, DIGITS)}


def lines(found: Evaluation) -> Iterator[str]:
    """A model's scores for people."""
    answered = found.answered
    yield f"{answered.model}: {found.rows} rows" + (f", {answered.failed} failed" if answered.failed else "")
    yield from aligned([[f"  {score.name}", number(score.value), ends(score.interval)] for score in found.scores])
    if cost := "; ".join(_cost(found)):
        yield f"  {cost}"
    if found.signature:
        yield f"  chrF: {found.signature}"
    if found.classes:
        yield ""
        rows = [[one.label, *(f"{value:.3f}" for value in (one.precision, one.recall, one.f1)), str(one.rows)]
                for one in found.classes]  # fmt: skip
        yield from aligned([["label", "precision", "recall", "F1", "rows"], *rows])
        yield from _confusion(found)
    if found.risks:
        yield ""
        yield from aligned([["answered", "wrong", "score from"], *(
            [f"{risk.coverage:.0%}", f"{risk.error:.3f}", f"{risk.score:.3f}"] for risk in found.risks)])  # fmt: skip


def _confusion(found: Evaluation) -> Iterator[str]:
    given = sorted({label for row in found.confusion.values() for label in row})
    if len(given) > SHOWN:
        return
    yield ""
    yield from aligned([["right \\ given", *given], *(
        [label, *(str(row.get(name, 0)) for name in given)] for label, row in found.confusion.items())])  # fmt: skip


def _cost(found: Evaluation) -> Iterator[str]:
    if (rate := found.answered.rows_per_second) is not None:
        yield f"{rate:.1f} rows/s"
    if (tokens := found.answered.tokens_per_row) is not None:
        yield f"{tokens:.0f} tokens a row"


def compared(found: Sequence[Evaluation], pairs: Sequence[Difference]) -> Iterator[str]:
    """Several models side by side, and each pair, for people."""
    names = measures(found)
    table = [["model", *names, "rows/s", "tokens a row"]]
    for one in found:
        cells = [f"{number(score.value)} {ends(score.interval)}" if (score := one.score(name)) else "-"
                 for name in names]  # fmt: skip
        rate, tokens = one.answered.rows_per_second, one.answered.tokens_per_row
        table.append([one.answered.model, *cells, "" if rate is None else f"{rate:.1f}",
                      "" if tokens is None else f"{tokens:.0f}"])  # fmt: skip
    yield from aligned(table)
    for pair in pairs:
        yield ""
        gain = f"{pair.measure} {signed(pair.gain)} {ends(pair.interval, sign=True)}"
        yield f"{pair.second} against {pair.first}: {gain}, p = {pair.p:.2g} ({pair.test})"
        for what, ids in (("fixed", pair.fixed), ("broke", pair.broke)):
            if ids:
                more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
                yield f"  {what} {len(ids)} rows: {', '.join(map(str, ids[:SHOWN]))}{more}"


def number(value: float) -> str:
    """A score: of 0 to 1 with three decimals, of 0 to 100 with two."""
    return f"{value:.3f}" if abs(value) <= 1 else f"{value:.2f}"


def signed(value: float) -> str:
    """A difference of two scores."""
    return f"+{number(value)}" if value >= 0 else number(value)


def ends(interval: Interval, *, sign: bool = False) -> str:
    """An interval."""
    show = signed if sign else number
    return f"[{show(interval.low)}, {show(interval.high)}]"


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns side by side."""
    clean = [[one_line(cell) if cell.strip() == cell else cell for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    for row in clean:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
