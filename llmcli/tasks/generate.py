"""Answer or continue a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Option

from llmcli.errors import ROW_ERRORS
from llmcli.run.options import GenerationOptions, ModelOptions, request
from llmcli.run.records import Record, Result, failed
from llmcli.run.request import InputOptions, OutputOptions, Request
from llmcli.text import chunking, prompts
from llmcli.text.prompts import Rendered

if TYPE_CHECKING:
    from llmcli.config.run_config import RunConfig
    from llmcli.config.schemas import Generation, Prompt
    from llmcli.pipelines.protocol import Completion, Emit, Model


MARKS = tuple(".?!…。？！")
COMPLETE = -4.3
"""A chat model answers a prompt that ends with one of the marks or that it holds to be complete, and continues others.

The log-probability that the prompt ends where it does parts the two: on 24 prompts of either kind, all but three
fall on their side of this value (smollm2-135m-instruct).
"""

FIELDS = ("text",)
OPTIONAL = {"num_return_sequences": "texts"}
"""Fields that an option adds."""


@dataclass(frozen=True)
class Texts:
    """The options of tasks that write freely."""

    num_return_sequences: Annotated[
        int | None,
        Option("--num-return-sequences", "--n", "-n", min=1, help="How many texts to make.",
               rich_help_panel="Generation", show_default=False),
    ] = None  # fmt: skip
    no_stream: Annotated[
        bool, Option("--no-stream", help="Print the text only when it is complete.", rich_help_panel="Output")
    ] = False


@dataclass(frozen=True)
class Options(Texts):
    """The task's own options."""

    raw: Annotated[
        bool, Option("--raw", help="Continue the text as it is, without the chat template.",
                     rich_help_panel="Generation")
    ] = False  # fmt: skip


def command(
    source: InputOptions,
    own: Options,
    generation: GenerationOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> Request:
    """Answer a prompt (chat model) or continue a text (base model).

    A chat model continues a prompt that breaks off ("Once upon a time"). The text appears as it is made.
    Piped text and TEXT make one prompt, the piped text first.

    Example: llmcli generate "Write a haiku about the sea"

    Example: git log -5 | llmcli generate "What changed?" --max-new-tokens 100
    """
    return request("generate", source=source, model=model, output=output, generation=generation, own=own, combine=True)


def answer(model: Model, config: RunConfig, records: Sequence[Record], *, emit: Emit | None = None) -> list[Result]:
    """One result a record: ``text`` and, with several sequences, ``texts``."""
    from llmcli.config.schemas import Prompt

    generation = settled(config)
    template = config.model.chat and not config.option("raw")
    # An encoder-decoder's answer has a window of its own.
    room = model.context_window - (0 if config.model.pipeline == "seq2seq" else generation.max_new_tokens or 0)
    results: dict[int, Result] = {}
    todo: list[tuple[int, Rendered, bool]] = []
    for index, record in enumerate(records):
        try:
            end = record.text[-2000:].strip()
            chat = template and (end.endswith(MARKS) or model.ending(end) >= COMPLETE)
            prompt = Prompt(style="chat" if chat else "completion")
            todo.append((index, *fit(record.text, prompt=prompt, room=room, model=model, config=config)))
        except ROW_ERRORS as error:
            results[index] = failed(record, error, model=config.model.name)
    stream = emit if not config.option("no_stream") else None
    made = complete(model, generation, [(records[index], prompt) for index, prompt, _ in todo], stream)
    for (index, _, truncated), completions in zip(todo, made, strict=True):
        results[index] = result(records[index], completions, truncated=truncated, config=config)
    return [results[index] for index in range(len(records))]


def complete(
    model: Model, generation: Generation, rows: list[tuple[Record, Rendered]], emit: Emit | None
) -> list[list[Completion]]:
    """Completions of each row. Sampled rows are drawn apart, each from its own seed."""
    if not generation.sampled or all(record.seed is None for record, _ in rows):
        return model.complete([prompt for _, prompt in rows], generation, emit=emit) if rows else []
    seeds = [generation.model_copy(update={"seed": record.seed}) for record, _ in rows]
    return [model.complete([prompt], own, emit=emit)[0] for own, (_, prompt) in zip(seeds, rows, strict=True)]


def settled(config: RunConfig) -> Generation:
    """The generation config of a run: a bound for causal models, and several texts where they are asked for."""
    generation = config.generation
    count = config.option("num_return_sequences")
    update: dict[str, float] = {}
    if config.model.pipeline == "causal":
        update["max_new_tokens"] = generation.max_new_tokens or 256
    if count:
        update["num_return_sequences"] = count
    if count and count > 1 and not generation.sampled and (generation.num_beams or 1) < count:
        update["temperature"] = 0.7
    return generation.model_copy(update=update)


def fit(
    text: str, *, prompt: Prompt, room: int, model: Model, config: RunConfig, variables: Mapping[str, str] | None = None
) -> tuple[Rendered, bool]:
    """The rendered prompt, and whether the text was cut to fit into ``room`` tokens. Raises GenerationError."""
    overhead = model.size(prompts.render(prompt, "", variables=variables))
    on_long = config.settings.on_long or "error"
    fitted = chunking.fit(text, budget=room - overhead,
                          on_long="error" if on_long == "chunk" else on_long, model=model)  # fmt: skip
    return prompts.render(prompt, fitted.pieces[0], variables=variables), fitted.truncated


def result(record: Record, completions: list[Completion], *, truncated: bool, config: RunConfig) -> Result:
    """The result of a record's completions, the first of them foremost."""
    first = completions[0]
    fields: dict[str, object] = {"text": first.text}
    if len(completions) > 1:
        fields["texts"] = [completion.text for completion in completions]
    cut = any(completion.finish_reason == "length" for completion in completions)
    notices = ("the text was cut at --max-new-tokens",) if cut else ()
    return Result(
        record.id, fields, model=config.model.name, input_tokens=first.input_tokens,
        output_tokens=sum(completion.output_tokens for completion in completions),
        finish_reason="length" if cut else "stop", truncated=truncated, notices=notices, record=record,
    )  # fmt: skip
