"""Whether a translation can be one: what has to be the same in both texts is, and the rest is likely.

The kinds of faults are those that translators' tools know: after the names of translate-toolkit's tests.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from llmcli.text import languages, numbers, scripts
from llmcli.text.glossary import Term
from llmcli.text.protected import Kind, Mark, marks, words

SAME_MARKS = ("url", "email", "variable", "code", "path", "option", "hashtag", "mention", "kept", "math")
SHORTEST, LONGEST, SLACK = 0.34, 3.0, 24
"""How long a translation is, against its source, in characters; and how many it may be off in any case."""
DENSE = 2.6
"""Characters of other scripts that say as much as one of Chinese, Japanese or Korean."""
AGAIN = 4
"""How often in a row a phrase stands in a text that does not end."""
LETTERS, UNLIKELY = 24, 0.05
"""Letters of a text whose language can be told, and how unlikely the target, or one near it, is where it is another."""
_NEAR = ({"da", "nb", "nn", "no", "sv"}, {"hr", "sr", "bs", "sl", "mk", "bg"}, {"cs", "sk"}, {"id", "ms", "jv"},
         {"es", "pt", "gl", "ca", "it", "oc", "an"}, {"ru", "uk", "be", "bg"}, {"de", "nl", "lb", "af"},
         {"hi", "mr", "ne"}, {"ar", "fa", "ur"}, {"zh", "ja"})  # fmt: skip
"""Languages that a short text of one can be taken for another."""
_BRACKETS = {"(": "(", ")": ")", "[": "[", "]": "]", "{": "{", "}": "}", "（": "(", "）": ")", "［": "[", "］": "]",
             "【": "[", "】": "]"}  # fmt: skip
_CLOSING = {")": "(", "]": "[", "}": "{", "）": "（", "］": "［", "】": "【"}
_QUOTES = re.compile('["“”„‟«»‹›「」『』]')
_ENDS = {
    **dict.fromkeys(".。．।۔॥。", "."), **dict.fromkeys("!！", "!"), **dict.fromkeys("?？؟", "?"),
    **dict.fromkeys(":：", ":"), "…": "…", **dict.fromkeys(";；", ";"),
}  # fmt: skip
_UNMARKED = frozenset({"th", "lo", "my", "km"})
"""Languages whose sentences need no mark at the end."""
_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@dataclass(frozen=True)
class Fault:
    """What is wrong, by the name of its check, and in words."""

    check: str
    message: str


@dataclass(frozen=True)
class Pair:
    """A text and its translation; ``syntax`` is that of their marks."""

    source: str
    target: str
    source_language: str
    target_language: str
    syntax: str = "plain"
    keep: re.Pattern[str] | None = None
    terms: Sequence[Term] = field(default=())

    @functools.cached_property
    def marks(self) -> tuple[list[Mark], list[Mark]]:
        """The marks of both."""
        one, other = (marks(text, syntax=self.syntax, keep=self.keep) for text in (self.source, self.target))
        return one, other

    @functools.cached_property
    def words(self) -> tuple[str, str]:
        """What of both is no mark."""
        return words(self.source, self.marks[0]), words(self.target, self.marks[1])


def check(pair: Pair) -> list[Fault]:
    """All faults of a translation, the gravest first."""
    if blank := _empty(pair):
        return [blank]
    return [fault for look in _CHECKS for fault in look(pair)]


def _empty(pair: Pair) -> Fault | None:
    source, target = (any(map(str.isalnum, text)) for text in (pair.source, pair.target))
    if source != target:
        return Fault("empty", "there is no translation" if source else "there is a translation of nothing")
    return None


def _marks(pair: Pair) -> Iterator[Fault]:
    """Addresses, code, placeholders, tags: the same ones, each as often."""
    names = {"url": "urls", "email": "emails", "variable": "variables", "tag": "tags", "link": "urls",
             "emphasis": "tags", "entity": "entities", "picture": "tags"}  # fmt: skip
    for kind in (*SAME_MARKS, "tag", "link", "picture", "emphasis", "entity"):
        one, other = (Counter(_said(mark) for mark in found if mark.what == kind) for found in pair.marks)
        if kind == "entity":
            one, other = (Counter({raw: count for raw, count in some.items() if raw not in _SOFT})
                          for some in (one, other))  # fmt: skip
        if one != other:
            yield Fault(
                names.get(kind, "code" if kind in ("path", "option", "math") else kind), _difference(one, other)
            )


_SOFT = ("&quot;", "&apos;", "&#39;", "&nbsp;", "&lt;", "&gt;", "&amp;")


def _said(mark: Mark) -> str:
    if mark.what == "link" and mark.kind is Kind.OPEN:
        return "["
    return re.sub(r"""\s(?:alt|title|placeholder|aria-label|lang)=("[^"]*"|'[^']*')""", "", mark.raw) if (
        mark.what == "tag") else re.sub(r"!\[[^\]]*\]", "![]", mark.raw)  # fmt: skip


def _difference(one: Counter[str], other: Counter[str]) -> str:
    gone, new = (list((a - b).elements()) for a, b in ((one, other), (other, one)))
    parts = [*([f"{_listed(gone)} missing"] if gone else []), *([f"{_listed(new)} not in the source"] if new else [])]
    return ", ".join(parts)


def _listed(items: Iterable[str]) -> str:
    shown = [*items]
    return " ".join(shown[:4]) + (f" and {len(shown) - 4} more" if len(shown) > 4 else "")


