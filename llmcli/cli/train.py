"""``llmcli train``: from labelled rows to a better model."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from llmcli import tasks
from llmcli.cli import judging, progress, status
from llmcli.cli.flatten import flatten
from llmcli.reports import put, say
from llmcli.run.request import groups, request

if TYPE_CHECKING:
    from typer import Argument, Option

    from llmcli.cli.progress import Preparing
    from llmcli.train.loop import Progress


app = typer.Typer()
TASKS = ("answer", "classify", "generate", "sentiment", "summarize", "translate")
LEFT_OUT = judging.LEFT_OUT | {
    "threshold", "example", "describe", "worker", "quantize", "plain", "batch_size", "allow_pickle", "dtype", "free",
    "method_", "auto_method",
}  # fmt: skip
"""Options of the tasks that mean nothing here."""
HELP = """Train a model for TASK on labelled rows; what is written is a model by its path, if it is better.

    The score of the model as it is now is printed first, then each method's on rows that are not learnt from. The best
    is written, loaded by a fresh process, and compared on rows that nothing saw. Where nothing is better, nothing is
    kept. Ctrl-C ends with the best so far; --resume goes on after a crash.

    Example: llmcli train TASK rows.csv --label-field right -o my-model

    Example: llmcli train TASK rows.jsonl -o my-model --minutes 20
    """


@dataclass(frozen=True)
class TrainOptions:
    """How it is trained, and where the model goes."""

    files: Annotated[
        list[Path], Argument(help="Files of labelled rows: .jsonl, .json, .csv, .tsv; '-' is standard input.")
    ]
    output: Annotated[Path, Option("--output", "-o", help="The folder to write.", rich_help_panel="Training")]
    label_field: Annotated[
        str | None,
        Option(help="The field that holds what is right; --reference-field is another name of it.",
               rich_help_panel="Rows", show_default="label, reference, answers or completion, by task"),
    ] = None  # fmt: skip
    reference_field: Annotated[str | None, Option(help="As --label-field.", hidden=True)] = None
    method: Annotated[
        Literal["auto", "calibrate", "probe", "lora", "full"],
        Option(help="'calibrate': a temperature and a bias a label. 'probe': a classifier on a frozen state. 'lora': "
               "an adapter. 'full': all weights of a small encoder. 'auto': those that fit, the best is kept.",
               rich_help_panel="Training"),
    ] = "auto"  # fmt: skip
    minutes: Annotated[
        float | None, Option(min=0.0, help="The most minutes of training.", rich_help_panel="Training",
                             show_default=False)
    ] = None  # fmt: skip
    test: Annotated[
        float, Option("--test-share", min=0.05, max=0.9, help="The share of rows that nothing sees before the end.",
                      rich_help_panel="Rows")
    ] = 0.2  # fmt: skip
    seed: Annotated[int, Option(min=0, help="Decides the split and the order of rows.", rich_help_panel="Training")] = 0
    epochs: Annotated[int, Option(min=1, help="How often each row is read.", rich_help_panel="Training")] = 3
    batch: Annotated[int, Option(min=1, help="Rows of a step.", rich_help_panel="Training")] = 16
    rank: Annotated[int, Option(min=1, max=256, help="Of the adapter.", rich_help_panel="Training")] = 8
    rate: Annotated[
        float | None, Option(min=0.0, help="The learning rate.", rich_help_panel="Training",
                             show_default="0.0002; 0.00005 for 'full'")
    ] = None  # fmt: skip
    merge: Annotated[
        bool, Option("--merge", help="Write whole weights, not an adapter.", rich_help_panel="Training")
    ] = False
    resume: Annotated[
        bool | None,
        Option("--resume/--no-resume", help="Go on where an unfinished run with this --output stopped, or start anew.",
               rich_help_panel="Training", show_default=False),
    ] = None  # fmt: skip


class Training:
    """How far training is: on the status line, or a line now and then."""

    def __init__(self, report: Preparing, *, quiet: bool) -> None:
        self._report, self._lines, self._said = report, not quiet and not status.terminal(), time.monotonic()
        self._state = ""
        report.work = lambda: self._state

    def hear(self, found: Progress) -> None:
        """Take how far it is."""
        self._report("ready", 1.0)
        parts = [found.method]
        if found.step:
            parts += [f"step {found.step:,} of {found.steps:,}", f"loss {found.loss:.3f}"]
        if found.best is not None:
            parts.append(f"best {found.best:.3f}")
        if found.left is not None:
            parts.append(f"{progress.clock(found.left)} left")
        self._state = ", ".join(parts)
        now = time.monotonic()
        if self._lines and now - self._said > progress.EVERY:
            self._said = now
            say(f"llmcli: {self._state}")


def train(task: str, values: dict[str, Any]) -> None:
    """Train, and print what came of it."""
    from llmcli.cli import signals
    from llmcli.config import places
    from llmcli.evaluate import rows
    from llmcli.run.resolve import resolve
    from llmcli.train import training
    from llmcli.train.job import Asked, Ears

    declared = tasks.get(task)
    own = {item.name: values.pop(item.name) for item in fields(TrainOptions)}
    label_field, other_name = own.pop("label_field"), own.pop("reference_field")
    with progress.preparing(values) as report:
        config = resolve(declared, request(declared, values | {"input": own.pop("files")}).settings)
        report.introduce(config.model.name, [])
        report.settle(quiet=values["quiet"], bar=not values["no_progress"], verbose=values["verbose"])
        found = rows.read(config, label_field or other_name)
        if found.broken and not values["quiet"]:
            judging.say_broken(found)
        asked = Asked(**own | {"output": places.absolute(own["output"])})
        shown = Training(report, quiet=values["quiet"])
        with signals.Stopping(quiet=values["quiet"]) as stopping:
            ears = Ears(put, shown.hear, report, stopping.asked)
            training.train(declared, config, found, asked, ears)


def _command(name: str) -> Callable[..., Any]:
    return flatten(lambda values: train(name, values), [TrainOptions, *groups(tasks.get(name))], without=LEFT_OUT)


for _name in TASKS:
    app.command(_name, help=inspect.cleandoc(HELP).replace("TASK", _name))(_command(_name))
