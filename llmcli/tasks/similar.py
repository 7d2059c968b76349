"""Find the rows that are nearest in meaning to a text."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from llmcli.errors import LlmcliError, UsageError
from llmcli.run.fields import Field
from llmcli.run.records import Record, Result
from llmcli.run.task import Routes, Task
from llmcli.tasks import _vectors

if TYPE_CHECKING:
    from typer import Option

    from llmcli.config.run_config import RunConfig, RunOptions
    from llmcli.pipelines.protocol import Emit, Model


@dataclass(frozen=True)
class Options:
    """The task's own options."""

    top: Annotated[int, Option("--top", "-n", min=1, help="How many rows to give.", rich_help_panel="Rows")] = 10
    threshold: Annotated[
        float | None,
        Option(min=-1.0, max=1.0, help="Leave out rows with a lower score.", rich_help_panel="Rows",
               show_default=False),
    ] = None  # fmt: skip
    query: Annotated[
        str | None,
        Option(help="What to look for, where it is not the argument.", rich_help_panel="Rows", show_default=False),
    ] = None


def prepare(config: RunConfig[Options]) -> RunConfig[Options]:
    """The argument is what is looked for. Raises UsageError for two or none."""
    source, options = config.source, config.options
    if source.text is not None and config.origins.get("options.query") == "flag":
        raise UsageError("two queries", hint="give it as the argument or with --query")
    query = source.text if source.text is not None else options.query
    if query is None or not query.strip():
        raise UsageError("nothing to look for", hint='llmcli similar "refund" -i rows.jsonl')
    changed = replace(config, source=replace(source, text=None), options=replace(options, query=query))
    return _vectors.by_line(changed)


def answer(
    model: Model, config: RunConfig[Options], records: Sequence[Record], *, emit: Emit | None = None
) -> list[Result]:
    """One result a record: ``score``, the cosine of the query and the text's nearest chunk, and the ``text``."""
    query, *read = _vectors.read(model, config, [str(config.options.query), *_vectors.texts(records)])
    if isinstance(query, LlmcliError):
        raise UsageError(f"the query: {query.message}", hint=query.hint)
    sought = query.vector

    def fields(record: Record, found: _vectors.Embedded) -> dict[str, Any]:
        score = max(_vectors.dot(sought, chunk.vector) for chunk in found.chunks)
        return {"score": max(-1.0, min(1.0, score)), "text": record.text}

    return _vectors.results(records, read, fields, model=config.model.name)


def select(run: RunOptions[Options], results: Iterator[Result]) -> Iterator[Result]:
    """Those that failed as they come, then the nearest, the best first; of equals the earlier one."""
    options = run.options
    nearest: list[tuple[float, int, Result]] = []
    for place, result in enumerate(results):
        if result.error:
            yield result
        elif options.threshold is None or result.fields["score"] >= options.threshold:
            add = heapq.heappushpop if len(nearest) == options.top else heapq.heappush
            add(nearest, (result.fields["score"], -place, result))
    yield from (result for *_, result in sorted(nearest, reverse=True))


def text(result: Result, options: Options) -> str:
    """``score<TAB>text``."""
    return f"{result.fields['score']:.4f}\t{result.fields['text']}"


TASK = Task(
    name="similar",
    help="""Find the rows that are nearest in meaning to TEXT: score and row, the nearest first.

    The score is the cosine of two vectors, at most 1. Rows are lines, or what the file's ending says. As with grep the
    exit code is 1 where nothing is found, which needs --threshold.

    Example: llmcli similar "refund" -i rows.jsonl --top 5

    Example: dmesg | llmcli similar "the disk is failing" --threshold 0.4
    """,
    options=Options,
    answer=answer,
    prepare=prepare,
    select=select,
    routes=lambda run: Routes(seeks=True),
    text=text,
    fields=(
        Field(
            "score",
            "number",
            "the cosine with what is looked for, at most 1; of a text in chunks that of its nearest one",
        ),
        Field("text", "string", "the row's text"),
    ),
    window=_vectors.WINDOW,
    writes=False,
    one_line=True,
)
