"""Train a model: the score as it is now, then each method's; the best one is kept, if it proves to be better."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from llmcli.config.run_config import AnyConfig
from llmcli.config.schemas import Label
from llmcli.errors import InputError, ModelError, UsageError, shown
from llmcli.evaluate import report, rows
from llmcli.evaluate.answers import of_result
from llmcli.evaluate.measures import LABELS, measured
from llmcli.evaluate.rows import Rows
from llmcli.evaluate.seen import TEST, digest
from llmcli.models import store
from llmcli.run.fingerprint import fingerprint
from llmcli.run.records import pack, unpack
from llmcli.run.task import Task
from llmcli.train import descending, methods, proving, splitting
from llmcli.train.job import Asked, Ears, Job, Made, Untrained, judged, results, scored
from llmcli.train.loop import Judgement, Plan, Progress
from llmcli.train.splitting import CHOOSE, LEARN
from llmcli.train.state import State, unwritten

RATES = {"lora": 2e-4, "full": 5e-5}
"""The learning rate of a method, where none is given."""


def train(task: Task[Any], config: AnyConfig, found: Rows, asked: Asked, ears: Ears) -> Path | None:
    """Train; gives the folder that was written, None where nothing is better than the model as it is.

    Raises UsageError, InputError, ModelError, GenerationError, OutOfMemory, OutputError.
    """
    if asked.output.exists() or asked.output.is_symlink():
        raise UsageError(f"{shown(asked.output)}: is there already", hint="give another --output")
    tried = methods.suited(task.name, config.model, asked.method)
    if config.model.trained is not None:
        raise UsageError(f"{config.model.name} was trained already", hint=f"train {config.model.base} on all the rows")
    config, found = _labelled(task, config, found)
    prepared = splitting.prepare(found, labelled=task.name in LABELS, test=asked.test, seed=asked.seed)
    ears.tell(prepared.said)
    state = State(asked.output.with_name(f"{asked.output.name}.partial"), _fingerprint(config, prepared, asked),
                  resume=asked.resume)  # fmt: skip
    done = False
    try:
        kept = _trained(task, config, prepared, tried, asked, ears, state)
        done = True
        return kept
    except BrokenPipeError:  # of what is said, not of what is written
        raise
    except OSError as error:
        raise unwritten(asked.output, error) from error
    finally:
        state.close(remove=done)


def _fingerprint(config: AnyConfig, prepared: splitting.Prepared, asked: Asked) -> dict[str, str]:
    """What decides the weights, by name."""
    lines = [json.dumps([digest(one.row.record), one.side, one.row.gold, one.row.record.text]) for one in prepared.rows]
    values = {name: str(value) for name, value in asdict(asked).items() if name not in ("output", "resume", "merge")}
    return fingerprint(config) | values | {"rows": hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]}


def _labelled(task: Task[Any], config: AnyConfig, found: Rows) -> tuple[AnyConfig, Rows]:
    """The run with the labels to choose among, and the rows with labels that it can give. Raises InputError."""
    if task.name not in LABELS:
        return config, found
    gold, facts = rows.labels(found.usable), config.model.facts
    if facts.chooses:
        heads = _head(config)
        known = {label.casefold(): label for label in heads}
        mapping = {label: label if label in heads else known.get(label.casefold(), "") for label in gold}
        if unknown := [label for label, own in mapping.items() if not own]:
            raise InputError(f"{config.model.name} has no label {unknown[0]}", code="other-labels",
                             hint=f"it has {', '.join(heads[:8])}; a causal model takes any labels")  # fmt: skip
        usable = [replace(row, gold=(mapping[row.gold[0]],)) for row in found.usable]
        return config, Rows(usable, found.broken)
    if (config.settings.labels and task.name == "sentiment") or config.origins.get("labels") == "flag":
        names = [label.name for label in config.settings.labels or []]
        if unknown := [label for label in gold if label not in names]:
            raise InputError(f"the label {unknown[0]} is not among {', '.join(names)}", code="other-labels",
                             hint="train classify takes any labels")  # fmt: skip
        return config, found
    labels = [Label(name=name) for name in gold]
    return replace(config, settings=config.settings.model_copy(update={"labels": labels})), found


def _head(config: AnyConfig) -> list[str]:
    from llmcli.models import checking
    from llmcli.reports import unheard

    folder = store.checkpoint(config.model, offline=config.offline, report=unheard)
    named = checking.read_json(folder / "config.json").get("id2label") or {}
    return [str(label) for label in named.values()]


def _trained(
    task: Task[Any],
    config: AnyConfig,
    prepared: splitting.Prepared,
    tried: Sequence[str],
    asked: Asked,
    ears: Ears,
    state: State,
) -> Path | None:
    names = tuple(sorted({one.row.gold[0] for one in prepared.rows})) if task.name in LABELS else ()
    if config.settings.labels and task.name in LABELS:
        names = tuple(label.name for label in config.settings.labels)
    plan = Plan(asked.epochs, asked.batch, asked.rate or 0.0, asked.seed, stop=ears.stop,
                end=None if asked.minutes is None else time.monotonic() + 60 * asked.minutes)  # fmt: skip
    job = Job(task, config, prepared, names, plan, asked.rank, state, ears.report, ears.hear, ears.tell)
    now = _untrained(job, learn="calibrate" in tried)
    choose = prepared.of(CHOOSE)
    before = judged(job, choose, now.found[CHOOSE])
    measure = measured(task.name, choose, [of_result(result) for result in now.found[CHOOSE]])[0].name
    ears.tell(f"untrained: {measure} {report.number(before.measure)} on {len(choose)} rows to choose by")
    if task.name in LABELS and before.measure >= 1.0:
        ears.tell("it is right on all of them, and no method can be better: nothing is kept")
        return None
    made = _best(job, tried, now, before, measure, ears)
    if made is None:
        ears.tell(f"nothing beats the prompt of {config.model.name}: nothing is kept")
        return None
    return proving.proved(job, made, now, asked, ears)


def _untrained(job: Job, *, learn: bool) -> Untrained:
    """What the model answers as it is now; results are kept in the state."""
    from llmcli.pipelines import load

    config, model, found = scored(job), None, {}
    for side in (CHOOSE, TEST, *([LEARN] if learn else [])):
        wanted = job.rows.of(side)
        held = job.state.get(f"untrained-{side}")
        if held is not None:
            found[side] = [unpack(packed, row.record) for packed, row in
                           zip(held.values["results"], wanted, strict=True)]  # fmt: skip
            continue
        model = model or load.load(config, report=job.report)
        job.hear(Progress(f"untrained, {len(wanted)} rows", 0, 0, 0.0, None, None))
        found[side] = results(job, config, model, wanted)
        job.state.put(f"untrained-{side}", {"results": [pack(result) for result in found[side]]})
    return Untrained(found, model)


def _best(job: Job, tried: Sequence[str], now: Untrained, before: Judgement, measure: str, ears: Ears) -> Made | None:
    """The best of the methods; None where none is better than the model as it is."""
    best: Made | None = None
    model = now.model
    for method in tried:
        if best is not None and (ears.stop() or _late(job)):
            ears.tell(f"{method}: no time is left for it")
            continue
        try:
            made, model = _tried(job, method, now, model)
        except (ModelError, InputError) as error:
            if len(tried) == 1:
                raise
            ears.tell(f"{method}: {error.message}")
            continue
        if made is None:
            ears.tell(f"{method}: there was no time for a step")
            continue
        ears.tell(f"{method}: {measure} {report.number(made.judged.measure)}, {proving.minutes(made.seconds)}")
        if made.judged.measure > before.measure and (best is None or made.judged.key > best.judged.key):
            best = made
    return best


def _late(job: Job) -> bool:
    return job.plan.end is not None and time.monotonic() > job.plan.end


def _tried(job: Job, method: str, now: Untrained, model: Any) -> tuple[Made | None, Any]:
    """What a method made, and the model as it is served, where it was loaded for it."""
    from llmcli.pipelines import load

    if method in ("calibrate", "probe"):
        model = model or load.load(scored(job), report=job.report)
        made = methods.calibrate(job, model, now.found[LEARN]) if method == "calibrate" else methods.probe(job, model)
        return made, model
    rate = job.plan.rate or RATES[method]
    return descending.descend(replace(job, plan=replace(job.plan, rate=rate)), method), model
