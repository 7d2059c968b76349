"""Markdown: paragraphs, headings, list items, quotes and table cells; HTML blocks as HTML.

The blocks are those of the markdown-it-py library; what of a line is text is found again in the text itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from llmcli.text.documents import html
from llmcli.text.documents.segments import Document, Edit, Layout, Segment, Span, has_words, joined, replacing

if TYPE_CHECKING:
    from markdown_it.token import Token

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|$)")
_FRONT = re.compile(r"\ufeff?(---|\+\+\+)[ \t]*\r?\n.*?^(?:\1|\.\.\.)[ \t]*$", re.DOTALL | re.MULTILINE)
_MARKED = re.compile(r"\[\^[^\]]+\]:\s+|\[[ xX]\]\s+|:\s+")
"""What begins a line and is kept: a footnote's name, a task's box, a definition's mark."""
_NO_TEXT = re.compile(r"\[![A-Z]+\]\s*$|!!!|\?\?\?|:::|\{[%:].*[%:]\}\s*$|\$\$|\[[^\]]+\]:\s*\S+\s*$")
"""Lines that are none of a paragraph's text: an alert's kind, an admonition, a directive, a template's tag."""
BEGINS_BLOCK = re.compile(r"(?:#{1,6}|[-+*>=]|\d{1,9}[.)])(?:\s|$)|(?:[-=_*]\s*){3,}$|[>|~`]|:\s")
"""What, at the beginning of a line, is no text to a reader of Markdown."""
WHOLE = re.compile(rf"(`+)(?!`).+?(?<!`)\1(?!`)|!?\[[^\[\]]*\]\([^()]*\)|<[^<>\s][^<>]*>|{html.TAG.pattern}", re.DOTALL)
"""What is not parted by a line break."""
_IMAGE = re.compile(r"!\[([^\[\]\n]*)\](?:\([^()\n]*\)|\[[^\[\]\n]*\])")


@dataclass(frozen=True)
class Line:
    """A line's text and where it stands. ``hard``: a break follows that the reader sees."""

    span: Span
    hard: bool = False


def read(text: str, *, target: str) -> Document:
    """See :func:`llmcli.text.documents.read`."""
    from markdown_it import MarkdownIt

    lines = [Span(match.start(), match.end()) for match in _LINE.finditer(text)]
    front = _FRONT.match(text)
    body = re.sub(r"[^\r\n]", "", front[0]) + text[front.end() :] if front else text
    segments: list[Segment] = []
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    for place, token in enumerate(tokens):
        if token.map is None:
            continue
        if token.type == "html_block" and (token.level == 0 or token.map[1] - token.map[0] == 1):
            block = Span(lines[token.map[0]].start, lines[token.map[1] - 1].end)
            inside = html.read(text[block.start : block.end], target=target)
            segments += [_moved(segment, block.start) for segment in inside.segments]
        elif token.type == "inline" and tokens[place - 1].type not in ("td_open", "th_open"):
            segments += _paragraph(text, token, lines)
        elif token.type == "tr_open":
            cells = list(_cells(tokens[place + 1 :]))
            segments += _row(text, lines[token.map[0]], cells)
    for segment in list(segments):
        segments += _described(text, segment.span)
    return Document(sorted(segments, key=lambda segment: segment.span.start))


def _moved(segment: Segment, by: int) -> Segment:
    """A segment of a part of the text, in the whole."""

    def moved(span: Span) -> Span:
        return Span(span.start + by, span.end + by)

    def edits(translation: str) -> Sequence[Edit]:
        return [Edit(moved(edit.span), edit.text) for edit in segment.edits(translation)]

    within = moved(segment.within) if segment.within else None
    return replace(segment, span=moved(segment.span), edits=edits, within=within)


def _paragraph(text: str, token: Token, lines: Sequence[Span]) -> Iterator[Segment]:
    """The segments of a paragraph or heading: its lines, parted where the reader sees a break."""
    content = token.content.split("\n")
    first, last = token.map or (0, 0)
    if last - first != len(content):
        return  # a heading's underline is not in it, and nothing else should be
    placed = [_place(text, lines[first + at], line) for at, line in enumerate(content)]
    group: list[Line] = []
    for line in placed:
        shown = text[line.span.start : line.span.end] if line else ""
        if group and (line is None or _NO_TEXT.match(shown) or _MARKED.match(shown)):
            yield from _segment(text, group)
            group = []
        if line is None or _NO_TEXT.match(shown):
            continue
        mark = _MARKED.match(shown)
        group.append(replace(line, span=Span(line.span.start + (mark.end() if mark else 0), line.span.end)))
        if line.hard:
            yield from _segment(text, group)
            group = []
    yield from _segment(text, group)


