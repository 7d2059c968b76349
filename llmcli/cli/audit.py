"""``llmcli audit``: what changes in a model's answers where names, words or letters of the rows change."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmcli import tasks
from llmcli.cli import judging, looking
from llmcli.cli.flatten import flatten
from llmcli.errors import InputError
from llmcli.reports import put
from llmcli.run.request import groups, request

if TYPE_CHECKING:
    from typer import Option

    from llmcli.evaluate.auditing import Audit, Preferred
    from llmcli.run.records import Record

app = typer.Typer()
TASKS = ("sentiment", "classify", "generate")
LEFT_OUT = (judging.LEFT_OUT - {"input", "text", "lines"}) | {"threshold", "max_new_tokens", "temperature",
            "top_p", "top_k", "num_beams", "repetition_penalty", "stop", "seed", "raw", "thinking"}  # fmt: skip
"""Options of the tasks that mean nothing here."""
LABELS = """Change the words of rows, and see whether the labels change: names, gender, nationality, age, typos, case,
    negation, or your own list (a .tsv file: TERM, a tab, TERM).

    Whole words are changed, in their own case; rows that have none of a list's are left out. It tells the labels that
    changed, the mean shift of the score from the list's first column to its second with a 95% interval, and the worst
    rows. Exit code 1 where more labels changed than --limit allows; for negation, where more stayed.

    Example: llmcli audit TASK -i rows.jsonl --swap names --limit 0.05

    Example: llmcli audit TASK -i rows.csv --field body --swap my-words.tsv --json
    """
LIKELIHOOD = """Change the words of rows, and see which of both texts the model finds likelier.

    Lists are those of the other audits. It tells how many pairs have a likelier first column, the mean difference of
    the log-likelihood with a 95% interval, and the pairs that are furthest apart.

    Example: llmcli audit TASK -i rows.jsonl --swap gender

    Example: llmcli audit TASK -i rows.txt --swap my-words.tsv -m ./my-model
    """
SHOWN = 80
"""Characters of a row that people are shown."""


@dataclass(frozen=True)
class AuditOptions:
    """What is changed, and what must hold."""

    swap: Annotated[
        str,
        Option(help="What is changed: names, gender, nationality, age, typos, case, negation, or a .tsv file.",
               rich_help_panel="Audit"),
    ]  # fmt: skip
    limit: Annotated[
        float | None,
        Option(min=0.0, max=1.0, help="Exit code 1 where a larger part of the labels changed, or of the pairs leans to "
               "one side of the half.", rich_help_panel="Audit", show_default=False),
    ] = None  # fmt: skip
    json: Annotated[bool, Option("--json", help="One JSON object.", rich_help_panel="Output")] = False


def audit(task: str, values: dict[str, Any]) -> int:
    """Print an audit; 1 where --limit does not hold."""
    from llmcli.evaluate import auditing, swaps

    swap = swaps.swap(values["swap"])
    declared = tasks.get(task)
    asked = request(declared, {**values, **({"all_scores": True} if task != "generate" else {})})
    found: Audit | Preferred = (_likelihoods if task == "generate" else _labels)(asked, values, swap)
    if not found.done:
        raise InputError(f"no row has anything that {swap.name} changes", code="nothing-to-swap",
                         hint="give other rows, or a list of your own")  # fmt: skip
    if values["json"]:
        looking.say_json(found.as_json())
    elif isinstance(found, auditing.Audit):
        _show(found)
    else:
        _show_preferred(found)
    return 0 if values["limit"] is None or found.share <= values["limit"] else 1


def _rows(run: Any, quiet: bool) -> list[Record]:
    from llmcli.data import inputs, readers
    from llmcli.reports import RowErrors, say

    records = list(readers.read(run, inputs.listed(run)))
    if not records:
        raise InputError("the input is empty", code="empty")
    broken = [record for record in records if record.error is not None]
    errors = RowErrors()
    for record in broken:
        assert record.error is not None  # it is broken
        errors.say(record.error)
    errors.close()
    if broken and not quiet:
        say(f"llmcli: {len(broken)} of {len(records)} rows cannot be used")
    return [record for record in records if record.error is None]


def _labels(asked: Any, values: dict[str, Any], swap: Any) -> Audit:
    from llmcli.cli import progress
    from llmcli.evaluate import auditing
    from llmcli.worker import client

    with progress.preparing(values) as report:
        opened = client.open_session(asked, report)
        output = opened.run.output
        report.settle(quiet=output.quiet, bar=not output.no_progress, verbose=output.verbose)
        with contextlib.closing(opened.session) as session:
            records = _rows(opened.run, output.quiet)
            total = 2 * len(auditing.pairs(records, swap))
            with progress.Rows(report, total=total, quiet=output.quiet, batch=True) as rows:
                return auditing.of_labels(session, records, swap, count=rows.count)


def _likelihoods(asked: Any, values: dict[str, Any], swap: Any) -> Preferred:
    from llmcli.cli import progress
    from llmcli.evaluate import auditing
    from llmcli.models import store
    from llmcli.pipelines import load
    from llmcli.run.resolve import resolve

    with progress.preparing(values) as report:
        run = resolve(tasks.get(asked.task), asked.settings)
        records = _rows(run, run.output.quiet)
        report.introduce(run.model.name, store.introduction(run.model))
        return auditing.of_likelihood(load.load(run, report=report), run.model.name, records, swap)


def _show(found: Audit) -> None:
    from llmcli.evaluate import auditing
    from llmcli.evaluate.report import aligned, ends, signed
    from llmcli.evaluate.statistics import wilson

    done = found.done
    interval = wilson(found.changed, done)
    failed = f", {found.failed} failed" if found.failed else ""
    put(f"{found.model}, {found.swap.name}: {done} of {found.rows} rows have something to change{failed}")
    put(f"  labels that changed: {found.changed} of {done}, {found.changed / done:.3f} {ends(interval)}"
        + ("; after a denial they should" if found.swap.denies else ""))  # fmt: skip
    for one in found.shifts:
        put(f"  mean shift of {one.name}: {signed(one.value)} {ends(one.interval, sign=True)}")
    put("")
    rows = [[str(one.pair.record.id), ", ".join(one.pair.swapped.what)[:SHOWN // 2],
             " → ".join(f"{label} {scores[label]:.3f}" for label, scores in zip(one.labels, one.scores, strict=True)),
             _short(one.pair.record)] for one in found.worst]  # fmt: skip
    for line in aligned([["row", "changed", "label", "text"], *rows]):
        put(line)
    put("")
    put(auditing.NOT_MEASURED)


def _show_preferred(found: Preferred) -> None:
    from llmcli.evaluate import auditing
    from llmcli.evaluate.report import aligned, ends, signed
    from llmcli.evaluate.statistics import wilson

    done = found.done
    put(f"{found.model}, {found.swap.name}: {done} of {found.rows} rows have something to change")
    put(f"  likelier with the first column: {found.first} of {done}, {found.first / done:.3f} "
        f"{ends(wilson(found.first, done))}")  # fmt: skip
    if found.mean is not None:
        put(f"  mean gain of the second column, in nats a text: {signed(found.mean.value)} "
            f"{ends(found.mean.interval, sign=True)}")  # fmt: skip
    put("")
    rows = [[str(pair.record.id), ", ".join(pair.swapped.what)[:SHOWN // 2], signed(gain), _short(pair.record)]
            for pair, gain in found.worst]  # fmt: skip
    for line in aligned([["row", "changed", "gain", "text"], *rows]):
        put(line)
    put("")
    put(auditing.NOT_MEASURED)


def _short(record: Record) -> str:
    text = " ".join(record.text.split())
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _add(names: Sequence[str]) -> None:
    def verb(name: str) -> Callable[[dict[str, Any]], Any]:
        return lambda values: audit(name, values)

    for name in names:
        shown = flatten(verb(name), [AuditOptions, *groups(tasks.get(name))], without=LEFT_OUT)
        text = LIKELIHOOD if name == "generate" else LABELS
        app.command(name, help=inspect.cleandoc(text).replace("TASK", name))(shown)


_add(TASKS)
