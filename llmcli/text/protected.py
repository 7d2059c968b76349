"""What a translation has to leave as it is within a sentence: addresses, code, placeholders, tags, marks of markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from llmcli.text.documents.html import KEPT, TAG, VOID, keeps
from llmcli.text.documents.segments import Span


class Kind(Enum):
    """What a mark is to a sentence."""

    NOUN = "noun"
    """A word of it: an address, a piece of code, a placeholder."""
    ASIDE = "aside"
    """Not of it, though it stands there: a picture, a comment, a footnote's number."""
    SIGN = "sign"
    """A character that is spelled in another way: an entity, an escape."""
    OPEN, CLOSE = "open", "close"
    """One end of what is around some of its words: of a link, of emphasis, of an element."""


@dataclass(frozen=True)
class Mark:
    """What stays as it is. ``what`` names it for people; ``says`` is the character that a sign stands for.

    ``pair`` is the place, in the same sentence, of the mark at the other end.
    """

    span: Span
    raw: str
    kind: Kind
    what: str
    says: str = ""
    pair: int = -1


_FILES = "py|js|ts|md|txt|rst|html?|css|json|ya?ml|toml|ini|cfg|conf|csv|tsv|xml|sh|bat|exe|zip|gz|tar|pdf|png|jpe?g|gif|svg|log|c|cpp|h|hpp|java|rb|go|rs|php|sql|po|pot|mo|srt|vtt|docx?|xlsx?|pptx?|ipynb|lock|env|so|dll|whl"  # noqa: E501
_FORMAT = r"(?:[-+0#]*(?:\*|\d+)?(?:\.(?:\*|\d+))?(?:hh|h|ll|l|L|z|j|t|q)?[sdiuoxXfFeEgGcpnra@])"
_ENTITY = r"&(?:[A-Za-z][A-Za-z0-9]*|#\d+|#[xX][0-9A-Fa-f]+);"
_ENDINGS = "e?s|e|e?n|e?r|ern|i|in|innen|nen|se|st|te|x|aux|ne|nes|le|les|a|as|o|os|ed|ing|ies|ren|jen"
"""What is put in brackets behind a word that may stand for several: ``file(s)``, ``Datei(en)``."""
_NOUNS = {
    "url": r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s<>\"'`|\\^{}\[\]()]*(?:\([^\s<>\"'`()]*\)[^\s<>\"'`|\\^{}\[\]()]*)*(?<![.,;:!?…*_])"
    r"|\bwww\.[\w-]+(?:\.[\w-]+)+(?:/[^\s<>\"'`()\[\]]*(?<![.,;:!?*_]))?",
    "email": r"(?:\bmailto:)?(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "variable": r"\{\{.*?\}\}|\{%.*?%\}|<%.*?%>|[$#%]\{[^{}\s]*\}|%\([^()\s]*\)" + _FORMAT
    + r"|%\d+\$" + _FORMAT + r"|%%|(?<![\d%])%" + _FORMAT + r"(?![A-Za-z0-9])|\{[\w.:!<>^,+%\[\]-]*\}|\{\\[^{}]*\}"
    r"|\$[A-Za-z_]\w*|\$\([\w.]+\)|%[A-Z_]{2,}%|(?<![\w:]):[a-z][a-z0-9_+-]+:(?![\w:])",
    "option": r"(?<![\w-])--[A-Za-z][\w-]*(?:=[^\s,;)\]<>\"'`]*[^\s,;)\]<>\"'`.])?|(?<=\s)-[A-Za-z](?![\w-])",
    "hashtag": r"(?<![A-Za-z0-9_&/])#[^\W\d_]\w*",
    "mention": r"(?<![\w.])@[A-Za-z_]\w*(?:[./-]\w+)*",
    "path": r"(?<![\w/.:-])(?:~|\.{1,2})?/[\w.-]+(?:/[\w.-]*)*(?<![.,])|\b[A-Za-z]:\\[\w\\.-]*\w"
    rf"|(?<![\w/])[\w.-]+(?:/[\w.-]+)+\.\w{{1,5}}\b|(?<![\w./])\.?[\w-]+(?:\.[\w-]+)*\.(?:{_FILES})\b(?![\w/])",
    "code": r"\b[A-Za-z_]\w*(?:(?:\.|::|->)\w+)*\(\)|\b__\w+__\b|\b[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+\b"
    rf"|\b[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*(?!\((?:{_ENDINGS})\))\([ -'*-~]+\)(?!\w)"
    r"|\b[a-z_]\w{2,}(?:\.[a-z_]\w{2,})+\b(?!\()|\b[a-zA-Z]\w*::\w+(?:::\w+)*"
    r"|\b[a-z]{2,}[0-9]*(?:[A-Z][a-z0-9]+)+\b",
}  # fmt: skip
_PLAIN = {name: re.compile(pattern) for name, pattern in _NOUNS.items()}
_ELEMENT = re.compile(r"<([A-Za-z][\w-]*)\b[^<>]*>")
_ENTITIES = re.compile(_ENTITY)
_CODE_SPAN = re.compile(r"(?<![`\\])(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_MATH = re.compile(r"(?<![\\$])\$[^$\n]*[\\^_{}=][^$\n]*\$(?!\$)")
_ASIDES = re.compile(r"!\[[^\[\]]*\](?:\([^()]*(?:\([^()]*\)[^()]*)*\)|\[[^\[\]]*\])|\[\^[^\]\s]+\]")
_AUTOLINK = re.compile(r"<[A-Za-z][\w+.-]*:[^\s<>]*>|<[\w.+-]+@[\w.-]+>")
_LINK_END = re.compile(
    r"\]\((?:<[^<>]*>|[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)(?:\s+(?:\"[^\"]*\"|'[^']*'|\([^()]*\)))?\s*\)"
    r"|\]\[[^\[\]]*\]"
)
_EMPHASIS = re.compile(r"\*{1,3}|_{1,3}|~~")
_ESCAPED_FIRST = re.compile(r"\\[<\[\]]")
"""Escapes of what would begin a tag or a link."""
_ESCAPE = re.compile(r"\\[!-/:-@\[-`{-~]")
_KNOWN_TAG = re.compile(
    r"</?(?:a|abbr|b|big|bdi|bdo|br|cite|code|del|dfn|em|font|h[1-6]|hr|i|img|ins|kbd|li|mark|ol|p|pre|q|s|samp|small|"
    r"span|strike|strong|sub|sup|time|tt|u|ul|var|wbr|div|table|td|th|tr)\b[^<>]*>|</?\d+/?>|<[A-Za-z][\w-]*/>"
    r"|<([A-Za-z][\w-]*)\b[^<>]*>(?=.*</\1>)|</[A-Za-z][\w-]*>|<!--.*?-->", re.DOTALL | re.IGNORECASE,
)  # fmt: skip


def kept(patterns: Sequence[str]) -> re.Pattern[str] | None:
    """What any of some regular expressions matches; None where there are none."""
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns)) if patterns else None


