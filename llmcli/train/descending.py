"""The methods that change weights, by gradient descent: an adapter, or all weights of a small encoder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmcli.config.run_config import AnyConfig
from llmcli.errors import GenerationError, InputError, ModelError
from llmcli.evaluate.rows import Row
from llmcli.models import checking
from llmcli.train.job import Job, Made, answers, bare, judged, plain, results, tempered
from llmcli.train.loop import Judgement, Run
from llmcli.train.splitting import CHOOSE, LEARN

if TYPE_CHECKING:
    from llmcli.train.objectives import Item, Objective

SMALL = 150_000_000
"""Weights of an encoder that is trained whole."""
WATCHED = 32
"""Rows whose texts are generated to see how good a model is while it is trained; of labels all are asked for."""
CLOSE = 1e-3
"""How far a loss may move, of itself, when an adapter is joined into the weights."""


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
        final = tempered(config, watched, results(job, config, model, watched))

    def write(folder: Path) -> None:
        if adapter is not None:
            lora.save(adapter, tensors, folder, base=config.model.name, pipeline=job.kind)
        else:
            whole(folder)

    def whole(folder: Path) -> None:
        module.save_pretrained(folder)
        _copy_tokenizer(job, folder)

    return Made(method, final, run.best, time.monotonic() - begin, lambda rows: answers(job, final, model, rows),
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
    """The examples of rows. Says how many rows make none, and why."""
    from llmcli.train.examples import examples
    from llmcli.train.objectives import LONGEST

    found = [[objective.item(example) for example in examples(job.task, config, model, [row])] for row in rows]
    items = [item for some in found for item in some if item is not None]
    unpaired = sum(not some for some in found)
    long = sum(any(item is None for item in some) for some in found)
    if unpaired:
        job.tell(f"{unpaired} of {len(rows)} rows left out: read in several pieces, or sentences that have no pair")
    if long:
        job.tell(
            f"{long} of {len(rows)} rows too long, left out: above {LONGEST} tokens with their prompt, or the window"
        )
    return items


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
