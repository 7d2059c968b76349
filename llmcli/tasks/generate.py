"""Answer or continue a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from llmcli.errors import ROW_ERRORS, GenerationError, UsageError
from llmcli.run.fields import Field
from llmcli.run.records import Record, Result, failed, messages
from llmcli.run.task import Task
from llmcli.tasks import _writing
from llmcli.text.prompts import Rendered
from llmcli.text.thinking import CLOSE, OPEN

if TYPE_CHECKING:
    from typer import Option

    from llmcli.config.run_config import RunConfig
    from llmcli.config.schemas import Prompt
    from llmcli.pipelines.protocol import Emit, Model

MARKS = tuple(".?!…。？！")
OPEN_MARKS = tuple(",;，；、(")
COMPLETE = -6.0
"""A chat model answers a prompt that ends with one of the marks or that it holds to be complete, and continues others.

The log-probability that the prompt ends where it does parts the two: of 18 prompts of either kind all fall on their
side of this value with qwen2.5-coder-0.5b-instruct, all but two with smollm2-135m-instruct.
"""


@dataclass(frozen=True)
class Options(_writing.Options):
    """The task's own options."""

    raw: Annotated[
        bool, Option("--raw", help="Continue the text as it is, without the chat template.",
                     rich_help_panel="Generation")
    ] = False  # fmt: skip
    system: Annotated[
        str | None,
        Option(help="What a chat model is told before the prompt.", rich_help_panel="Generation", show_default=False),
    ] = None
    show_thinking: Annotated[
        bool, Option("--show-thinking", help="Print what the model thinks before it answers, too.",
                     rich_help_panel="Output")
    ] = False  # fmt: skip


def prepare(config: RunConfig[Options]) -> RunConfig[Options]:
    """Raises UsageError for a system prompt that no chat template would take."""
    if config.options.system and (config.options.raw or not config.model.chat):
        raise UsageError("--system is for chat models", hint="give a chat model with --model, and no --raw")
    return _writing.prepare(config)


def streams(options: Options) -> bool:
    """Thinking is printed with the whole text."""
    return _writing.streams(options) and not options.show_thinking


def text(result: Result, options: Options) -> str:
    """The texts, and where it was asked for what the model thought before the first."""
    thinking = result.fields.get("thinking") if options.show_thinking else None
    answer = _writing.text(result, options)
    return f"{OPEN}\n{thinking}\n{CLOSE}\n\n{answer}" if thinking else answer


def _prompt(record: Record, model: Model, config: RunConfig[Options]) -> Prompt:
    """A chat model answers a prompt that is complete, and continues others; a system prompt makes it answer."""
    from llmcli.config.schemas import Prompt

    system = config.options.system or ""
    template = config.model.chat and not config.options.raw
    chat = template and (bool(system) or _complete(record.text[-2000:].strip(), model))
    return Prompt(style="chat", instruction=system) if chat else Prompt()


def _complete(end: str, model: Model) -> bool:
    if end.endswith(MARKS) or end.endswith(OPEN_MARKS):
        return end.endswith(MARKS)
    return model.ending(end) >= COMPLETE


def _talk(index: int, record: Record, *, room: int, model: Model, config: RunConfig[Options]) -> _writing.Row | None:
    """The row of a chat that the record holds, for a chat model. Raises InputError, GenerationError."""
    said = messages(record.fields) if config.model.chat and not config.options.raw else []
    if not said:
        return None
    if config.options.system and said[0]["role"] != "system":
        said = [{"role": "system", "content": config.options.system}, *said]
    if record.argument:
        said = [*said, {"role": "user", "content": record.argument}]
    prompt = Rendered(messages=tuple(said))
    if (size := model.size(prompt)) > room:
        raise GenerationError(f"the messages have {size} tokens, and {room} fit the context window", code="too-long")
    return _writing.Row(index, record, prompt)


def _row(index: int, record: Record, *, room: int, model: Model, config: RunConfig[Options]) -> _writing.Row:
    """The row of a prompt that is answered, or continued. Raises GenerationError."""
    prompt = _prompt(record, model, config)
    row = _writing.fit(index, record, prompt=prompt, room=room, model=model, config=config)
    continued = prompt.style != "chat" and config.model.facts.shared_window and not config.options.raw
    return replace(row, continued=continued)


def answer(
    model: Model, config: RunConfig[Options], records: Sequence[Record], *, emit: Emit | None = None
) -> list[Result]:
    """One result a record: ``text`` and, with several sequences, ``texts``."""
    room = _writing.room(model, config)
    results: dict[int, Result] = {}
    todo: list[_writing.Row] = []
    for index, record in enumerate(records):
        try:
            todo.append(_talk(index, record, room=room, model=model, config=config)
                        or _row(index, record, room=room, model=model, config=config))  # fmt: skip
        except ROW_ERRORS as error:
            results[index] = failed(record, error, model=config.model.name)
    for row, completions in zip(todo, _writing.complete(model, config, todo, emit=emit), strict=True):
        results[row.index] = _writing.result(row, completions, config=config)
    return [results[index] for index in range(len(records))]


TASK = Task(
    name="generate",
    help="""Answer a prompt (chat model) or continue a text (base model).

    A chat model continues a prompt that breaks off ("Once upon a time"); such a prompt is printed before its
    continuation, but not with --raw. The text appears as it is made.
    Piped text and TEXT make one prompt, the piped text first; what the calling shell reads itself, as in a
    'while read' loop, is left to it ('-i -' reads it all the same).

    Example: llmcli generate "Write a haiku about the sea"

    Example: git log -5 | llmcli generate "What changed?" --max-new-tokens 100
    """,
    options=Options,
    answer=answer,
    prepare=prepare,
    fields=(
        Field("text", "string", "the answer, or what continues the prompt"),
        Field("continued", "boolean", "true", when="where the prompt breaks off, and `text` goes on in it"),
        replace(_writing.THINKING, option="show_thinking"),
        _writing.TEXTS,
    ),
    row_fields=("messages", "body"),
    combine=True,
    text=text,
    streams=streams,
)