def marks(text: str, *, syntax: str, keep: re.Pattern[str] | None = None) -> list[Mark]:
    """The marks of a text in ``syntax`` (``markdown``, ``html``, ``plain``), in order; none overlaps another."""
    return _paired(_Scan(text, syntax, keep).marks())


class _Scan:
    """Finds marks: what is looked for first takes its characters."""

    def __init__(self, text: str, syntax: str, keep: re.Pattern[str] | None) -> None:
        self._text, self._syntax, self._keep = text, syntax, keep
        self._taken = bytearray(len(text))
        self._marks: list[Mark] = []

    def marks(self) -> list[Mark]:
        """All marks, by place."""
        if self._syntax != "html":
            self._each(_CODE_SPAN, Kind.NOUN, "code")
        if self._syntax == "markdown":
            self._each(_MATH, Kind.NOUN, "math")
            self._signs(_ESCAPED_FIRST, "escape", lambda raw: raw[1:])
        if "<" in self._text:
            self._elements()
        if self._syntax == "markdown":
            self._each(_ASIDES, Kind.ASIDE, "picture")
            self._each(_AUTOLINK, Kind.NOUN, "url")
            self._links()
        if self._keep is not None:
            self._each(self._keep, Kind.NOUN, "kept")
        for what, pattern in _PLAIN.items():
            self._each(pattern, Kind.NOUN, what)
        if "&" in self._text:
            self._signs(_ENTITIES, "entity", html.unescape)
        if self._syntax == "markdown":
            self._signs(_ESCAPE, "escape", lambda raw: raw[1:])
            self._emphasis()
        return sorted(self._marks, key=lambda mark: mark.span.start)

    def _take(self, span: Span, kind: Kind, what: str, *, says: str = "") -> None:
        if span.end > span.start and not any(self._taken[span.start : span.end]):
            self._taken[span.start : span.end] = b"\1" * (span.end - span.start)
            self._marks.append(Mark(span, self._text[span.start : span.end], kind, what, says))

    def _each(self, pattern: re.Pattern[str], kind: Kind, what: str) -> None:
        for match in pattern.finditer(self._text):
            self._take(Span(*match.span()), kind, what)

    def _elements(self) -> None:
        """Elements that are kept whole, then tags: any of HTML, elsewhere those that look like tags."""
        for match in _ELEMENT.finditer(self._text):
            if match[1].lower() in KEPT or keeps(match[0]):
                end = re.compile(rf"</{re.escape(match[1])}\s*>", re.IGNORECASE).search(self._text, match.end())
                if end:
                    self._take(Span(match.start(), end.end()), Kind.NOUN, "code")
        for match in (TAG if self._syntax == "html" else _KNOWN_TAG).finditer(self._text):
            raw = match[0]
            name = re.match(r"</?([\w-]*)", raw)
            void = raw.startswith("<!") or raw.endswith("/>") or (name is not None and name[1].lower() in VOID)
            kind = Kind.ASIDE if void else Kind.CLOSE if raw.startswith("</") else Kind.OPEN
            self._take(Span(*match.span()), kind, "tag")

    def _links(self) -> None:
        for match in _LINK_END.finditer(self._text):
            if any(self._taken[match.start() : match.end()]):
                continue
            depth = 0
            for at in range(match.start() - 1, -1, -1):
                character = "" if self._taken[at] else self._text[at]
                depth += (character == "]") - (character == "[")
                if depth < 0:
                    self._take(Span(at, at + 1), Kind.OPEN, "link")
                    self._take(Span(*match.span()), Kind.CLOSE, "link")
                    break

    def _signs(self, pattern: re.Pattern[str], what: str, says: object) -> None:
        for match in pattern.finditer(self._text):
            said = says(match[0]) if callable(says) else ""
            if not said.isalnum():
                self._take(Span(*match.span()), Kind.SIGN, what, says=said)

    def _emphasis(self) -> None:
        """Marks of emphasis that have a partner, after CommonMark's rules of what opens and what closes."""
        waiting: list[tuple[str, Span]] = []
        for match in _EMPHASIS.finditer(self._text):
            raw, span = match[0], Span(*match.span())
            if any(self._taken[span.start : span.end]):
                continue
            before = self._text[span.start - 1 : span.start] or " "
            after = self._text[span.end : span.end + 1] or " "
            words = before.isalnum() and after.isalnum()
            closes = not before.isspace() and not (raw[0] == "_" and words)
            partner = next((at for at in reversed(range(len(waiting))) if waiting[at][0] == raw), None)
            if closes and partner is not None:
                self._take(waiting[partner][1], Kind.OPEN, "emphasis")
                self._take(span, Kind.CLOSE, "emphasis")
                del waiting[partner:]
            elif not after.isspace() and not (raw[0] == "_" and before.isalnum()):
                waiting.append((raw, span))


