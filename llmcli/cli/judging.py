"""What `evaluate` and `compare` share: labelled rows, and the answers of a model to them."""

from __future__ import annotations

import contextlib
import errno
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmcli import tasks
from llmcli.cli.flatten import flatten
from llmcli.errors import OutputError, UsageError, shown
from llmcli.run.request import OF_ONE_RUN, Request, groups, request

if TYPE_CHECKING:
    from typer import Argument, Option

    from llmcli.config.run_config import AnyConfig
    from llmcli.evaluate.answers import Answered
    from llmcli.evaluate.comparing import Evaluation
    from llmcli.evaluate.rows import Row

TASKS = ("answer", "classify", "generate", "sentiment", "summarize", "translate")
"""Tasks whose answers can be right or wrong."""
LEFT_OUT = OF_ONE_RUN | {
    "check", "against", "detect", "strict", "memory",
    "grep", "abstain", "unsure", "num_return_sequences", "no_stream", "show_thinking", "all_scores", "multi", "explain",
}  # fmt: skip
"""Options of the tasks that mean nothing here."""


@dataclass(frozen=True)
class RowOptions:
    """Labelled rows, and what is shown of them."""

    files: Annotated[
        list[Path], Argument(help="Files of labelled rows: .jsonl, .json, .csv, .tsv; '-' is standard input.")
    ]
    label_field: Annotated[
        str | None,
        Option(help="The field that holds what is right; --reference-field is another name of it.",
               rich_help_panel="Rows", show_default="label, reference, answers or completion, by task"),
    ] = None  # fmt: skip
    reference_field: Annotated[str | None, Option(help="As --label-field.", hidden=True)] = None
    results: Annotated[
        list[Path],
        Option("--results", help="Judge the stored results of a run, found by their ids; repeatable in compare.",
               rich_help_panel="Rows", show_default=False),
    ] = field(default_factory=list)  # fmt: skip
    drop_seen: Annotated[
        bool, Option("--drop-seen", help="Leave out rows that the model was trained on.", rich_help_panel="Rows")
    ] = False  # fmt: skip
    json: Annotated[bool, Option("--json", help="One JSON object.", rich_help_panel="Output")] = False
    svg: Annotated[
        Path | None,
        Option(help="Write a picture of the scores and their intervals.", rich_help_panel="Output", show_default=False),
    ] = None  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """Rows, and each model's answers to them."""

    rows: list[Row]
    answered: list[Answered]


def command(app: typer.Typer, verb: Callable[[str, dict[str, Any]], Any], text: str, *own: type[Any]) -> None:
    """Add a command for each task. ``own``: options beside the tasks' and RowOptions; ``text``: its help."""

    def run(name: str) -> Callable[[dict[str, Any]], Any]:
        return lambda values: verb(name, values)

    for name in TASKS:
        shown = flatten(run(name), [RowOptions, *own, *groups(tasks.get(name))], without=LEFT_OUT)
        app.command(name, help=inspect.cleandoc(text).replace("TASK", name))(shown)


def judge(task: str, values: Mapping[str, Any], models: Sequence[str | None]) -> Judged:
    """The answers of models, and of stored runs. Raises UsageError where there are none to ask for."""
    from llmcli.cli import progress
    from llmcli.evaluate import rows, seen

    given = {name: value for name, value in values.items() if name != "model"} | {"input": values["files"]}
    with progress.preparing(values) as report:
        declared = tasks.get(task)
        asked = [request(declared, {**given, "model": name}) for name in models]
        runs = [_resolved(one, stored=False) for one in asked]
        reading = runs[0] if runs else _resolved(request(declared, given), stored=True)
        _check_picture(values["svg"], reading, values["results"])
        found = rows.read(reading, values["label_field"] or values["reference_field"])
        if found.broken and not values["quiet"]:
            say_broken(found)
        labels = rows.labels(found.usable) if task in ("classify", "sentiment") else []
        folders = [(run.model.name, run.model.trained) for run in runs if run.model.trained is not None]
        usable = seen.unseen(found.usable, folders, drop=values["drop_seen"])
        if labels and not values["quiet"]:
            _say_outside(usable, runs)
        answered = [_asked(_labelled(one, run, labels), usable, report) for one, run in zip(asked, runs, strict=True)]
        return Judged(usable, answered + _stored(values["results"], reading, usable))


