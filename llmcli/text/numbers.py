"""The numbers of a text, whatever stands between their digits."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

SMALL = 12
"""The largest number that a translation may well spell as a word."""
_NUMBER_WORDS = {
    "en": "one two three four five six seven eight nine ten eleven twelve",
    "de": "ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
    "fr": "un deux trois quatre cinq six sept huit neuf dix onze douze",
    "es": "un dos tres cuatro cinco seis siete ocho nueve diez once doce",
    "it": "un due tre quattro cinque sei sette otto nove dieci undici dodici",
    "pt": "um dois três quatro cinco seis sete oito nove dez onze doze",
    "nl": "een twee drie vier vijf zes zeven acht negen tien elf twaalf",
    "zh": "一 二 三 四 五 六 七 八 九 十 十一 十二",
}  # fmt: skip
_SEPARATORS = "[.,'’٫٬\u00a0\u202f ]"
_NUMBER = re.compile(rf"(?<![^\W\d_])\d+(?:{_SEPARATORS}\d{{3}}(?!\d))*(?:[.,٫]\d+)?")
_CLOCK = re.compile(r"\b[ap]\.?\s?m\b|Uhr|\bh\b|heures?")


def changed(source: str, target: str, source_language: str, target_language: str) -> tuple[Counter[str], Counter[str]]:
    """The values of a text that its translation has not, and those that it has besides.

    Small ones may be words in one of both, hours of one clock or another.
    """
    one, other = Counter(_values(source)), Counter(_values(target))
    gone, new = one - other, other - one
    gone = Counter({value: count for value, count in gone.items() if not _is_word(value, target, target_language)})
    new = Counter({value: count for value, count in new.items() if not _is_word(value, source, source_language)})
    if _CLOCK.search(f"{source} {target}"):
        for value in [value for value in gone if len(value) <= 2]:
            hour = next(
                (hour for hour in (int(value) + 12, int(value) - 12) if 0 <= hour <= 24 and str(hour) in new), None
            )
            if hour is not None:
                del gone[value], new[str(hour)]
    return gone, new


def _values(text: str) -> Iterator[str]:
    for match in _NUMBER.finditer(text):
        digits = "".join(str(unicodedata.digit(digit, "")) for digit in match[0] if digit.isdigit())
        yield digits.lstrip("0") or "0"


def _is_word(value: str, text: str, language: str) -> bool:
    """Whether a number is a word of a text. Where the language's words are not known, any small number may be."""
    if len(value) > 2 or int(value) > SMALL:
        return False
    known = _NUMBER_WORDS.get(language)
    if known is None or value == "0":
        return True
    begin = "" if language == "zh" else r"(?<!\w)"
    return re.search(begin + known.split()[int(value) - 1], text.casefold()) is not None
