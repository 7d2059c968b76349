"""YAML: every string that is a value; keys, comments, anchors and how it is laid out stay as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from llmcli.errors import InputError
from llmcli.text.documents.segments import Document, Segment, Span, has_words, replacing

_STRING_TAG = "tag:yaml.org,2002:str"
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)+")
"""An anchor, a tag: what stands before a value and is kept."""
_BARE = re.compile(r"[^\W\d_][^:#\n\[\]{},&*!|>'\"%@`\\]*[^\s:#\[\]{},&*!|>'\"%@`\\]|[^\W\d_]")
"""What can stand without quotation marks, whatever is around it."""


def read(text: str, *, target: str) -> Document:
    """See :func:`llmcli.text.documents.read`."""
    import yaml

    try:
        nodes = [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if node is not None]
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(f"no YAML{f': line {mark.line + 1}' if mark else ''}", code="bad-yaml") from error
    except ValueError as error:
        raise InputError("no YAML", code="bad-yaml") from error
    segments: list[Segment] = []
    seen: set[int] = set()
    for scalar in (scalar for node in nodes for scalar in _values(node, seen)):
        segments += _segment(text, scalar)
    return Document(sorted(segments, key=lambda segment: segment.span.start))


def _values(node: Any, seen: set[int]) -> Iterator[Any]:
    """The scalars that are values, each once however many aliases it has."""
    stack = [node]
    while stack:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if one.id == "scalar":
            yield one
        elif one.id == "sequence":
            stack += one.value
        else:
            stack += [value for _, value in one.value]


def _segment(text: str, scalar: Any) -> Iterator[Segment]:
    if scalar.tag != _STRING_TAG or not has_words(scalar.value):
        return
    start, end = scalar.start_mark.index, scalar.end_mark.index
    properties = _PROPERTIES.match(text, start, end)
    span = Span(properties.end() if properties else start, end)
    raw = text[span.start : span.end]
    if scalar.style in ("|", ">"):
        yield from _block(text, span, folded=scalar.style == ">")
        return
    begin = {'"': '"', "'": "'"}.get(scalar.style or "", "")
    if begin and not raw.startswith(begin):
        return
    yield Segment(span, scalar.value, "plain", replacing(span, _quoting(scalar.style)))


def _quoting(style: str | None) -> Callable[[str], str]:
    """How a value is spelled: as it was, where that can hold it, else in double quotation marks."""

    def spell(value: str) -> str:
        if style == "'" and "\n" not in value:
            return "'" + value.replace("'", "''") + "'"
        if style is None and _BARE.fullmatch(value) and not _meant(value):
            return value
        return json.dumps(value, ensure_ascii=False)

    return spell


def _meant(value: str) -> bool:
    """Whether a bare value would be something else than text."""
    import yaml

    return not isinstance(yaml.safe_load(value), str)


def _block(text: str, span: Span, *, folded: bool) -> Iterator[Segment]:
    """The lines of a block, or where it is folded its paragraphs: their text stands there as it is."""
    begin = text.find("\n", span.start, span.end) + 1
    if not begin:
        return
    group: list[Span] = []
    for match in re.finditer(r"([ \t]*)([^\r\n]*?)[ \t]*(?:\r\n|\n|\r|$)", text[begin : span.end]):
        line = Span(begin + match.start(2), begin + match.end(2))
        if group and (not folded or not match[2]):
            yield from _lines(text, group)
            group = []
        if match[2] and begin + match.start() < span.end:
            group.append(line)
    if group:
        yield from _lines(text, group)


def _lines(text: str, group: list[Span]) -> Iterator[Segment]:
    span = Span(group[0].start, group[-1].end)
    shown = " ".join(text[line.start : line.end] for line in group)
    if has_words(shown):
        yield Segment(span, shown, "plain", replacing(span, lambda new: new.strip() or shown))
