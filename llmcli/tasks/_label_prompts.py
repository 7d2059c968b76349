"""What a model reads to put a label on a text: a prompt, and words that stand for the labels."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from llmcli.errors import UsageError
from llmcli.text import prompts
from llmcli.text.prompts import Rendered

if TYPE_CHECKING:
    from llmcli.config.run_config import AnyConfig
    from llmcli.config.schemas import Label, Prompt

HYPOTHESIS = "This example is {label}."


def words(config: AnyConfig) -> dict[str, list[str]]:
    """What stands for each label: words that may follow the prompt, or a hypothesis for a zero-shot model."""
    labels = config.settings.labels
    if not labels:
        raise UsageError("no labels", hint="give --labels a,b,c")
    if config.model.facts.hypotheses:
        hypothesis = config.settings.hypothesis or HYPOTHESIS
        return {
            label.name: [hypothesis.replace("{label}", label.name), *filter(None, [label.description])]
            for label in labels
        }
    gap = "" if (config.settings.prompt or prompts.of(config)).style == "chat" else " "
    return {label.name: [gap + word for word in label.words or [label.name]] for label in labels}


def scored_prompt(config: AnyConfig) -> Prompt:
    """The task's prompt. Labels' own examples and descriptions stand last in it, one of each label in turn.

    They are in the order of the labels' names: in which order the user gives the labels changes nothing.
    """
    return _with_examples(config.settings.prompt or prompts.of(config), config)


def _with_examples(prompt: Prompt, config: AnyConfig) -> Prompt:
    labels = sorted(config.settings.labels or [], key=lambda label: label.name)
    turns = zip_longest(*([{"text": text, "answer": (label.words or [label.name])[0]} for text in _shown(label)]
                          for label in labels))  # fmt: skip
    own = [shot for turn in turns for shot in turn if shot]
    return prompt.model_copy(update={"examples": [*prompt.examples, *own]}) if own else prompt


def _shown(label: Label) -> list[str]:
    return [*([label.description] if label.description else []), *label.examples]


def chat_prompt(config: AnyConfig) -> Prompt | None:
    """What a chat model behind a server is asked, where it scores no words behind a prompt: always as messages."""
    prompt = config.settings.chat_prompt
    return _with_examples(prompt, config).model_copy(update={"style": "chat"}) if prompt is not None else None


def rendered(prompt: Prompt, text: str, config: AnyConfig, *, chat: Prompt | None) -> Rendered:
    """The prompt of a text: of a server's chat model, as messages too."""
    if not config.model.facts.instructed:
        return Rendered(row=text)
    behind = prompts.render(prompt, text.strip())
    return replace(behind, messages=prompts.render(chat, text.strip()).messages) if chat else behind
