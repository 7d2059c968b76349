"""Answer or continue a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from llmcli.errors import ROW_ERRORS
from llmcli.run.records import Record, Result, failed
from llmcli.run.task import Task
from llmcli.tasks import _writing

if TYPE_CHECKING:
    from typer import Option

    from llmcli.config.run_config import RunConfig
    from llmcli.pipelines.protocol import Emit, Model

MARKS = tuple(".?!…。？！")
COMPLETE = -4.3
"""A chat model answers a prompt that ends with one of the marks or that it holds to be complete, and continues others.

The log-probability that the prompt ends where it does parts the two: on 24 prompts of either kind, all but three
fall on their side of this value (smollm2-135m-instruct).
"""


@dataclass(frozen=True)
class Options(_writing.Options):
    """The task's own options."""

    raw: Annotated[
        bool, Option("--raw", help="Continue the text as it is, without the chat template.",
                     rich_help_panel="Generation")
    ] = False  # fmt: skip


def answer(
    model: Model, config: RunConfig[Options], records: Sequence[Record], *, emit: Emit | None = None
) -> list[Result]:
    """One result a record: ``text`` and, with several sequences, ``texts``."""
    from llmcli.config.schemas import Prompt

    template = config.model.chat and not config.options.raw
    room = _writing.room(model, config)
    results: dict[int, Result] = {}
    todo: list[_writing.Row] = []
    for index, record in enumerate(records):
        try:
            end = record.text[-2000:].strip()
            chat = template and (end.endswith(MARKS) or model.ending(end) >= COMPLETE)
            prompt = Prompt(style="chat" if chat else "completion")
            todo.append(_writing.fit(index, record, prompt=prompt, room=room, model=model, config=config))
        except ROW_ERRORS as error:
            results[index] = failed(record, error, model=config.model.name)
    for row, completions in zip(todo, _writing.complete(model, config, todo, emit=emit), strict=True):
        results[row.index] = _writing.result(row, completions, config=config)
    return [results[index] for index in range(len(records))]


TASK = Task(
    name="generate",
    help="""Answer a prompt (chat model) or continue a text (base model).

    A chat model continues a prompt that breaks off ("Once upon a time"). The text appears as it is made.
    Piped text and TEXT make one prompt, the piped text first.

    Example: llmcli generate "Write a haiku about the sea"

    Example: git log -5 | llmcli generate "What changed?" --max-new-tokens 100
    """,
    options=Options,
    answer=answer,
    prepare=_writing.prepare,
    fields=("text",),
    optional=_writing.OPTIONAL,
    combine=True,
    text=_writing.text,
    streams=_writing.streams,
)
