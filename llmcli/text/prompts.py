"""From a prompt's YAML and a row's variables to what a pipeline encodes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmcli.errors import ConfigError, GenerationError

if TYPE_CHECKING:
    from llmcli.config.run_config import AnyConfig
    from llmcli.config.schemas import Prompt


@dataclass(frozen=True)
class Rendered:
    """A prompt ready to encode.

    Completion style: ``prefix`` is the same for every row of a run (its key/value cache is computed once), ``row``
    holds the user's text. Chat style: ``messages``, for the model's own chat template, of which the first ``shared``
    are the same for every row. Infilling: ``gap``, what stands before and after it. ``source`` and ``target`` are the
    languages of a translation, as BCP-47 codes. ``without``: scripts (ISO 15924) of which what is written behind it has
    no letters; a server cannot be told. ``seed``: of what is drawn behind it, where that is not the generation
    config's.
    """

    prefix: str = ""
    row: str = ""
    messages: tuple[Mapping[str, str], ...] = ()
    shared: int = 0
    gap: tuple[str, str] | None = None
    source: str = ""
    target: str = ""
    without: tuple[str, ...] = ()
    seed: int | None = None


def of(config: AnyConfig) -> Prompt:
    """The prompt of a run. A checkpoint that was trained for its task needs none: it reads the bare text.

    Raises ConfigError where a causal model has none.
    """
    from llmcli.config.schemas import Prompt

    if config.settings.prompt is None and config.model.facts.instructed:
        raise ConfigError(f"{config.task}: [prompt] must be set")
    return config.settings.chat_prompt or config.settings.prompt or Prompt()


def render(prompt: Prompt, text: str, *, variables: Mapping[str, str] | None = None) -> Rendered:
    """Fill a prompt for one text. Unknown ``{names}`` stay as they are."""
    global _last
    values = dict(variables or {})
    last = _last
    if last is None or last.values != values or (last.prompt is not prompt and last.prompt != prompt):
        last = _last = _constant(prompt, values)
    row = fill(last.question, values | {"text": text})
    if prompt.style == "chat":
        messages = tuple(_messages(last.instruction, last.shots, row))
        return Rendered(messages=messages, shared=len(messages) - 1)
    return Rendered(prefix=last.prefix, row=row)


@dataclass(frozen=True)
class _Constant:
    """What is the same for all texts of a prompt with the same variables."""

    prompt: Prompt
    values: Mapping[str, str]
    question: str
    instruction: str
    shots: list[tuple[str, str]]
    prefix: str


_last: _Constant | None = None
"""Of the prompt that was filled last: a batch fills one many times."""


def _constant(prompt: Prompt, values: dict[str, str]) -> _Constant:
    question, _, answer = prompt.example.partition("{answer}")
    gap = question[len(question.rstrip(" ")) :]
    question = question.rstrip(" ")
    shots = [(fill(question, values | shot), gap + fill("{answer}" + answer, values | shot))
             for shot in prompt.examples]  # fmt: skip
    instruction = fill(prompt.instruction, values)
    parts = [instruction] if instruction else []
    prefix = prompt.separator.join([*parts, *(a + b for a, b in shots), ""])
    return _Constant(prompt, values, question, instruction, shots, prefix)


def _messages(instruction: str, shots: list[tuple[str, str]], row: str) -> list[dict[str, str]]:
    messages = [{"role": "system", "content": instruction}] if instruction else []
    for question, answer in shots:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer.strip()}]
    return [*messages, {"role": "user", "content": row}]


def check_own(answer: str, *, source: str, prompt: Prompt) -> None:
    """Raise GenerationError where an answer is a piece of the prompt's own examples."""
    from llmcli.text.echoes import Example, echoes  # only where a model is: a client of the worker has none

    examples = (Example(shot.get("text", ""), shot.get("answer", "")) for shot in prompt.examples)
    if echoes(answer, source=source, examples=examples):
        raise GenerationError("the model repeated an example of its prompt", code="echo", hint="try another --model")


def fill(template: str, values: Mapping[str, str]) -> str:
    """Replace each ``{name}`` that has a value, in one pass: braces in the values are left alone."""
    return re.sub(r"\{(\w+)\}", lambda match: str(values.get(match[1], match[0])), template)
