"""``llmcli evaluate``: how good a model's answers to labelled rows are."""

from __future__ import annotations

import json
from typing import Any

import typer

from llmcli.cli import judging
from llmcli.errors import UsageError
from llmcli.reports import put

app = typer.Typer()
HELP = """Score a model on labelled rows: its measures, each with its 95% interval, and what it costs.

    Labels: accuracy, macro-F1, each label, confusion, calibration error, and errors among the surest answers.
    Translations: chrF. Summaries: ROUGE. Answers: F1 and exact match. Rows that the model was trained on are refused.

    Example: llmcli evaluate TASK gold.csv --label-field right -m ./my-model

    Example: llmcli evaluate TASK gold.jsonl --results scored.jsonl --json
    """


def evaluate(task: str, values: dict[str, Any]) -> None:
    """Print an evaluation."""
    from llmcli.evaluate import comparing, report

    results = values["results"]
    if len(results) > 1 or (results and values["model"]):
        raise UsageError("evaluate is for one model, or one file of results", hint="llmcli compare takes several")
    judged = judging.judge(task, values, [] if results else [values["model"]])
    (found,) = [comparing.evaluate(task, judged.rows, answered) for answered in judged.answered]
    if values["json"]:
        put(json.dumps({"task": task, **report.as_json(found)}, ensure_ascii=False))
    else:
        for line in report.lines(found):
            put(line)
    judging.draw(values["svg"], [found])


judging.command(app, evaluate, HELP)
