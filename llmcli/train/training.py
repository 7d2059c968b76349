"""Train a model: the score as it is now, each method's, the best one kept, and the proof on rows that nothing saw."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmcli.config.run_config import AnyConfig
from llmcli.config.schemas import Label
from llmcli.errors import InputError, LlmcliError, ModelError, UsageError, shown
from llmcli.evaluate import comparing, report, rows
from llmcli.evaluate.answers import Answer, Answered, of_result
from llmcli.evaluate.measures import LABELS, measured
from llmcli.evaluate.rows import Row, Rows
from llmcli.evaluate.seen import TEST, digest
from llmcli.models import store
from llmcli.run.fingerprint import fingerprint
from llmcli.run.records import Result, pack, unpack
from llmcli.run.task import Task
from llmcli.train import methods, reload, splitting, writing
from llmcli.train.loop import Judgement, Plan, Progress
from llmcli.train.methods import Job, Made
from llmcli.train.splitting import CHOOSE, LEARN
from llmcli.train.state import State, unwritten

if TYPE_CHECKING:
    from llmcli.reports import Report

CHECKED = 48
"""Rows whose texts are made again to see that what is loaded is what was trained; of labels all are."""
RATES = {"lora": 5e-4, "full": 5e-5}


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
    job = Job(task, config, prepared, names, plan, asked.rank, state, ears.report, ears.hear)
    now = _untrained(job, learn="calibrate" in tried)
    choose = prepared.of(CHOOSE)
    before = methods.judged(job, choose, now.found[CHOOSE])
    measure = measured(task.name, choose, [of_result(result) for result in now.found[CHOOSE]])[0].name
    ears.tell(f"untrained: {measure} {report.number(before.measure)} on {len(choose)} rows to choose by")
    made = _best(job, tried, now, before, measure, ears)
    if made is None:
        ears.tell(f"nothing beats the prompt of {config.model.name}: nothing is kept")
        return None
    return _proved(job, made, now, asked, ears)


def _untrained(job: Job, *, learn: bool) -> Untrained:
    """What the model answers as it is now; results are kept in the state."""
    from llmcli.pipelines import load

    config, model, found = methods.scored(job), None, {}
    for side in (CHOOSE, TEST, *([LEARN] if learn else [])):
        wanted = job.rows.of(side)
        held = job.state.get(f"untrained-{side}")
        if held is not None:
            found[side] = [unpack(packed, row.record) for packed, row in
                           zip(held.values["results"], wanted, strict=True)]  # fmt: skip
            continue
        model = model or load.load(config, report=job.report)
        job.hear(Progress(f"untrained, {len(wanted)} rows", 0, 0, 0.0, None, None))
        found[side] = methods.results(job, config, model, wanted)
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
        ears.tell(f"{method}: {measure} {report.number(made.judged.measure)}, {_minutes(made.seconds)}")
        if made.judged.measure > before.measure and (best is None or made.judged.key > best.judged.key):
            best = made
    return best


def _late(job: Job) -> bool:
    return job.plan.end is not None and time.monotonic() > job.plan.end


def _tried(job: Job, method: str, now: Untrained, model: Any) -> tuple[Made | None, Any]:
    """What a method made, and the model as it is served, where it was loaded for it."""
    from llmcli.pipelines import load

    if method in ("calibrate", "probe"):
        model = model or load.load(methods.scored(job), report=job.report)
        made = methods.calibrate(job, model, now.found[LEARN]) if method == "calibrate" else methods.probe(job, model)
        return made, model
    rate = job.plan.rate or RATES[method]
    return methods.descend(replace(job, plan=replace(job.plan, rate=rate)), method), model


def _proved(job: Job, made: Made, now: Untrained, asked: Asked, ears: Ears) -> Path | None:
    """Write it, load it in a fresh process, and compare it with the model as it was, on rows that nothing has seen."""
    folder = _built(job, made, asked)
    test = job.rows.of(TEST)
    name = f"{job.config.model.name} untrained"
    before = Answered(name, [of_result(result) for result in now.found[TEST]])
    after = _served(job, made, folder, test, ears)
    for what, answered in (("untrained", before), (made.method, after)):
        score = comparing.scores(measured(job.task.name, test, answered.answers)[:1])[0]
        ears.tell(f"test, {what}: {score.name} {report.number(score.value)} {report.ends(score.interval)} "
                  f"on {len(test)} rows")  # fmt: skip
    gain = comparing.difference(job.task.name, test, before, after)
    line = (f"gain: {report.signed(gain.gain)} {report.ends(gain.interval, sign=True)}, p = {gain.p:.2g} "
            f"({gain.test}), {len(gain.fixed)} rows fixed, {len(gain.broke)} broken")  # fmt: skip
    ears.tell(line)
    if gain.gain <= 0:
        ears.tell(
            f"on rows that nothing saw it is no better than the prompt of {job.config.model.name}: nothing is kept"
        )
        return None
    if gain.interval.low <= 0:
        ears.tell("the interval holds 0: it may be chance; more rows would tell")
    writing.finish(folder, made.config, _story(job, made, [before, after], line))
    folder.rename(asked.output)
    ears.tell(f"kept: {made.method}, in {shown(asked.output)}")
    return asked.output


def _built(job: Job, made: Made, asked: Asked) -> Path:
    """The folder, whole but for its card and manifest, where the state is: nothing has its name yet."""
    folder = job.state.folder / "model"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    merged = asked.merge and made.merge is not None
    try:
        (made.merge if merged and made.merge is not None else made.write)(folder)
    except LlmcliError:
        raise
    except Exception as error:  # safetensors says that a disk is full in an error of its own
        if "No space left" not in str(error) and not isinstance(error, OSError):
            raise
        raise unwritten(folder, error) from error
    writing.write(folder, made.config, method=made.method, whole=made.whole or merged, rows=job.rows)
    return folder


def _served(job: Job, made: Made, folder: Path, test: Sequence[Row], ears: Ears) -> Answered:
    """The answers of the folder in a fresh process, once they are those of this one. Raises GenerationError."""
    checked = list(test if job.labelled else test[:CHECKED])
    trained: list[Answer] = made.answers(checked)
    device = job.config.settings.device

    def fresh(wanted: Sequence[Row], *, plain: bool) -> Answered:
        return reload.answers(job.task.name, folder, wanted, work=job.state.folder, device=device, plain=plain)

    loaded = fresh(checked, plain=made.plain)
    reload.compare(trained, loaded.answers)
    ears.tell(f"reloaded: {len(checked)} of {len(checked)} answers are the same in a fresh process")
    return replace(fresh(test, plain=False) if made.plain else loaded, model=made.method)


def _story(job: Job, made: Made, answered: Sequence[Answered], gain: str) -> writing.Story:
    base, test = job.config.model, job.rows.of(TEST)
    licence = base.license
    terms = f"{licence.name} {licence.url} {licence.notice}" if licence else "its licence is not known."
    figures = ["| | measure | value | 95% interval |", "|---|---|---|---|"]
    for one in answered:
        figures += [f"| {one.model} | {score.name} | {report.number(score.value)} | {report.ends(score.interval)} |"
                    for score in comparing.scores(measured(job.task.name, test, one.answers))]  # fmt: skip
    labels = Counter(one.row.gold[0] for one in job.rows.rows) if job.labelled else {}
    counts = [f"Labels: {', '.join(f'{name} ({count})' for name, count in sorted(labels.items()))}."] if labels else []
    return writing.Story({
        "What it is": [f"`{writing.title(base)}`, trained by `llmcli train {job.task.name}`; method: {made.method}.",
                       f"Use: `llmcli {job.task.name} -m FOLDER`."],
        "Rows": [f"{job.rows.said}. `rows.jsonl` names each row's side.", *counts],
        "On rows that nothing saw": [*figures, "", f"{gain}."],
        "Base model and licence": [f"{writing.title(base)}: {terms}".rstrip()],
        "Time": [f"{_minutes(made.seconds)} for the method that was kept."],
    })  # fmt: skip


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if math.isfinite(seconds) else "?"
