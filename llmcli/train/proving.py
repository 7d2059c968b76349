"""What was made, written, loaded again, and compared with the model as it was, on rows that nothing has seen."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from llmcli.errors import LlmcliError, shown
from llmcli.evaluate import comparing, report
from llmcli.evaluate.answers import Answer, Answered, of_result
from llmcli.evaluate.measures import measured
from llmcli.evaluate.rows import Row
from llmcli.evaluate.seen import TEST
from llmcli.train import reload, writing
from llmcli.train.job import Asked, Ears, Job, Made, Untrained
from llmcli.train.state import unwritten

CHECKED = 48
"""Rows whose texts are made again to see that what is loaded is what was trained; of labels all are."""


def proved(job: Job, made: Made, now: Untrained, asked: Asked, ears: Ears) -> Path | None:
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
    if alike := one_answer(test, after.answers):
        ears.tell(f"it has one answer to all rows, {alike.text[:60]!r}: nothing is kept")
        return None
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


def one_answer(rows: Sequence[Row], answers: Sequence[Answer]) -> Answer | None:
    """The answer that all rows have, where not all of them should: some measures reward it, as where half have none."""
    alike = len({answer.text for answer in answers}) == 1 and len({row.gold for row in rows}) > 1
    return answers[0] if alike else None


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
        "Time": [f"{minutes(made.seconds)} for the method that was kept."],
    })  # fmt: skip


def minutes(seconds: float) -> str:
    """A time for people."""
    return f"{seconds / 60:.1f} min" if math.isfinite(seconds) else "?"
