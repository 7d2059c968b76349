"""The methods that change no weights: a calibration of the labels' scores, and a probe of a frozen state."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from llmcli.config.model_config import ModelConfig
from llmcli.errors import InputError, ModelError
from llmcli.evaluate.measures import LABELS
from llmcli.run.records import Result
from llmcli.train import calibrating
from llmcli.train.job import Job, Made, answers, bare, judged, results, scored, tempered
from llmcli.train.loop import Progress
from llmcli.train.splitting import CHOOSE, LEARN


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
                time.monotonic() - begin, lambda rows: answers(job, config, model, rows))  # fmt: skip


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
    config = tempered(config, choose, found)
    return Made(
        "probe", config, judged(job, choose, found), time.monotonic() - begin,
        lambda rows: answers(job, config, served, rows), lambda folder: probing.save(fitted, folder),
    )  # fmt: skip


def _states(job: Job, model: Any, found: Sequence[Any]) -> dict[int, Any]:
    """The states of all examples; they are kept, because reading them takes the time."""
    from llmcli.train import probing

    if held := job.state.get("states"):
        return {int(name): tensor for name, tensor in held.tensors.items()}
    read = probing.states(model, found)
    job.state.put("states", {}, {str(layer): states for layer, states in read.items()})
    return read
