"""Write texts: what the tasks generate and code share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, TypeVar

from llmcli.errors import UsageError
from llmcli.run.fields import Field
from llmcli.run.records import Record, Result
from llmcli.text import chunking, prompts
from llmcli.text.prompts import Rendered
from llmcli.text.thinking import Hidden, split

if TYPE_CHECKING:
    from typer import Option

    from llmcli.config.run_config import RunConfig
    from llmcli.config.schemas import Prompt
    from llmcli.pipelines.protocol import Completion, Emit, Model

MAX_NEW_TOKENS = 256
"""Of a model whose answer shares the window with the prompt, where nothing else is said."""
DRAWN = 0.7
"""The temperature of several texts, where neither beams nor a temperature were asked for."""
THINKING = Field("thinking", "string", "what it thought", when="where the model thought before it answered")
TEXTS = Field(
    "texts", "array of strings", "all texts, the first of which is `text`", when="with `-n` above 1",
    option="num_return_sequences",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """The options of tasks that write freely."""

    num_return_sequences: Annotated[
        int | None,
        Option("--num-return-sequences", "-n", min=1, help="How many texts to make.",
               rich_help_panel="Generation", show_default=False),
    ] = None  # fmt: skip
    no_stream: Annotated[
        bool, Option("--no-stream", help="Print the text only when it is complete.", rich_help_panel="Output")
    ] = False


W = TypeVar("W", bound=Options)


@dataclass(frozen=True)
class Row:
    """A record's place in its window, and its prompt."""

    index: int
    record: Record
    prompt: Rendered
    cut: str = ""
    """What was cut off, in words."""
    continued: bool = False
    """Whether the prompt's text goes on in the answer."""


def streams(options: W) -> bool:
    """Whether the pieces of a lone answer may be printed as they come."""
    return not options.no_stream and (options.num_return_sequences or 1) == 1


def text(result: Result, options: W) -> str:
    """The texts, with an empty line between them; the beginning that an argument gave, and they go on, before each."""
    begun = _beginning(result.record) if result.fields.get("continued") and result.record else ""
    return "\n\n".join(begun + text for text in result.fields.get("texts") or [str(result.fields["text"])])


def _beginning(record: Record) -> str:
    """What stands before a continuation where it is printed: the argument, unless it stood behind a piped text."""
    return record.argument if record.argument == record.text else ""


def prepare(config: RunConfig[W]) -> RunConfig[W]:
    """Settle the generation config: a bound where the answer shares the window, and how several texts are made."""
    generation = config.generation
    count = config.options.num_return_sequences or generation.num_return_sequences
    update: dict[str, float] = {}
    if config.model.facts.shared_window and generation.max_new_tokens is None:
        update["max_new_tokens"] = MAX_NEW_TOKENS
    if count:
        update["num_return_sequences"] = count
    if count and count > 1 and not generation.sampled and (generation.num_beams or 1) < count:
        if generation.temperature is not None:
            raise UsageError(f"{count} texts without sampling would be the same one", hint="give --temperature 0.7")
        update["temperature"] = DRAWN
    settings = config.settings.model_copy(update={"generation": generation.model_copy(update=update)})
    return replace(config, settings=settings, options=replace(config.options, num_return_sequences=count))


def room(model: Model, config: RunConfig[W]) -> int:
    """Tokens of a prompt. An encoder-decoder's answer has a window of its own."""
    answer = config.generation.max_new_tokens or 0 if config.model.facts.shared_window else 0
    return model.context_window - answer


def fit(
    index: int, record: Record, *, prompt: Prompt, room: int, model: Model, config: RunConfig[W],
    variables: Mapping[str, str] | None = None,
) -> Row:  # fmt: skip
    """The row with its prompt, of ``room`` tokens at most. Raises GenerationError."""
    overhead = model.size(prompts.render(prompt, "", variables=variables))
    on_long = config.settings.on_long or "error"
    # What is cut is the piped text; the argument behind it is what is asked.
    question = record.argument
    piped = record.text.removesuffix(question)
    question = piped[len(piped.rstrip()) :] + question if piped.strip() else ""
    piped = piped.rstrip() if question else record.text
    fitted = chunking.fit(piped, budget=room - overhead - (model.count(question) if question else 0),
                          on_long="error" if on_long == "chunk" else on_long, model=model)  # fmt: skip
    text = fitted.pieces[0] + question
    notice = ""
    if fitted.truncated:
        notice = f"read {model.count(fitted.pieces[0])} of {model.count(piped)} tokens of the text: --on-long truncate"
    return Row(index, record, prompts.render(prompt, text, variables=variables), notice)


def complete(model: Model, config: RunConfig[W], rows: Sequence[Row], *, emit: Emit | None) -> list[list[Completion]]:
    """Completions of each row, what the model thought before apart. ``emit`` hears no thinking."""
    heard = Hidden(emit) if emit else None
    if emit and rows and rows[0].continued and (begun := _beginning(rows[0].record)):
        emit(begun)
    asked = [replace(row.prompt, seed=row.record.seed) for row in rows]
    made = model.complete(asked, config.generation, emit=heard) if rows else []
    return [[_apart(one) for one in completions] for completions in made]


def _apart(completion: Completion) -> Completion:
    thought = split(completion.text)
    return replace(completion, text=thought.answer, thinking=thought.thinking or completion.thinking)


def result(row: Row, completions: list[Completion], *, config: RunConfig[W]) -> Result:
    """The result of a record's completions, the first of them foremost."""
    first = completions[0]
    fields: dict[str, object] = {"text": first.text}
    if row.continued:
        fields["continued"] = True
    if first.thinking:
        fields["thinking"] = first.thinking
    if len(completions) > 1:
        fields["texts"] = [completion.text for completion in completions]
    cut = any(completion.finish_reason == "length" for completion in completions)
    broken = "before its answer: give more --max-new-tokens" if first.thinking and not first.text else ""
    notices = tuple(filter(None, [row.cut, f"the text was cut at --max-new-tokens {broken}".rstrip() if cut else ""]))
    return Result(
        row.record.id, fields, model=config.model.name, input_tokens=first.input_tokens,
        output_tokens=sum(completion.output_tokens for completion in completions),
        finish_reason="length" if cut else "stop", truncated=bool(row.cut), notices=notices, record=row.record,
    )  # fmt: skip
