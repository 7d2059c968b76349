"""What of a document is translated, and how a translation is put in its place: nothing else of it changes."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from llmcli.text.paragraphs import UNSPACED


@dataclass(frozen=True)
class Span:
    """The characters of a text from ``start`` up to ``end``."""

    start: int
    end: int

    def holds(self, other: Span) -> bool:
        """Whether another span lies within this one."""
        return self.start <= other.start and other.end <= self.end


@dataclass(frozen=True)
class Edit:
    """What stands in place of a span."""

    span: Span
    text: str


Write = Callable[[str], Sequence[Edit]]


@dataclass(frozen=True)
class Segment:
    """A piece of a document that is translated as one.

    ``text`` is what a reader sees, on one line, with the inline marks of its ``syntax`` (``markdown``, ``html`` or
    ``plain``); ``edits`` gives what its translation changes. ``within`` is the mark of another segment that it stands
    in: the tag of a picture whose description it is. ``doubt`` gives what marks its translation as doubtful, where the
    format has such a mark.
    """

    span: Span
    text: str
    syntax: str
    edits: Write
    within: Span | None = None
    doubt: Sequence[Edit] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What its translation depends on, within a run."""
        return self.text, self.syntax


@dataclass(frozen=True)
class Document:
    """A text taken apart. ``fixed``: what the target language itself changes, such as the attribute ``lang``."""

    segments: list[Segment] = field(default_factory=list)
    fixed: list[Edit] = field(default_factory=list)


def replacing(span: Span, write: Callable[[str], str] = str) -> Write:
    """The edits of a segment that is one span: its translation, as ``write`` spells it."""
    return lambda translation: [Edit(span, write(translation))]


def splice(
    text: str, edits: Iterable[Edit], *, within: Iterable[tuple[Span, Edit]] = (), start: int = 0
) -> str:  # fmt: skip
    """A text, from ``start`` on, with its edits made; whatever they do not cover is as it was.

    ``within``: edits in a mark that another edit may have carried elsewhere; where it is gone, so are they.
    """
    outer = sorted(edits, key=lambda edit: (edit.span.start, edit.span.end))
    inner: dict[Span, list[Edit]] = {}
    for mark, edit in within:
        inner.setdefault(mark, []).append(edit)
    marks = {mark: splice(text[: mark.end], some)[mark.start :] for mark, some in inner.items()}
    made, at = [], start
    alone = [Edit(mark, new) for mark, new in marks.items() if not any(edit.span.holds(mark) for edit in outer)]
    for edit in sorted([*outer, *alone], key=lambda edit: (edit.span.start, edit.span.end)):
        new = edit.text
        for mark, changed in marks.items():
            if edit.span.holds(mark) and mark != edit.span:
                new = new.replace(text[mark.start : mark.end], changed, 1)
        made += [text[at : edit.span.start], new]
        at = edit.span.end
    return "".join([*made, text[at:]])


@dataclass(frozen=True)
class Layout:
    """How a paragraph was wrapped: the width of its text, and what stands between two of its lines."""

    width: int
    between: str

    def wrap(self, text: str, *, whole: re.Pattern[str], starts: re.Pattern[str]) -> str:
        """The text in lines. What ``whole`` matches is not parted, and no line begins as ``starts`` does."""
        held = whole.sub(lambda match: match[0].replace(" ", "\0").replace("-", "\1"), text)
        lines: list[str] = []
        for line in textwrap.wrap(held, max(self.width, 20), break_long_words=False, break_on_hyphens=False):
            if lines and starts.match(line):
                lines[-1] += f" {line}"
            else:
                lines.append(line)
        return self.between.join(lines).replace("\0", " ").replace("\1", "-")


def joined(lines: Iterable[str]) -> str:
    """Lines of a paragraph on one line; scripts without spaces get none between."""
    text = ""
    for line in (line.strip() for line in lines):
        unspaced = text and line and UNSPACED.match(text[-1]) and UNSPACED.match(line)
        text += line if not text or not line or unspaced else f" {line}"
    return text


def has_words(text: str) -> bool:
    """Whether there is a letter in a text."""
    return any(character.isalpha() for character in text)
