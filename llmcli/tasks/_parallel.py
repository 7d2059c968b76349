"""The prompt of a translation: its examples are parallel sentences."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llmcli.text import languages, prompts, scripts
from llmcli.text.prompts import Rendered

if TYPE_CHECKING:
    from llmcli.config.schemas import Prompt


def render(prompt: Prompt, sentence: str, *, source: str, target: str) -> Rendered:
    """The prompt of a sentence: examples are parallel sentences, of which those in both languages are shown."""
    one, other = languages.base(source), languages.base(target)
    examples = [{"text": shot[one], "answer": shot[other]} for shot in shots(prompt, one, other)]
    names = {"source": languages.name(source), "target": languages.name(target)}
    rendered = prompts.render(prompt.model_copy(update={"examples": examples}), sentence, variables=names)
    return replace(rendered, source=source, target=target, without=scripts.foreign(source, target))


def shots(prompt: Prompt, source: str, target: str) -> list[dict[str, str]]:
    """The examples in both languages."""
    return [shot for shot in prompt.examples if source in shot and target in shot]