def say_broken(found: Any) -> None:
    """Say which rows cannot be used, and why."""
    from llmcli.reports import RowErrors, say

    errors = RowErrors()
    for record in found.broken:
        errors.say(record.error)
    errors.close()
    say(f"llmcli: {len(found.broken)} of {found.read} rows cannot be used")


def _resolved(asked: Request, *, stored: bool) -> AnyConfig:
    """The run of a request; of ``stored`` results no model is asked what it is."""
    from llmcli.run.resolve import merged, resolve

    task = tasks.get(asked.task)
    return task.prepare(merged(task, asked.settings, describe=False)) if stored else resolve(task, asked.settings)


def _asked(asked: Request, usable: list[Row], report: Any) -> Answered:
    from llmcli.cli import progress
    from llmcli.evaluate import answers
    from llmcli.worker import client

    opened = client.open_session(asked, report)
    task = tasks.get(asked.task)
    output = opened.run.output
    report.settle(quiet=output.quiet, bar=not output.no_progress, verbose=output.verbose)
    with (
        contextlib.closing(opened.session) as session,
        progress.Rows(report, total=len(usable), quiet=output.quiet, batch=True) as rows,
    ):
        answered = answers.ask(task, session, usable, ready=lambda: report.ready, count=rows.count)
    _check_labels(asked.task, usable, answered)
    return answered


def _labelled(asked: Request, run: AnyConfig, names: Sequence[str]) -> Request:
    """The request; where nobody says among which labels to choose, those of the rows are meant."""
    if asked.task != "classify" or run.settings.labels or _has_own_labels(run):
        return asked
    return replace(asked, settings={**asked.settings, "labels": [{"name": name} for name in names]})


def _say_outside(usable: Sequence[Row], runs: Sequence[AnyConfig]) -> None:
    """Say of how many rows the right label is none of those that a model is given to choose among."""
    from llmcli.reports import say

    for run in runs:
        names = {label.name for label in run.settings.labels or []}
        if not names or _has_own_labels(run):
            continue
        outside = [row.gold[0] for row in usable if row.gold[0] not in names]
        if outside:
            listed = ", ".join(sorted(set(outside))[:5])
            say(f"llmcli: {run.model.name} cannot be right on {len(outside)} of {len(usable)} rows: "
                f"their labels are not among those to choose from: {listed}")  # fmt: skip


def _has_own_labels(run: AnyConfig) -> bool:
    """Whether its checkpoint has a head for labels of its own."""
    return run.model.facts.chooses and not run.model.facts.hypotheses


def _check_labels(task: str, usable: list[Row], answered: Answered) -> None:
    """Raise UsageError where no answer could have been right: the model has other labels."""
    if task not in ("classify", "sentiment"):
        return
    given = {answer.text for answer in answered.answers if not answer.failed}
    gold = {row.gold[0] for row in usable}
    if given and not given & gold:
        raise UsageError(f"{answered.model} gives other labels than the rows have: {', '.join(sorted(given)[:5])}",
                         code="other-labels", hint=f"the rows have {', '.join(sorted(gold)[:5])}")  # fmt: skip


def _stored(paths: Sequence[Path], run: AnyConfig, usable: list[Row]) -> list[Answered]:
    from llmcli.evaluate import answers

    found = [answers.stored(path, run, usable) for path in paths]
    if len({one.model for one in found}) < len(found):
        found = [replace(one, model=path.stem) for one, path in zip(found, paths, strict=True)]
    for one in found:
        _check_labels(run.task, usable, one)
    return found


def _check_picture(path: Path | None, run: AnyConfig, results: Sequence[Path]) -> None:
    """Refuse, before any work, a picture in place of what is read, or in no folder. Raises UsageError, OutputError."""
    if path is None:
        return
    from llmcli.data import inputs, targets

    source = replace(run.source, input=[*run.source.input, *results])
    drawing = replace(run, source=source, output=replace(run.output, output=path, json=False))
    targets.check(drawing, inputs.listed(drawing))
    if not path.parent.is_dir():
        raise OutputError(f"{shown(path)}: {os.strerror(errno.ENOENT)}", code="write")


def draw(path: Path | None, found: Sequence[Evaluation]) -> None:
    """Write the picture. Raises OutputError."""
    if path is None:
        return
    from llmcli.config import whole_file
    from llmcli.evaluate.picture import svg

    whole_file.write(path, svg(found))