def _place(text: str, line: Span, content: str) -> Line | None:
    """Where a paragraph's line stands in the text."""
    raw = text[line.start : line.end].rstrip("\r\n")
    shown = content.strip(" \t")
    hard = content.endswith(("  ", "\\"))
    at = len(raw.rstrip(" \t")) - len(shown)
    if not shown or raw[at : at + len(shown)] != shown:
        at = raw.find(shown)
    if not shown or at < 0:
        return None
    if shown.endswith("\\") and hard:
        shown = shown[:-1].rstrip()
    return Line(Span(line.start + at, line.start + at + len(shown)), hard)


def _segment(text: str, group: Sequence[Line]) -> Iterator[Segment]:
    if not group:
        return
    span = Span(group[0].span.start, group[-1].span.end)
    texts = [text[line.span.start : line.span.end] for line in group]
    shown = joined(texts)
    if not has_words(shown):
        return
    between = text[group[0].span.end : group[1].span.start] if len(group) > 1 else "\n"
    layout = Layout(max(map(len, texts)), between) if len(group) > 1 else None

    def write(translation: str) -> str:
        safe = _escaped(translation, like=shown)
        return layout.wrap(safe, whole=WHOLE, starts=BEGINS_BLOCK) if layout else safe

    yield Segment(span, shown, "markdown", replacing(span, write))


def _escaped(translation: str, *, like: str) -> str:
    """A paragraph's text that begins as a list or a heading would ("1. Mai") is text all the same."""
    begins = BEGINS_BLOCK.match(translation)
    if begins is None or BEGINS_BLOCK.match(like):
        return translation
    number = re.match(r"\d+", translation)
    at = number.end() if number else 0
    return f"{translation[:at]}\\{translation[at:]}"


def _cells(tokens: Sequence[Token]) -> Iterator[str]:
    """The contents of a table row's cells."""
    for token in tokens:
        if token.type == "tr_close":
            return
        if token.type == "inline":
            yield token.content


def _row(text: str, line: Span, contents: Sequence[str]) -> Iterator[Segment]:
    """A segment a cell that has words; none where the cells are not found again."""
    raw = text[line.start : line.end].rstrip("\r\n")
    bars = [match.start() for match in re.finditer(r"(?<!\\)\|", raw)]
    bounds = [-1, *bars, len(raw)]
    cells = [Span(one + 1, other) for one, other in pairwise(bounds)]
    trimmed = [_trimmed(raw, cell) for cell in cells]
    at = 0
    for cell in trimmed:
        if at == len(contents):
            return
        shown = raw[cell.start : cell.end]
        if shown.replace("\\|", "|") != contents[at].strip().replace("\\|", "|"):
            continue
        at += 1
        if has_words(shown):
            span = Span(line.start + cell.start, line.start + cell.end)
            yield Segment(span, shown, "markdown", replacing(span, _cell))


def _cell(translation: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", translation)


def _trimmed(raw: str, cell: Span) -> Span:
    shown = raw[cell.start : cell.end]
    start = cell.start + len(shown) - len(shown.lstrip())
    return Span(start, max(start, cell.start + len(shown.rstrip())))


def _described(text: str, span: Span) -> Iterator[Segment]:
    """What pictures within a segment are described with, and tags' attributes that people read."""
    raw = text[span.start : span.end]
    for match in _IMAGE.finditer(raw):
        if has_words(match[1]) and "`" not in match[1]:
            mark = Span(span.start + match.start(), span.start + match.end())
            inner = Span(span.start + match.start(1), span.start + match.end(1))
            yield Segment(inner, match[1], "markdown", replacing(inner, _bracketless), within=mark)
    if "<" in raw and "=" in raw:
        for segment in html.read(raw, target="").segments:
            if segment.syntax == "plain":
                yield replace(_moved(segment, span.start), within=_tag_around(text, span, segment, span.start))


def _bracketless(translation: str) -> str:
    return translation.replace("[", "(").replace("]", ")")


def _tag_around(text: str, host: Span, segment: Segment, by: int) -> Span | None:
    inner = Span(segment.span.start + by, segment.span.end + by)
    for match in html.TAG.finditer(text, host.start, host.end):
        tag = Span(match.start(), match.end())
        if tag.holds(inner):
            return tag
    return host
