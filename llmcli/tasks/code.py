"""Write code, or explain it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from typer import Option

from llmcli.errors import ROW_ERRORS, InputError, UsageError
from llmcli.run.options import GenerationOptions, ModelOptions, request
from llmcli.run.records import Record, Result, failed
from llmcli.run.request import InputOptions, OutputOptions, Request
from llmcli.tasks import generate
from llmcli.text import chunking, code_blocks, prompts
from llmcli.text.prompts import Rendered

if TYPE_CHECKING:
    from llmcli.config.run_config import RunConfig
    from llmcli.config.schemas import Generation
    from llmcli.pipelines.protocol import Completion, Emit, Model

FIELDS = ("text", "parses")
OPTIONAL = generate.OPTIONAL
EXPLAINING = ("explain", "describe", "review", "summarize", "summarise")
"""First words of a TEXT that asks for plain words about the piped code."""
GAP = "<FILL>"
"""What marks the gap in a text."""
MARKS = 8
"""Tokens that stand around a text with a gap."""
RETRIES = 2
DRAWN = {"temperature": 0.4, "top_p": 0.95, "num_beams": 1}
"""How an answer that does not parse is made again."""


@dataclass(frozen=True)
class Options(generate.Texts):
    """The task's own options."""

    lang: Annotated[
        str, Option(help="The programming language. 'auto': what the model chooses.", rich_help_panel="Code")
    ] = "auto"
    explain: Annotated[
        bool, Option("--explain", help="Answer in plain words, as a TEXT that begins with 'explain', 'describe', "
                     "'review' or 'summarize' does.", rich_help_panel="Code")
    ] = False  # fmt: skip
    infill: Annotated[
        bool, Option("--infill", help=f"Write what belongs where {GAP} stands in the code; for models that were "
                     "trained to.", rich_help_panel="Code")
    ] = False  # fmt: skip


def command(
    source: InputOptions,
    own: Options,
    generation: GenerationOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> Request:
    """Write the code that a text asks for, and nothing but the code; or explain piped code.

    Python is checked by parsing, never run: an answer that does not parse is cut to what does, or made again, or
    flagged on standard error ('parses' in JSON). Piped text and TEXT make one prompt, the piped text first.

    Example: echo "a function that returns the n-th Fibonacci number" | llmcli code --lang python

    Example: git diff | llmcli code "Explain this change"

    Example: llmcli code --infill --model Qwen/Qwen2.5-Coder-0.5B < broken.py
    """
    if own.infill and own.explain:
        raise UsageError("--infill and --explain exclude each other")
    words = (source.text or "").split(maxsplit=1)
    if not own.infill and words and words[0].strip(",:").lower() in EXPLAINING:
        own = replace(own, explain=True)
    if own.explain and not source.text:
        source = replace(source, text="Explain what this code does.")
    own = replace(own, lang=own.lang.strip().lower())
    return request("code", source=source, model=model, output=output, generation=generation, own=own, combine=True)


def answer(model: Model, config: RunConfig, records: Sequence[Record], *, emit: Emit | None = None) -> list[Result]:
    """One result a record: ``text``, ``parses`` (None where not checked) and, with several sequences, ``texts``."""
    from llmcli.config.schemas import Prompt

    explain, generation = config.option("explain"), generate.settled(config)
    prompt = prompts.of(config)
    if explain:
        prompt = Prompt(style="chat") if config.model.chat else Prompt(example="{text}\n\nAnswer: {answer}")
    room = model.context_window - (generation.max_new_tokens or 0)
    lang = "" if _lang(config) == "auto" else _lang(config)
    variables = {"lang": f" {lang}" if lang and prompt.style == "chat" else lang}
    results: dict[int, Result] = {}
    todo: list[tuple[int, Rendered, bool]] = []
    for index, record in enumerate(records):
        try:
            if config.option("infill"):
                todo.append((index, _around(record.text, room=room, model=model), False))
                continue
            fitted = generate.fit(
                record.text, prompt=prompt, room=room, model=model, config=config, variables=variables
            )
            todo.append((index, *fitted))
        except ROW_ERRORS as error:
            results[index] = failed(record, error, model=config.model.name)
    rows = [(records[index], rendered) for index, rendered, _ in todo]
    stream = emit if explain and not config.option("no_stream") else None
    made = generate.complete(model, generation, rows, stream)
    if explain:
        checked: list[_Checked] = [(completions, None) for completions in made]
    else:
        checked = [_written(model, generation, *pair, config=config) for pair in zip(rows, made, strict=True)]
    for (index, _, truncated), (completions, parses) in zip(todo, checked, strict=True):
        found = generate.result(records[index], completions, truncated=truncated, config=config)
        results[index] = _flagged(found, parses)
    return [results[index] for index in range(len(records))]


def _around(text: str, *, room: int, model: Model) -> Rendered:
    """The text around its gap. Raises InputError, GenerationError."""
    before, gap, after = text.partition(GAP)
    if not gap or GAP in after:
        raise InputError(f"the text must hold {GAP} once", code="no-gap", hint="it marks where code is missing")
    chunking.fit(text, budget=room - MARKS, on_long="error", model=model)
    return Rendered(gap=(before, after))


_Checked = tuple[list["Completion"], bool | None]


def _lang(config: RunConfig) -> str:
    return str(config.option("lang", "auto"))


def _written(
    model: Model, generation: Generation, row: tuple[Record, Rendered], made: list[Completion], *, config: RunConfig
) -> _Checked:
    """The code of a row's completions; drawn again, each time from another seed, where none of it parses."""
    record, rendered = row
    best = _checked(made, rendered, config)
    seed = record.seed if record.seed is not None else generation.seed or 0
    for attempt in range(1, RETRIES + 1):
        if best[1] is not False:
            break
        drawn = generation.model_copy(update=DRAWN | {"seed": (seed + attempt) % 2**32})
        again = _checked(model.complete([rendered], drawn)[0], rendered, config)
        best = again if again[1] else best
    return best


def _checked(made: list[Completion], rendered: Rendered, config: RunConfig) -> _Checked:
    """The code of each completion, what parses first, and whether the first of them does."""
    if rendered.gap is not None:
        found = [_filled(rendered.gap, completion, lang=_lang(config)) for completion in made]
    else:
        opened = rendered.row.rpartition("\n")[2] if not rendered.messages else ""
        opened = opened if opened.startswith("```") else ""
        found = [_read(opened + completion.text, completion, lang=_lang(config)) for completion in made]
    found.sort(key=lambda pair: pair[1] is False)
    return [completion for completion, _ in found], found[0][1]


def _read(text: str, completion: Completion, *, lang: str) -> tuple[Completion, bool | None]:
    written, named = code_blocks.extract(text, lang=lang)
    if not code_blocks.is_python(written, lang=lang, named=named):
        return replace(completion, text=written), None
    whole = code_blocks.parsable(written)
    # What was cut is complete as far as it goes.
    reason = "stop" if whole else completion.finish_reason
    return replace(completion, text=whole or written, finish_reason=reason), whole is not None


def _filled(gap: tuple[str, str], completion: Completion, *, lang: str) -> tuple[Completion, bool | None]:
    whole = completion.text.join(gap)
    return completion, code_blocks.parses(whole) if code_blocks.is_python(whole, lang=lang, named="") else None


def _flagged(found: Result, parses: bool | None) -> Result:
    texts = {name: value for name, value in found.fields.items() if name != "text"}
    notices = (*found.notices, "the code does not parse") if parses is False else found.notices
    return replace(found, fields={"text": found.fields["text"], "parses": parses, **texts}, notices=notices)
