"""Keep one row of each group of near duplicates."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from llmcli.run.fields import Field
from llmcli.run.records import Record, Result
from llmcli.run.task import Routes, Task
from llmcli.tasks import _vectors

if TYPE_CHECKING:
    from typer import Option

    from llmcli.config.run_config import RunConfig, RunOptions
    from llmcli.pipelines.protocol import Emit, Model
    from llmcli.text.nearest import Leaders

AT_ONCE = 256
"""Rows that are compared by one product of matrices."""


@dataclass(frozen=True)
class Options:
    """The task's own options."""

    threshold: Annotated[
        float,
        Option(min=0.0, max=1.0, help="From which cosine on a row is a duplicate.", rich_help_panel="Duplicates"),
    ] = 0.9
    groups: Annotated[
        bool,
        Option("--groups", help="List the groups as JSON: the row that is kept, and its duplicates.",
               rich_help_panel="Duplicates"),
    ] = False  # fmt: skip
    check: Annotated[
        bool,
        Option("--check", help="Give the duplicates, not the rows that are kept; exit code 1 where there are any.",
               rich_help_panel="Duplicates"),
    ] = False  # fmt: skip


def prepare(config: RunConfig[Options]) -> RunConfig[Options]:
    """Groups are JSON."""
    if config.options.groups:
        config = replace(config, output=replace(config.output, json=True))
    return _vectors.by_line(config)


def answer(
    model: Model, config: RunConfig[Options], records: Sequence[Record], *, emit: Emit | None = None
) -> list[Result]:
    """One result a record: ``vector``, float16 numbers in base64, which :func:`select` compares."""

    def fields(record: Record, found: _vectors.Embedded) -> dict[str, Any]:
        vector = found.vector
        return {"vector": base64.b64encode(struct.pack(f"<{len(vector)}e", *vector)).decode()}

    read = _vectors.read(model, config, _vectors.texts(records))
    return _vectors.results(records, read, fields, model=config.model.name)


@dataclass(frozen=True)
class Judged:
    """A result with ``duplicate_of`` and ``score``, and the number of its group; -1 for one that failed."""

    result: Result
    group: int = -1


def select(run: RunOptions[Options], results: Iterator[Result]) -> Iterator[Result]:
    """All results with ``duplicate_of`` (the id of the row that is kept for it) and ``score``; or the groups."""
    judged = _judged(results, run.options.threshold)
    return _groups(judged) if run.options.groups else (one.result for one in judged)


def _judged(results: Iterator[Result], threshold: float) -> Iterator[Judged]:
    """The results, a block at a time: what is waited for is judged at once."""
    from llmcli.text.nearest import Leaders

    leaders, ids, block = Leaders(threshold), list[str | int](), list[Result]()
    for result in results:
        block.append(result)
        if len(block) == AT_ONCE or (result.record is not None and result.record.last):
            yield from _block(block, leaders, ids)
            block.clear()
    yield from _block(block, leaders, ids)


def _block(block: Sequence[Result], leaders: Leaders, ids: list[str | int]) -> Iterator[Judged]:
    """Judge a block. ``ids`` are those of the leaders, which it adds to."""
    good = [one for one in block if not one.error]
    vectors = [base64.b64decode(one.fields["vector"]) for one in good]
    matches = iter(leaders.add(vectors, [one.record.text if one.record else "" for one in good]))
    for result in block:
        if result.error:
            yield Judged(result)
            continue
        match = next(matches)
        group = len(ids) if match.leader is None else match.leader
        if match.leader is None:
            ids.append(result.id)
        first = None if match.leader is None else ids[group]
        yield Judged(replace(result, fields={"duplicate_of": first, "score": match.score}), group)


def _groups(judged: Iterator[Judged]) -> Iterator[Result]:
    """Those that failed, then each row with duplicates: ``duplicates``, their ids and scores. No text is kept."""
    kept: list[Result] = []
    duplicates: dict[int, list[dict[str, Any]]] = {}
    for one in judged:
        result = one.result
        if result.error:
            yield result
        elif one.group == len(kept):
            record = replace(result.record, text="", fields={}) if result.record else None
            kept.append(replace(result, record=record))
        else:
            duplicates.setdefault(one.group, []).append({"id": result.id, "score": result.fields["score"]})
    for group, listed in sorted(duplicates.items()):
        yield replace(kept[group], fields={**kept[group].fields, "duplicates": listed})


def routes(run: RunOptions[Options]) -> Routes:
    """Duplicates are dropped; with --check the others are, and groups are no rows."""
    options = run.options
    return Routes(
        drops=lambda result: not options.groups and (result.fields["duplicate_of"] is None) == options.check,
        refuses=lambda result: options.check, texts=True, rows=True,
    )  # fmt: skip


TASK = Task(
    name="dedupe",
    help="""Keep the first row of each group of near duplicates, as it came.

    A row is a duplicate where it differs from a kept row in case, spacing and punctuation alone, or where the cosine of
    their vectors is --threshold or more: other order or spelling, close paraphrases. Rows are lines, or what the file's
    ending says.

    Example: llmcli dedupe -i rows.jsonl -o unique.jsonl

    Example: llmcli dedupe -i rows.csv --threshold 0.85 --groups

    Example: llmcli dedupe --check -i faq.txt
    """,
    options=Options,
    answer=answer,
    prepare=prepare,
    select=select,
    routes=routes,
    fields=(
        Field(
            "duplicate_of",
            "string or integer or null",
            "the id of the row that is kept for it; null where it is kept itself",
        ),
        Field(
            "score",
            "number or null",
            "the largest cosine with a row that was kept before it, 1 where they differ in "
            "case, spacing and punctuation alone; null for the first",
        ),
        Field(
            "duplicates",
            "array of objects",
            "the rows that are left out for it",
            option="groups",
            parts=(
                Field("id", "string or integer", "the row's id"),
                Field("score", "number", "as above"),
            ),
        ),
    ),
    window=_vectors.WINDOW,
    writes=False,
)