def _numbers(pair: Pair) -> Iterator[Fault]:
    languages_of_both = (pair.source_language, pair.target_language)
    gone, new = numbers.changed(*pair.words, *languages_of_both)
    if gone or new:
        yield Fault("numbers", _difference(gone, new))


def _brackets(pair: Pair) -> Iterator[Fault]:
    one, other = (Counter(_BRACKETS[c] for c in text if c in _BRACKETS) for text in map(_faceless, pair.words))
    if one != other and _balanced(pair.words[0]) is not False:
        yield Fault("brackets", _difference(one, other))
    elif _balanced(pair.words[0]) and not _balanced(pair.words[1]):
        yield Fault("brackets", "not closed in the order in which they are opened")


def _faceless(text: str) -> str:
    return re.sub(r"[:;]-?[()]|(?:^|\s)\(?\w{1,2}\)", " ", text)


def _balanced(text: str) -> bool:
    waiting: list[str] = []
    for character in _faceless(text):
        if character in _CLOSING.values():
            waiting.append(character)
        elif character in _CLOSING and (not waiting or waiting.pop() != _CLOSING[character]):
            return False
    return not waiting


def _quotes(pair: Pair) -> Iterator[Fault]:
    one, other = (len(_QUOTES.findall(re.sub(r"\d\s?\"", "", text))) for text in pair.words)
    if (one == 0) != (other == 0) and max(one, other) > 1:
        yield Fault("quotes", "quotation marks are missing" if one else "quotation marks are not in the source")
    elif one % 2 == 0 and other % 2:
        yield Fault("quotes", "a quotation mark has no partner")


def _end(pair: Pair) -> Iterator[Fault]:
    if {pair.source_language, pair.target_language} & _UNMARKED:
        return
    one, other = (_ending(text) for text in pair.words)
    if one != other and {one, other} != {".", ";"}:
        named = {"": "no mark"}
        yield Fault("end", f"ends with {named.get(other, other)}, the source with {named.get(one, one)}")


def _ending(text: str) -> str:
    end = re.sub(r"[\s\"'“”„«»‹›’‘」』)\]*_]+$", "", text)
    if end.endswith("..."):
        return "…"
    return _ENDS.get(end[-1:], "")


def _length(pair: Pair) -> Iterator[Fault]:
    one, other = (_size(text) for text in pair.words)
    if abs(one - other) > SLACK and not SHORTEST <= other / one <= LONGEST:
        yield Fault("length", f"{other / one:.0%} as long as the source")


def _size(text: str) -> float:
    dense = len(_CJK.findall(text))
    return len(text.strip()) + dense * (DENSE - 1) or 1.0


def _untranslated(pair: Pair) -> Iterator[Fault]:
    """Most words are those of the source."""
    if pair.source_language == pair.target_language:
        return
    one, other = (re.findall(r"(?<!\w)[^\W\d_A-Z]{3,}(?!\w)", text) for text in pair.words)
    known = set(one)
    same = sum(word in known for word in other)
    whole = " ".join(pair.source.split()).casefold() == " ".join(pair.target.split()).casefold()
    # What is the same in both may be a name: it has no word in small letters, or a short one (Ludwig van Beethoven).
    said = len(other) >= 2 or (any(len(word) > 3 for word in other) and len(pair.words[1].split()) >= 2)
    if (whole and said) or (len(other) >= 4 and same * 10 >= len(other) * 7):
        yield Fault("untranslated", "most words are those of the source" if not whole else "the same as the source")
        return
    foreign = scripts.foreign(pair.source_language, pair.target_language)
    dense = pair.target_language not in ("zh", "ja", "ko") and _CJK.search(pair.words[1])
    if dense or (foreign and scripts.letter(foreign).search(pair.words[1])):
        yield Fault("untranslated", "characters of another script are left")


def _repeated(pair: Pair) -> Iterator[Fault]:
    # Possessive, so that a long text without a repetition takes no time.
    pattern = rf"(?<!\w)(\w++(?:\W++\w++){{0,7}}?)(?:\W++\1(?!\w)){{{AGAIN - 1},}}"
    found = re.search(pattern, pair.words[1], re.IGNORECASE) or re.search(r"(\w{1,6}?)\1{5,}", pair.words[1])
    if found and not re.search(pattern, pair.words[0], re.IGNORECASE) and len(found[0]) > AGAIN:
        yield Fault("repeated", "a phrase is repeated again and again")


def _language(pair: Pair) -> Iterator[Fault]:
    text = pair.words[1]
    if sum(map(str.isalpha, text)) < LETTERS / (DENSE if _CJK.search(text) else 1):
        return
    likely = languages.likely(text, [*languages.COMMON, pair.target_language])
    near = {pair.target_language}.union(*(some for some in _NEAR if pair.target_language in some))
    if pair.target_language in likely and sum(likely.get(code, 0.0) for code in near) < UNLIKELY:
        yield Fault("language", f"it looks like {languages.name(next(iter(likely)))}")


def _glossary(pair: Pair) -> Iterator[Fault]:
    for term in pair.terms:
        if term.stands_in(pair.source) and not term.is_kept_in(pair.target):
            yield Fault("glossary", f"{term.source}: no {term.target}")


_CHECKS: tuple[Callable[[Pair], Iterator[Fault]], ...] = (
    _marks, _untranslated, _language, _repeated, _length, _numbers, _glossary, _brackets, _quotes, _end,
)  # fmt: skip
