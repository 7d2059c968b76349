"""Gettext PO: what is not translated yet is; contexts, comments, flags and all other entries stay as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from llmcli.errors import InputError
from llmcli.text.documents.segments import Document, Edit, Segment, Span, has_words

_KEYWORD = re.compile(r"(msgctxt|msgid_plural|msgid|msgstr(?:\[(\d+)\])?)[ \t]*(?=\")")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_SPELLED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\a": "\\a", "\b": "\\b", "\f": "\\f",
            "\v": "\\v"}  # fmt: skip
WIDTH = 77
"""Characters of the longest line of a string, its quotation marks aside."""
_ONE = "nplurals=1; plural=0;"
_TWO = "nplurals=2; plural=(n != 1);"
_ABOVE_ONE = "nplurals=2; plural=(n > 1);"
_EAST = "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);"
PLURALS = {
    **dict.fromkeys(("ja", "zh", "ko", "vi", "th", "id", "ms", "lo", "my", "km", "ka", "yo"), _ONE),
    **dict.fromkeys(("fr", "pt_BR", "tr", "fa", "hy", "oc", "wa", "mg", "ti", "tl"), _ABOVE_ONE),
    **dict.fromkeys(("ru", "uk", "be", "sr", "hr", "bs"), _EAST),
    "pl": "nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);",
    "cs": "nplurals=3; plural=(n==1) ? 0 : (n>=2 && n<=4) ? 1 : 2;",
    "sk": "nplurals=3; plural=(n==1) ? 0 : (n>=2 && n<=4) ? 1 : 2;",
    "ro": "nplurals=3; plural=(n==1 ? 0 : (n==0 || (n%100 > 0 && n%100 < 20)) ? 1 : 2);",
    "lt": "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && (n%100<10 || n%100>=20) ? 1 : 2);",
    "lv": "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n != 0 ? 1 : 2);",
    "sl": "nplurals=4; plural=(n%100==1 ? 0 : n%100==2 ? 1 : n%100==3 || n%100==4 ? 2 : 3);",
    "ar": "nplurals=6; plural=(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5);",
    "ga": "nplurals=5; plural=(n==1 ? 0 : n==2 ? 1 : n<7 ? 2 : n<11 ? 3 : 4);",
    "cy": "nplurals=4; plural=(n==1) ? 0 : (n==2) ? 1 : (n != 8 && n != 11) ? 2 : 3;",
    "is": "nplurals=2; plural=(n%10!=1 || n%100==11);",
    "mk": "nplurals=2; plural=(n==1 || n%10==1 ? 0 : 1);",
}
"""How many plural forms a language has, and which one a number takes; others are as English."""


@dataclass
class Entry:
    """An entry: where its keywords' strings stand, and what they say. ``flags``: where its line of flags ends."""

    start: int
    strings: dict[str, Span] = field(default_factory=dict)
    says: dict[str, str] = field(default_factory=dict)
    keywords: dict[str, int] = field(default_factory=dict)
    flags: int | None = None
    fuzzy: bool = False

    @property
    def forms(self) -> list[str]:
        """The keywords of its translation, in order."""
        return [name for name in self.strings if name.startswith("msgstr")]


def read(text: str, *, target: str) -> Document:
    """See :func:`llmcli.text.documents.read`."""
    segments: list[Segment] = []
    fixed: list[Edit] = []
    count = _count(plural_rule(target))
    entries = list(_entries(text))
    plurals = any("msgid_plural" in entry.says for entry in entries)
    for entry in entries:
        if "msgid" not in entry.says:
            continue
        if entry.says["msgid"] == "" and "msgctxt" not in entry.says:
            fixed += _header(text, entry, target, plurals=plurals)
        elif entry.fuzzy or not any(entry.says[name] for name in entry.forms):
            segments += _open(text, entry, count)
    return Document(segments, fixed)


@dataclass(frozen=True)
class Translation:
    """A text of an entry, its translation, and the line of the latter."""

    text: str
    translation: str
    line: int


def translations(text: str) -> list[Translation]:
    """The translated entries of a file: its texts and what they are in the other language."""
    found = []
    for entry in _entries(text):
        forms = entry.forms
        if not entry.says.get("msgid") or entry.fuzzy or not any(entry.says[name] for name in forms):
            continue
        for place, name in enumerate(forms):
            own = entry.says.get("msgid_plural", "") if place else ""
            line = text.count("\n", 0, entry.strings[name].start) + 1
            found.append(Translation(own or entry.says["msgid"], entry.says[name], line))
    return found


def plural_rule(language: str) -> str:
    """The header's value for a language."""
    region = language.replace("-", "_")
    return PLURALS.get(region) or PLURALS.get(region.partition("_")[0], _TWO)


def _count(rule: str) -> int:
    match = re.match(r"nplurals=(\d+)", rule)
    return int(match[1]) if match else 2


