"""``llmcli compare``: which of several models answers labelled rows best, and whether that is more than chance."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmcli.cli import judging
from llmcli.config import offered
from llmcli.errors import UsageError
from llmcli.reports import put

if TYPE_CHECKING:
    from typer import Option

app = typer.Typer()
HELP = """Compare models on labelled rows: scores with 95% intervals, and each pair's difference on the same rows.

    The difference's interval is a paired bootstrap's; p is McNemar's, exact, where answers are right or wrong, and
    Holm's adjustment of it for several pairs. With --margin the exit code is 1 unless each model is shown to be no
    more than that worse than the first.

    Example: llmcli compare TASK gold.csv -m gemma-3-270m -m ./my-model

    Example: llmcli compare TASK gold.jsonl --results before.jsonl --results after.jsonl --margin 0.01
    """


@dataclass(frozen=True)
class CompareOptions:
    """Which models, and what must hold."""

    model: Annotated[
        list[str],
        Option("--model", "-m", help="A model's name, or the folder of a checkpoint; repeatable.",
               rich_help_panel="Model", show_default=False, autocompletion=offered.models),
    ] = field(default_factory=list)  # fmt: skip
    margin: Annotated[
        float | None,
        Option(min=0.0, help="Exit code 1 unless no model is shown to be worse than the first by more than this.",
               rich_help_panel="Output", show_default=False),
    ] = None  # fmt: skip


def compare(task: str, values: dict[str, Any]) -> int:
    """Print a comparison; 1 where --margin does not hold."""
    from llmcli.evaluate import comparing, report

    if len(values["model"]) + len(values["results"]) < 2:
        raise UsageError("give two models or more", hint="-m A -m B, or --results FILE")
    if len(set(values["model"])) < len(values["model"]):
        raise UsageError("a model is given twice")
    judged = judging.judge(task, values, values["model"])
    found = [comparing.evaluate(task, judged.rows, answered) for answered in judged.answered]
    pairs = comparing.differences(task, judged.rows, judged.answered)
    least = -values["margin"] if values["margin"] is not None else None
    holds = least is None or all(pair.interval.low >= least for pair in pairs[: len(found) - 1])
    if values["json"]:
        margin = {} if least is None else {"margin": values["margin"], "not_worse": holds}
        put(json.dumps({"task": task, "models": [report.as_json(one) for one in found],
                        "differences": [report.difference_as_json(pair) for pair in pairs], **margin},
                       ensure_ascii=False))  # fmt: skip
    else:
        for line in report.compared(found, pairs):
            put(line)
        if least is not None:
            put("")
            put(f"{'not' if holds else 'not shown to be not'} worse than {found[0].answered.model} "
                f"by more than {values['margin']:g}")  # fmt: skip
    judging.draw(values["svg"], found)
    return 0 if holds else 1


judging.command(app, compare, HELP, CompareOptions)
