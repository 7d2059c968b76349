"""Write code from a description, or explain code."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Option

from llmcli import chunking, prompts
from llmcli.errors import ROW_ERRORS
from llmcli.options import GenerationOptions, InputOptions, ModelOptions, OutputOptions, Request, request
from llmcli.pipelines import Completion, Emit, Model
from llmcli.prompts import Rendered
from llmcli.records import Record, Result, failed
from llmcli.tasks.generate import complete

if TYPE_CHECKING:
    from llmcli.config import RunConfig

FIELDS = ("text", "language", "parses")
RETRIES = 2
"""Samples drawn where greedy Python does not parse."""
EXPLAIN = frozenset({"explain", "describe", "review", "summarize", "summarise", "what", "why", "how", "does", "is"})
"""First words that ask about code."""
PYTHON = frozenset({"python", "python3", "py"})
_FENCE = re.compile(r"```[ \t]*([\w+#.-]*)[^\n]*\n(.*?)(?:\n?```|\Z)", re.DOTALL)
_DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.Expr, ast.For, ast.While, ast.If)


@dataclass(frozen=True)
class Options:
    """The task's own options."""

    lang: Annotated[
        str | None,
        Option("--lang", help="The programming language; Python is checked by its parser.", rich_help_panel="Code",
               show_default="python"),
    ] = None  # fmt: skip
    explain: Annotated[
        bool | None,
        Option("--explain/--write", help="Explain the code given, or write code.", rich_help_panel="Code",
               show_default="explain where the request begins with 'Explain', 'What', 'Why', …"),
    ] = None  # fmt: skip


@dataclass(frozen=True)
class Code:
    """Code that was cut out of an answer. ``parses`` is None for languages that are not checked."""

    text: str
    language: str
    parses: bool | None


def command(
    source: InputOptions,
    own: Options,
    generation: GenerationOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> Request:
    """Write code from a description: the code alone; or explain code that is piped in. Nothing is ever run.

    Python that does not parse is cut to what does, or drawn again; what is still broken is flagged.

    Example: echo "a function that returns the n-th Fibonacci number" | llmcli code --lang python

    Example: git diff | llmcli code "Explain this change"
    """
    return request("code", source=source, model=model, output=output, generation=generation, own=own, combine=True)


def answer(model: Model, config: RunConfig, records: Sequence[Record], *, emit: Emit | None = None) -> list[Result]:
    """One result a record: ``text``, its ``language`` and whether it ``parses`` (None: not checked)."""
    room = model.context_window - (config.generation.max_new_tokens or 0)
    results: dict[int, Result] = {}
    todo: list[tuple[int, Rendered, bool]] = []
    for index, record in enumerate(records):
        try:
            explain = _explains(record.text, config)
            overhead = model.size(_prompt(config, "", explain=explain))
            on_long = config.settings.on_long or "error"
            fit = chunking.fit(record.text, budget=room - overhead,
                               on_long="error" if on_long == "chunk" else on_long, model=model)  # fmt: skip
            todo.append((index, _prompt(config, fit.pieces[0], explain=explain), explain))
        except ROW_ERRORS as error:
            results[index] = failed(record, error, model=config.model.name)
    made = complete(model, config.generation, [(records[index], prompt) for index, prompt, _ in todo], None)
    for (index, prompt, explain), (first, *_) in zip(todo, made, strict=True):
        code = Code(first.text.strip(), "", None) if explain else extract(first.text, language=_language(config))
        if code.parses is False:
            first, code = _again(model, config, prompt, first, code)
        results[index] = _result(records[index], first, code, config)
    return [results[index] for index in range(len(records))]


def _language(config: RunConfig) -> str:
    return str(config.option("lang") or "python").lower()


def _explains(text: str, config: RunConfig) -> bool:
    """Whether code is to be explained: asked for, or the request's first word says so."""
    asked = config.option("explain")
    if asked is not None:
        return bool(asked)
    first = re.match(r"\w+", text.strip().split("\n\n")[-1].strip())
    return first is not None and first[0].lower() in EXPLAIN


def _prompt(config: RunConfig, text: str, *, explain: bool) -> Rendered:
    from llmcli.schemas import Prompt

    if explain:
        return prompts.render(Prompt(style="chat" if config.model.chat else "completion",
                                     example="{text}{answer}" if config.model.chat else "{text}\n\nAnswer: {answer}"),
                              text)  # fmt: skip
    return prompts.render(prompts.of(config), text.strip(), variables={"lang": _language(config)})


def extract(answer: str, *, language: str) -> Code:
    """The code of an answer: its first fenced block, else all of it. Python is cut to its longest sound beginning."""
    fence = _FENCE.search(answer)
    text = (fence[2] if fence else answer.removesuffix("```")).strip("\n").rstrip()
    found = (fence[1].lower() if fence else "") or language
    if found not in PYTHON:
        return Code(text, found, None)
    lines = text.split("\n")
    for end in range(len(lines), 0, -1):
        begun = "\n".join(lines[:end]).rstrip()
        if sound(begun):
            return Code(begun, "python", True)
    return Code(text, "python", False)


def sound(text: str) -> bool:
    """Whether Python parses and does something. The parser alone reads it."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, _DEFINES) and not isinstance(getattr(node, "value", None), ast.Name | ast.Constant)
               for node in tree.body)  # fmt: skip


def _again(model: Model, config: RunConfig, prompt: Rendered, first: Completion, code: Code) -> tuple[Completion, Code]:
    """Samples in place of an answer that does not parse, drawn from seeds of their own."""
    for attempt in range(RETRIES):
        update = {"temperature": config.generation.temperature or 0.5, "seed": (config.generation.seed or 0) + attempt}
        made = model.complete([prompt], config.generation.model_copy(update=update))[0][0]
        found = extract(made.text, language=_language(config))
        if found.parses:
            return made, found
    return first, code


def _result(record: Record, made: Completion, code: Code, config: RunConfig) -> Result:
    notices = []
    if made.finish_reason == "length":
        notices.append("the text was cut at --max-new-tokens")
    if code.parses is False:
        notices.append(f"{record.where or 'the answer'}: this Python does not parse")
    return Result(
        record.id, {"text": code.text, "language": code.language, "parses": code.parses}, model=config.model.name,
        input_tokens=made.input_tokens, output_tokens=made.output_tokens, finish_reason=made.finish_reason,
        notices=tuple(notices), record=record,
    )  # fmt: skip
