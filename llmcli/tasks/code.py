"""Write code, or explain it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from llmcli.errors import ROW_ERRORS, AnswerError, InputError, UsageError
from llmcli.run.fields import Field
from llmcli.run.records import Record, Result, failed
from llmcli.run.task import Task
from llmcli.tasks import _writing
from llmcli.text import chunking, code_blocks, infilling, prompts
from llmcli.text.prompts import Rendered

if TYPE_CHECKING:
    from typer import Option

    from llmcli.config.run_config import RunConfig
    from llmcli.config.schemas import Prompt
    from llmcli.pipelines.protocol import Completion, Emit, Model

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
class Options(_writing.Options):
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


def prepare(config: RunConfig[Options]) -> RunConfig[Options]:
    """A TEXT that begins with "explain" asks for plain words; so does --explain, with a TEXT of its own."""
    options, source = config.options, config.source
    if options.infill and options.explain:
        raise UsageError("--infill and --explain exclude each other")
    words = (source.text or "").split(maxsplit=1)
    if not options.infill and words and words[0].strip(",:").lower() in EXPLAINING:
        options = replace(options, explain=True)
    if options.explain and not source.text:
        source = replace(source, text="Explain what this code does.")
    options = replace(options, lang=options.lang.strip().lower())
    return _writing.prepare(replace(config, options=options, source=source))


def answer(
    model: Model, config: RunConfig[Options], records: Sequence[Record], *, emit: Emit | None = None
) -> list[Result]:
    """One result a record: ``text``, ``parses`` (None where not checked) and, with several sequences, ``texts``."""
    options, prompt = config.options, _prompt(config)
    room = _writing.room(model, config)
    lang = "" if options.lang == "auto" else options.lang
    variables = {"lang": f" {lang}" if lang and prompt.style == "chat" else lang}
    results: dict[int, Result] = {}
    todo: list[_writing.Row] = []
    for index, record in enumerate(records):
        try:
            if options.infill:
                todo.append(_writing.Row(index, record, _around(record.text, room=room, model=model)))
                continue
            row = _writing.fit(index, record, prompt=prompt, room=room, model=model, config=config, variables=variables)
            todo.append(row)
        except ROW_ERRORS as error:
            results[index] = failed(record, error, model=config.model.name)
    completed = _writing.complete(model, config, todo, emit=emit if options.explain else None)
    for row, completions in zip(todo, completed, strict=True):
        try:
            results[row.index] = _result(model, row, completions, config=config)
        except ROW_ERRORS as error:
            results[row.index] = failed(row.record, error, model=config.model.name)
    return [results[index] for index in range(len(records))]


def _result(model: Model, row: _writing.Row, completions: list[Completion], *, config: RunConfig[Options]) -> Result:
    """The code, or the plain words, of a row's completions. Raises GenerationError."""
    explain = config.options.explain
    checked = _Checked(completions, None) if explain else _written(model, row, completions, config=config)
    if not explain and row.prompt.gap is None:
        prompts.check_own(checked.completions[0].text, source=row.record.text, prompt=prompts.of(config))
    return _flagged(_writing.result(row, checked.completions, config=config), checked.parses)


def _prompt(config: RunConfig[Options]) -> Prompt:
    from llmcli.config.schemas import Prompt

    if not config.options.explain:
        return prompts.of(config)
    return Prompt(style="chat") if config.model.chat else Prompt(example="{text}\n\nAnswer: {answer}")


def _around(text: str, *, room: int, model: Model) -> Rendered:
    """The text around its gap. Raises InputError, GenerationError."""
    before, gap, after = text.partition(GAP)
    if not gap or GAP in after:
        raise InputError(f"the text must hold {GAP} once", code="no-gap", hint="it marks where code is missing")
    chunking.fit(text, budget=room - MARKS, on_long="error", model=model)
    return Rendered(gap=(before, after))


@dataclass(frozen=True)
class _Checked:
    """The code of a row's completions, what parses first; and whether the first of them does (None: not checked)."""

    completions: list[Completion]
    parses: bool | None