def _entries(text: str) -> Iterator[Entry]:
    """The entries of a file; obsolete ones are comments. Raises InputError for a line that is none of PO's."""
    entry, name = Entry(0), ""
    for match in re.finditer(r"([^\r\n]*)(\r\n|\n|\r|$)", text):
        line, at = match[1], match.start()
        begin = at + len(line) - len(line.lstrip(" \t\ufeff"))
        shown = text[begin : at + len(line)]
        keyword = _KEYWORD.match(shown)
        over = bool(entry.forms) and (shown.startswith("#") or (keyword and keyword[1] in ("msgctxt", "msgid")))
        if over or (not shown and entry.forms):
            yield entry
            entry, name = Entry(begin), ""
        if keyword:
            name = keyword[1]
            entry.keywords[name] = begin
            shown, begin = shown[keyword.end() :], begin + keyword.end()
        elif shown.startswith("#"):
            if shown.startswith("#,"):
                entry.flags, entry.fuzzy = at + len(line), entry.fuzzy or "fuzzy" in shown
            continue
        if shown:
            _continue(entry, name, shown, begin)
    if entry.forms:
        yield entry


def _continue(entry: Entry, name: str, shown: str, begin: int) -> None:
    string = _STRING.match(shown)
    if string is None or not name:
        raise InputError("no PO file: a line that is neither a keyword, a string nor a comment", code="bad-po")
    first = entry.strings.get(name, Span(begin, begin)).start
    entry.strings[name] = Span(first, begin + string.end())
    entry.says[name] = entry.says.get(name, "") + unescaped(string[1])


def _open(text: str, entry: Entry, count: int) -> Iterator[Segment]:
    """The segments of an entry that has no translation: its text, and of plurals the other form."""
    doubt = [_doubt(text, entry)] if not entry.fuzzy else []
    line_break = "\r\n" if "\r\n" in text else "\n"
    singular, plural = entry.says["msgid"], entry.says.get("msgid_plural")
    forms = entry.forms
    if not forms:
        return
    if plural is None:
        span = entry.strings[forms[0]]
        if has_words(singular):
            yield Segment(span, singular, "plain", _writing(span, line_break), doubt=doubt)
        return
    first = entry.strings[forms[0]]
    rest = Span(first.end, entry.strings[forms[-1]].end)
    if count > 1 and has_words(singular):
        yield Segment(first, singular, "plain", _writing(first, line_break), doubt=doubt)
    if not has_words(plural):
        return

    def several(translation: str) -> list[Edit]:
        spelled = _spelled(translation, line_break)
        others = "".join(f"{line_break}msgstr[{form}] {spelled}" for form in range(1, count))
        return [*([Edit(first, spelled)] if count == 1 else []), Edit(rest, others)]

    yield Segment(rest if count > 1 else Span(first.start, rest.end), plural, "plain", several, doubt=doubt)


def _writing(span: Span, line_break: str) -> Callable[[str], Sequence[Edit]]:
    return lambda translation: [Edit(span, _spelled(translation, line_break))]


def _doubt(text: str, entry: Entry) -> Edit:
    """The flag of a translation that is to be looked at."""
    if entry.flags is not None:
        return Edit(Span(entry.flags, entry.flags), ", fuzzy")
    at = min(entry.keywords.values())
    return Edit(Span(at, at), "#, fuzzy\r\n" if "\r\n" in text else "#, fuzzy\n")


def unescaped(string: str) -> str:
    """What a string says, from how it is spelled."""
    return re.sub(r"\\([0-7]{1,3}|x[0-9a-fA-F]{1,2}|.)", _character, string)


def _character(match: re.Match[str]) -> str:
    named = match[1]
    if named[0] == "x" and len(named) > 1:
        return chr(int(named[1:], 16))
    if named[0] in "01234567":
        return chr(int(named, 8))
    return _ESCAPES.get(named, named)


def _spelled(text: str, line_break: str) -> str:
    """A string in quotation marks: one line, or where it is long one for each of its own, and wrapped."""
    escaped = "".join(_SPELLED.get(character, character) for character in text)
    lines = [part for line in re.findall(r"(?:[^\\]|\\[^n])*?\\n|.+", escaped) for part in _wrapped(line)]
    if len(lines) < 2:
        return f'"{escaped}"'
    return line_break.join(f'"{line}"' for line in ("", *lines))


def _wrapped(line: str) -> list[str]:
    parts, rest = [], line
    while len(rest) > WIDTH and (at := rest.rfind(" ", 0, WIDTH)) > 0:
        parts.append(rest[: at + 1])
        rest = rest[at + 1 :]
    return [*parts, rest]


def _header(text: str, entry: Entry, target: str, *, plurals: bool) -> Iterator[Edit]:
    """The header's language, and its plural rule: that is added where it is missing and needed."""
    form = next(iter(entry.forms), None)
    if form is None or not target:
        return
    span, code, rule = entry.strings[form], target.replace("-", "_"), plural_rule(target)
    raw = text[span.start : span.end]
    if language := re.search(r'"Language:[ \t]*([^"\\]*)\\n"', raw):
        yield Edit(Span(span.start + language.start(1), span.start + language.end(1)),
                   code if text[span.start + language.start(1) - 1] == " " else f" {code}")  # fmt: skip
    if plural := re.search(r'"Plural-Forms:[ \t]*([^"\\]*(?:"\s*"[^"\\]*)?)\\n"', raw):
        same = re.sub(r'["\s()]', "", plural[1]).removesuffix(";") == re.sub(r"[\s()]", "", rule).removesuffix(";")
        if not same:
            yield Edit(Span(span.start + plural.start(1), span.start + plural.end(1)), rule)
    elif plurals and entry.says[form].endswith("\n"):
        line_break = "\r\n" if "\r\n" in text else "\n"
        yield Edit(Span(span.end, span.end), f'{line_break}"Plural-Forms: {rule}\\n"')
