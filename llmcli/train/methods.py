"""The ways to train, cheapest first: calibrate, probe, lora, full. Each gives what it made, and how good that is."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmcli.config.model_config import ModelConfig
from llmcli.config.run_config import AnyConfig
from llmcli.config.schemas import Label
from llmcli.errors import GenerationError, InputError, ModelError
from llmcli.evaluate.answers import Answer, of_result
from llmcli.evaluate.measures import LABELS, measured
from llmcli.evaluate.rows import Row
from llmcli.models import checking
from llmcli.run import runner
from llmcli.run.records import Result
from llmcli.run.session import Local
from llmcli.run.task import Task
from llmcli.train import calibrating
from llmcli.train.loop import Judgement, Plan, Progress, Run
from llmcli.train.splitting import CHOOSE, LEARN, Prepared
from llmcli.train.state import State

if TYPE_CHECKING:
    from llmcli.reports import Report
    from llmcli.train.objectives import Item, Objective

SMALL = 150_000_000
"""Weights of an encoder that is trained whole."""
WATCHED = 32
"""Rows whose texts are generated to see how good a model is while it is trained; of labels all are asked for."""
CLOSE = 1e-3
"""How far a loss may move, of itself, when an adapter is joined into the weights."""
METHODS = ("calibrate", "probe", "lora", "full")


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


def suited(task: str, model: ModelConfig, asked: str) -> list[str]:
    """The methods to try. Raises ModelError for one that the base model does not allow."""
    kind = model.pipeline
    if kind not in ("causal", "seq2seq", "classification"):
        raise ModelError(f"{model.name}: a {kind} model is not trained here", code="wrong-task",
                         hint="give a causal model, an encoder-decoder or a classifier with --model")  # fmt: skip
    if not model.able(task, labels=task in LABELS):
        raise ModelError(f"{model.name} cannot do {task}", code="wrong-task", hint=f"it can do {model.abilities}")
    allowed = ["lora"]
    if kind == "classification":
        allowed = ["full", "lora"]
    elif task in LABELS:
        allowed = ["calibrate", "probe", "lora"]
    if asked == "auto":
        return allowed[:1] if kind == "classification" else allowed
    if asked not in allowed:
        raise ModelError(f"--method {asked} is not for {task} with a {kind} model", code="wrong-task",
                         hint=f"give --method {' or '.join(allowed)}")  # fmt: skip
    return [asked]


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


def calibrate(job: Job, model: Any, known: Sequence[Result]) -> Made:
    """A temperature, and biases of labels; ``model`` as it is now, ``known``: its results on the rows to learn from."""
    begin, rows = time.monotonic(), job.rows.of(LEARN)
    usable = [(result.fields["scores"], row.gold[0]) for result, row in zip(known, rows, strict=True)
              if result.error is None]  # fmt: skip
    if not usable:
        raise InputError("no row to learn from could be answered", code="too-few")
    fitted = calibrating.fit([scores for scores, _ in usable], [gold for _, gold in usable])
    settings = job.config.settings
    heat = settings.label_temperature or 1.0
    labels = [label.model_copy(update={"bias": round(label.bias + heat * fitted.bias[label.name], 4)})
              for label in settings.labels or []]  # fmt: skip
    update = {"labels": labels, "label_temperature": round(heat * fitted.temperature, 4)}
    config = replace(scored(job), settings=settings.model_copy(update=update))
    choose = job.rows.of(CHOOSE)
    return Made("calibrate", config, judged(job, choose, results(job, config, model, choose)),
                time.monotonic() - begin, lambda rows: _answers(job, config, model, rows))  # fmt: skip


def probe(job: Job, model: Any) -> Made:
    """A logistic regression on a frozen state. ``model`` is as it is served."""
    from llmcli.pipelines.probe import ProbeModel
    from llmcli.train import probing
    from llmcli.train.examples import examples

    begin, config = time.monotonic(), bare(job)
    learn, choose = job.rows.of(LEARN), job.rows.of(CHOOSE)
    known, unseen = (examples(job.task, config, model, rows) for rows in (learn, choose))
    gold, right = ([example.gold for example in found] for found in (known, unseen))
    job.hear(Progress("probe", 0, 1, 0.0, None, None))
    read = _states(job, model, [*known, *unseen])
    best = None
    for layer, states in read.items():
        for pull in probing.PULLS:
            made = probing.fit(states[: len(known)], gold, job.labels, layer=layer, pull=pull)
            score = probing.score(made, states[len(known) :], right)
            if best is None or score > best[0]:
                best = score, made
    assert best is not None  # some layer was tried
    fitted = best[1]
    served = ProbeModel(model.model, model.encoder, probe=fitted, window=model.context_window)
    found = results(job, config, served, choose)
    config = _tempered(config, choose, found)
    return Made(
        "probe", config, judged(job, choose, found), time.monotonic() - begin,
        lambda rows: _answers(job, config, served, rows), lambda folder: probing.save(fitted, folder),
    )  # fmt: skip


def _states(job: Job, model: Any, found: Sequence[Any]) -> dict[int, Any]:
    """The states of all examples; they are kept, because reading them takes the time."""
    from llmcli.train import probing

    if held := job.state.get("states"):
        return {int(name): tensor for name, tensor in held.tensors.items()}
    read = probing.states(model, found)
    job.state.put("states", {}, {str(layer): states for layer, states in read.items()})
    return read


def _tempered(config: AnyConfig, rows: Sequence[Row], found: Sequence[Result]) -> AnyConfig:
    """The run with the temperature under which its scores say how often they are right; no answer changes."""
    usable = [(result.fields["scores"], row.gold[0]) for result, row in zip(found, rows, strict=True)
              if result.error is None and row.gold[0] in result.fields["scores"]]  # fmt: skip
    if not usable or not config.model.facts.instructed:
        return config
    heat = calibrating.fit([scores for scores, _ in usable], [gold for _, gold in usable], biases=False).temperature
    settings = config.settings
    update = {"label_temperature": round((settings.label_temperature or 1.0) * heat, 4)}
    return replace(config, settings=settings.model_copy(update=update))


def _answers(job: Job, config: AnyConfig, model: Any, rows: Sequence[Row]) -> list[Answer]:
    return [of_result(result) for result in results(job, config, model, rows)]


def descend(job: Job, method: str) -> Made | None:
    """An adapter, or all weights of a small encoder, by gradient descent; None where there was no time for a step."""
    from llmcli.pipelines import load
    from llmcli.train import lora, objectives

    begin, config = time.monotonic(), plain(bare(job))
    model = load.load(config, report=job.report)
    module = getattr(model, "model")  # noqa: B009  every model here is a HeadModel, which has it
    objective = objectives.of(model, job.kind)
    learn = _items(job, config, model, objective, job.rows.of(LEARN))
    choose = _items(job, config, model, objective, job.rows.of(CHOOSE))
    if not learn or not choose:
        raise InputError("no row makes an example that is short enough", code="too-few")
    adapter = lora.inject(module, rank=job.rank, seed=job.plan.seed, pipeline=job.kind) if method == "lora" else None
    parameters = _whole(module) if adapter is None else adapter.parameters
    watched = job.rows.of(CHOOSE)[: None if job.labelled else WATCHED]

    def judge() -> Judgement:
        found = results(job, config, model, watched)
        return judged(job, watched, found, loss=_loss(objective, choose))

    run = Run(objective, parameters, learn, job.plan, judge, job.state, method, job.hear)
    tensors = run()
    if not tensors or run.best is None:
        return None
    _take(parameters, tensors)
    if adapter is not None:
        _merge(adapter, module, objective, choose)
    final = config
    if job.labelled:
        final = _tempered(config, watched, results(job, config, model, watched))

    def write(folder: Path) -> None:
        if adapter is not None:
            lora.save(adapter, tensors, folder, base=config.model.name, pipeline=job.kind)
        else:
            whole(folder)

    def whole(folder: Path) -> None:
        module.save_pretrained(folder)
        _copy_tokenizer(job, folder)

    return Made(method, final, run.best, time.monotonic() - begin, lambda rows: _answers(job, final, model, rows),
                write, whole, plain=True, whole=adapter is None)  # fmt: skip


def _whole(module: Any) -> dict[str, Any]:
    """All weights of an encoder, by name. Raises ModelError for a large one."""
    size = sum(part.numel() for part in module.parameters())
    if size >= SMALL:
        raise ModelError(f"an encoder of {size / 1e6:.0f} million weights is not trained whole", code="too-large",
                         hint="give --method lora")  # fmt: skip
    module.requires_grad_(True)
    return dict(module.named_parameters())


def _items(job: Job, config: AnyConfig, model: Any, objective: Objective, rows: Sequence[Row]) -> list[Item]:
    from llmcli.train.examples import examples

    found = [objective.item(example) for example in examples(job.task, config, model, rows)]
    return [item for item in found if item is not None]


def _loss(objective: Objective, items: Sequence[Item]) -> float:
    """The mean loss of examples that are not learnt from."""
    import torch

    with torch.no_grad():
        return sum(float(objective.loss([item])) for item in items[: 4 * WATCHED]) / len(items[: 4 * WATCHED])


def _take(parameters: Any, tensors: Any) -> None:
    import torch

    with torch.no_grad():
        for name, part in parameters.items():
            part.copy_(tensors[name])


def _merge(adapter: Any, module: Any, objective: Objective, items: Sequence[Item]) -> None:
    """Join an adapter into the weights. Raises GenerationError where that changes what the model says."""
    before = _loss(objective, items[:WATCHED])
    adapter.merge(module)
    after = _loss(objective, items[:WATCHED])
    if not abs(after - before) <= CLOSE * max(abs(before), 1.0):
        raise GenerationError(f"the adapter joined into the weights has a loss of {after:.4g}, before {before:.4g}",
                              code="reload", hint="report it, with the base model")  # fmt: skip


def _copy_tokenizer(job: Job, folder: Path) -> None:
    """The base's tokenizer, byte by byte."""
    from llmcli.models import store

    base = store.checkpoint(job.config.model, offline=True, report=job.report)
    for path in base.iterdir():
        if checking.needed(path.name):
            shutil.copyfile(path, folder / path.name)
