"""What is trained and what was made of it, and the ways in which every method asks a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmcli.config.run_config import AnyConfig
from llmcli.config.schemas import Label
from llmcli.evaluate.answers import Answer, of_result
from llmcli.evaluate.measures import LABELS, measured
from llmcli.evaluate.rows import Row
from llmcli.run import runner
from llmcli.run.records import Result
from llmcli.run.session import Local
from llmcli.run.task import Task
from llmcli.train import calibrating
from llmcli.train.loop import Judgement, Plan, Progress
from llmcli.train.splitting import Prepared
from llmcli.train.state import State

if TYPE_CHECKING:
    from llmcli.reports import Report


@dataclass(frozen=True)
class Asked:
    """What the command line asks for beside the run."""

    output: Path
    method: str
    minutes: float | None
    test: float
    seed: int
    epochs: int
    batch: int
    rank: int
    rate: float | None
    merge: bool
    resume: bool | None


@dataclass(frozen=True)
class Ears:
    """Who hears of the training: a line for people, how far it is, the stages of loading, and whether to stop."""

    tell: Callable[[str], None]
    hear: Callable[[Progress], None]
    report: Report
    stop: Callable[[], bool]


@dataclass(frozen=True)
class Untrained:
    """Results of the model as it is now, by side, and the loaded model, where it was needed."""

    found: Mapping[str, list[Result]]
    model: Any


@dataclass(frozen=True)
class Job:
    """What is to be trained: a run as it is now, on rows. ``labels``: those of the rows, for tasks that have them."""

    task: Task[Any]
    config: AnyConfig
    rows: Prepared
    labels: tuple[str, ...]
    plan: Plan
    rank: int
    state: State
    report: Report
    hear: Callable[[Progress], None]
    tell: Callable[[str], None]

    @property
    def kind(self) -> str:
        """The pipeline's name."""
        return self.config.model.pipeline

    @property
    def labelled(self) -> bool:
        """Whether the task puts labels on rows."""
        return self.task.name in LABELS


@dataclass(frozen=True)
class Made:
    """What a method made: the run with it, how good it is on the rows to choose by, and how it is written.

    ``answers`` gives its answers in this process; where ``plain``, as it was trained: in float32, without shortcuts.
    ``whole``: what is written is a checkpoint of its own.
    """

    method: str
    config: AnyConfig
    judged: Judgement
    seconds: float
    answers: Callable[[Sequence[Row]], list[Answer]]
    write: Callable[[Path], None] = field(default=lambda folder: None)
    merge: Callable[[Path], None] | None = None
    plain: bool = False
    whole: bool = False


def results(job: Job, config: AnyConfig, model: Any, rows: Sequence[Row]) -> list[Result]:
    """What a loaded model answers, the way that every command takes."""
    session = Local(job.task, config, load=lambda config, *, report: model)
    return list(runner.run(session, iter([row.record for row in rows]), row_fields=job.task.row_fields))


def judged(job: Job, rows: Sequence[Row], found: Sequence[Result], *, loss: float = 0.0) -> Judgement:
    """How good results are. Of labels the loss is that of their scores."""
    measure = measured(job.task.name, rows, [of_result(result) for result in found])[0].value
    if job.labelled:
        scores = [result.fields.get("scores", {}).get(row.gold[0], 0.0)
                  for row, result in zip(rows, found, strict=True)]  # fmt: skip
        loss = -sum(math.log(max(score, 1e-12)) for score in scores) / len(scores)
    return Judgement(measure, loss)


def scored(job: Job) -> AnyConfig:
    """The run as it is now, with the scores of all labels."""
    if not job.labelled:
        return job.config
    return replace(job.config, options=replace(job.config.options, all_scores=True))


def bare(job: Job) -> AnyConfig:
    """The run without what examples are for: no worked examples, no preference that is taken back."""
    settings = job.config.settings
    update: dict[str, Any] = {}
    if settings.prompt is not None:
        update["prompt"] = settings.prompt.model_copy(update={"examples": []})
    if settings.labels:
        update |= {"labels": [Label(name=label.name, words=label.words) for label in settings.labels],
                   "label_temperature": 1.0, "neutral": []}  # fmt: skip
    config = replace(scored(job), settings=settings.model_copy(update=update))
    if job.task.name == "summarize" and config.model.facts.instructed:
        return replace(config, options=replace(config.options, method="abstractive"))
    return config


def plain(config: AnyConfig) -> AnyConfig:
    """A run in float32, without shortcuts: the form in which weights are trained."""
    update = {"dtype": "float32", "plain": True, "quantize": None}
    return replace(config, settings=config.settings.model_copy(update=update))


def tempered(config: AnyConfig, rows: Sequence[Row], found: Sequence[Result]) -> AnyConfig:
    """The run with the temperature under which its scores say how often they are right; no answer changes."""
    usable = [(result.fields["scores"], row.gold[0]) for result, row in zip(found, rows, strict=True)
              if result.error is None and row.gold[0] in result.fields["scores"]]  # fmt: skip
    if not usable or not config.model.facts.instructed:
        return config
    heat = calibrating.fit([scores for scores, _ in usable], [gold for _, gold in usable], biases=False).temperature
    settings = config.settings
    update = {"label_temperature": round((settings.label_temperature or 1.0) * heat, 4)}
    return replace(config, settings=settings.model_copy(update=update))


def answers(job: Job, config: AnyConfig, model: Any, rows: Sequence[Row]) -> list[Answer]:
    """What a loaded model answers, without the rest of its results."""
    return [of_result(result) for result in results(job, config, model, rows)]
