"""The lines of a text to translate: what is kept of each, and its sentences; and how they come together again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llmcli.text import chunking, languages, sentences
from llmcli.text.documents.plain import CODE
from llmcli.text.inline import Sentence, Style

if TYPE_CHECKING:
    from llmcli.config.run_config import AnyConfig
    from llmcli.pipelines.protocol import Model

_MARK = re.compile(r"\s*(?:(?:[-*•–>#]+|\d{1,3}[.)])\s+)*")
"""What stands before a line's text and is kept: indentation, list marks, quote marks, heading marks."""
_NO_TEXT = re.compile(r"</?[A-Za-z][^<>]*>?|[^<>]*>$")
"""What is no word of any language: tags, also torn ones."""
SPECIAL = 32
"""Tokens kept free for an encoder's special tokens and a task prefix ("translate English to German: ")."""


@dataclass(frozen=True)
class Line:
    """A line of a text: what is kept before it, and the sentences to translate (none: kept whole)."""

    mark: str
    sentences: tuple[Sentence, ...]
    tail: str = ""
    truncated: bool = False


def split(text: str, language: str, *, syntax: str = "plain", keep: re.Pattern[str] | None = None) -> Line:
    """Take a line apart. A line without words is kept as it is."""
    match = _MARK.match(text) if syntax != "markdown" else None
    mark = match[0] if match else ""
    body = text[len(mark) :]
    stripped = body.rstrip()
    if syntax == "plain" and CODE.match(text):
        return Line(text, ())
    if not any(map(str.isalpha, _NO_TEXT.sub("", body) if syntax == "plain" else body)):
        return Line(text, ())
    found = sentences.sentences(stripped, syntax=syntax, language=language, keep=keep)
    if not any(sentence.has_words for sentence in found):
        return Line(text, ())
    return Line(mark, tuple(found), body[len(stripped) :])


def fitted(
    line: Line, model: Model, config: AnyConfig, *, syntax: str, keep: re.Pattern[str] | None
) -> Line:  # fmt: skip
    """The line with sentences that its encoder can read. A causal model's window is far longer than a sentence."""
    if config.model.facts.shared_window:
        return line
    budget = model.context_window - SPECIAL
    pieces: list[Sentence] = []
    truncated = False
    for sentence in line.sentences:
        if model.count(sentence.shown(Style.BRACKETS)) <= budget:
            pieces.append(sentence)
            continue
        fit = chunking.fit(sentence.text, budget=budget, on_long=config.settings.on_long or "chunk", model=model)
        some = [sentences.alone(piece, syntax=syntax, keep=keep) for piece in fit.pieces]
        some[0] = replace(some[0], before=sentence.before + some[0].before)
        some[-1] = replace(some[-1], after=some[-1].after + sentence.after)
        pieces, truncated = [*pieces, *some], truncated or fit.truncated
    return replace(line, sentences=tuple(pieces), truncated=truncated)


def together(pieces: Sequence[tuple[Sentence, str]], target: str) -> str:
    """Sentences one behind the other, with blanks between them where the target language has such."""
    text, unspaced = "", languages.base(target) in languages.UNSPACED
    for place, (sentence, translation) in enumerate(pieces):
        whole = sentence.whole(translation)
        if place:
            text = text.rstrip(" ") if unspaced else text
            spaced = unspaced or text[-1:].isspace() or whole[:1].isspace()
            text += "" if spaced else " "
        text += whole
    return text
