"""JSON: every string that is a value; keys, numbers and how it is laid out stay as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial

from llmcli.errors import InputError
from llmcli.text.documents.segments import Document, Segment, Span, has_words, replacing

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_KEY = re.compile(r"\s*:")


def read(text: str, *, target: str) -> Document:
    """See :func:`llmcli.text.documents.read`."""
    body = text.removeprefix("\ufeff")
    try:
        json.loads(body)
    except json.JSONDecodeError as error:
        message = error.msg[0].lower() + error.msg[1:]
        raise InputError(f"no JSON: {message} at line {error.lineno}", code="bad-json") from error
    except (RecursionError, ValueError) as error:
        raise InputError("no JSON: nested too deeply, or a number too long", code="bad-json") from error
    return Document(list(_segments(text)))


def _segments(text: str) -> Iterator[Segment]:
    for match in _STRING.finditer(text):
        if _KEY.match(text, match.end()):
            continue
        value = str(json.loads(match[0]))
        if has_words(value) and not any("\ud800" <= character <= "\udfff" for character in value):
            span = Span(match.start(), match.end())
            spell = partial(json.dumps, ensure_ascii=match[0].isascii() and "\\u" in match[0])
            yield Segment(span, value, "plain", replacing(span, spell))