def _paired(found: Sequence[Mark]) -> list[Mark]:
    """The marks with the place of each one's partner; those that have none stand for themselves."""
    pairs: dict[int, int] = {}
    names = [_name(mark) for mark in found]
    waiting: list[int] = []
    for place, mark in enumerate(found):
        if mark.kind is Kind.OPEN:
            waiting.append(place)
        elif mark.kind is Kind.CLOSE:
            partner = next((at for at in reversed(waiting) if names[at] == names[place]), None)
            if partner is not None:
                pairs |= {partner: place, place: partner}
                del waiting[waiting.index(partner) :]
    return [
        Mark(mark.span, mark.raw, mark.kind, mark.what, mark.says, pairs.get(place, -1))
        for place, mark in enumerate(found)
    ]


def _name(mark: Mark) -> tuple[str, str]:
    """What a mark and its partner have in common: a tag's name, a mark of emphasis."""
    if mark.what == "tag":
        name = re.match(r"</?([\w-]*)", mark.raw)
        return mark.what, name[1].lower() if name else ""
    return mark.what, "" if mark.what == "link" else mark.raw


def words(text: str, found: Sequence[Mark]) -> str:
    """What of a text is no mark; a sign is the character that it stands for."""
    return "".join(_words(text, found))


def _words(text: str, found: Sequence[Mark]) -> Iterator[str]:
    at = 0
    for mark in found:
        yield from (text[at : mark.span.start], mark.says if mark.kind is Kind.SIGN else " ")
        at = mark.span.end
    yield text[at:]