def _written(model: Model, row: _writing.Row, completions: list[Completion], *, config: RunConfig[Options]) -> _Checked:
    """The code of a row's completions; drawn again, each time from another seed, where none of it parses."""
    lang, generation = config.options.lang, config.generation
    best = _checked(completions, row.prompt, lang=lang)
    seed = row.record.seed if row.record.seed is not None else generation.seed or 0
    for attempt in range(1, RETRIES + 1):
        if best.parses is not False:
            break
        drawn = generation.model_copy(update=DRAWN | {"seed": (seed + attempt) % 2**32})
        try:
            again = _checked(model.complete([row.prompt], drawn)[0], row.prompt, lang=lang)
        except AnswerError:
            break  # there is an answer already
        best = again if again.parses else best
    return best


def _checked(completions: list[Completion], prompt: Rendered, *, lang: str) -> _Checked:
    if prompt.gap is not None:
        found = [_filled(prompt.gap, completion, lang=lang) for completion in completions]
    else:
        opened = prompt.row.rpartition("\n")[2] if not prompt.messages else ""
        opened = opened if opened.startswith("```") else ""
        found = [_read(opened + completion.text, completion, lang=lang) for completion in completions]
    found.sort(key=lambda pair: pair[1] is False)
    return _Checked([completion for completion, _ in found], found[0][1])


def _read(text: str, completion: Completion, *, lang: str) -> tuple[Completion, bool | None]:
    written, named = code_blocks.extract(text, lang=lang)
    if not code_blocks.is_python(written, lang=lang, named=named):
        return replace(completion, text=written), None
    whole = code_blocks.parsable(written)
    # What was cut is complete as far as it goes.
    reason = "stop" if whole else completion.finish_reason
    return replace(completion, text=whole or written, finish_reason=reason), whole is not None


def _filled(gap: tuple[str, str], completion: Completion, *, lang: str) -> tuple[Completion, bool | None]:
    """What fills the gap, without what stands behind it; of Python the first of what may be it that parses."""
    completion = replace(completion, text=completion.text.removeprefix(infilling.indentation(gap[0])))
    text = infilling.block(completion.text, *gap)
    found = [*infilling.cuts(text, gap[1]), text]
    likely = next(cut for cut in found if cut == text or infilling.sure(text, cut))
    if not code_blocks.is_python(text.join(gap), lang=lang, named=""):
        return _ended(completion, likely), None
    parsing = next((cut for cut in found if code_blocks.parses(cut.join(gap))), None)
    return _ended(completion, likely if parsing is None else parsing), parsing is not None


def _ended(completion: Completion, text: str) -> Completion:
    """A completion that is whole where it was cut."""
    return completion if text == completion.text else replace(completion, text=text, finish_reason="stop")


def _flagged(found: Result, parses: bool | None) -> Result:
    texts = {name: value for name, value in found.fields.items() if name != "text"}
    notices = (*found.notices, "the code does not parse") if parses is False else found.notices
    return replace(found, fields={"text": found.fields["text"], "parses": parses, **texts}, notices=notices)


TASK = Task(
    name="code",
    help="""Write the code that a text asks for, and nothing but the code; or explain piped code.

    Python is checked by parsing, never run: an answer that does not parse is cut to what does, or made again, or
    flagged on standard error ('parses' in JSON). Piped text and TEXT make one prompt, the piped text first;
    what a 'while read' loop reads is left to it.

    Example: echo "a function that returns the n-th Fibonacci number" | llmcli code --lang python

    Example: git diff | llmcli code "Explain this change"

    Example: llmcli code --infill --model Qwen/Qwen2.5-Coder-0.5B < broken.py
    """,
    options=Options,
    answer=answer,
    prepare=prepare,
    fields=(
        Field(
            "text", "string", "the code alone; with `--explain` plain words; with `--infill` what belongs into the gap"
        ),
        Field("parses", "boolean or null", "Python: whether it parses; null where it was not checked"),
        _writing.THINKING,
        _writing.TEXTS,
    ),
    combine=True,
    text=_writing.text,
    streams=_writing.streams,
)
