"""Plain text: a line is a segment. Prompts of a shell or of Python begin lines that are no text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from llmcli.text.documents.segments import Document, Segment, Span, has_words, replacing

CODE = re.compile(r"\s*(?:>>>|\.\.\.|\$|In \[\d+\]:|C:\\[^>]*>)\s+\S")
"""What a shell, or Python, was told: a line that is no text."""


def read(text: str, *, target: str) -> Document:
    """See :func:`llmcli.text.documents.read`."""
    return Document(list(_segments(text)))


def _segments(text: str) -> Iterator[Segment]:
    for match in re.finditer(r"\ufeff?([^\n]*?)(?:\r?\n|$)", text):
        if has_words(match[1]) and not CODE.match(match[1]):
            span = Span(*match.span(1))
            yield Segment(span, match[1], "plain", replacing(span))
