"""The numbers of a text, whatever stands between their digits."""

from __future__ import annotations

import functools
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
    "zh": "一 二|两|兩 三 四 五 六 七 八 九 十 十一 十二",
}  # fmt: skip
_SEPARATORS = "[.,'’٫٬\u00a0\u202f ]"
_NUMBER = re.compile(rf"(?<!\d)\d+(?:{_SEPARATORS}\d{{3}}(?!\d))*(?:[.,٫]\d+)?")
_MONTH = re.compile(r"(\d{1,2})\s?[月월]")
_MANY = re.compile(rf"({_NUMBER.pattern})\s?(?:[千万萬亿億천만억]|(?i:thousand|tausend|mil|bil|mio|mrd|mld))")
"""A number of thousands or millions: which of them is not read."""
_HAN = {"百": 2, "千": 3, "万": 4, "萬": 4, "亿": 8, "億": 8}
_SCALES: dict[str, dict[str, int]] = {
    "en": {"thousand": 3, "million": 6, "billion": 9, "trillion": 12},
    "de": {"tausend": 3, "million": 6, "mio": 6, "milliarde": 9, "mrd": 9, "billion": 12},
    "fr": {"mille": 3, "million": 6, "milliard": 9, "billion": 12},
    "zh": _HAN, "ja": _HAN, "ko": {"천": 3, "만": 4, "억": 8},
}  # fmt: skip
"""The powers of ten of languages. Translations of ``10亿`` are often ten times as large as 1 billion."""
_ENDING = r"(?:e?n|s)?(?!\w)"
_NUMERAL = re.compile("[零〇一二两兩三四五六七八九十百千万萬亿億]+")
_TIME = re.compile(r"(?<!\d)(\d{1,2})\.(\d{2})(?!\d)")
_CLOCK = re.compile(r"\b[ap]\.?\s?m\b|Uhr|\bh\b|heures?")


def changed(source: str, target: str, source_language: str, target_language: str) -> tuple[Counter[str], Counter[str]]:
    """The values of a text that its translation has not, and those that it has besides.

    Small ones may be words in one of both, months names, hours of one clock or another; and many are so many millions.
    """
    source, target = _timed(source, target), _timed(target, source)
    scaled = {source_language, target_language} <= {*_SCALES}
    of_source = Counter(_values(source, source_language, scaled=scaled))
    of_target = Counter(_values(target, target_language, scaled=scaled))
    gone = _unsaid(of_source - of_target, source, target, target_language)
    new = _unsaid(of_target - of_source, target, source, source_language)
    many = set() if scaled else {_value(found[1]) for text in (source, target) for found in _MANY.finditer(text)}
    for one in [*gone]:
        same = [other for other in new if {one, other} & many and one.rstrip("0") == other.rstrip("0")]
        if same:
            del gone[one], new[same[0]]
    if _CLOCK.search(f"{source} {target}"):
        for value in [value for value in gone if len(value) <= 2]:
            hour = next(
                (hour for hour in (int(value) + 12, int(value) - 12) if 0 <= hour <= 24 and str(hour) in new), None
            )
            if hour is not None:
                del gone[value], new[str(hour)]
    return gone, new


def _timed(text: str, other: str) -> str:
    """A text whose times have a colon where those of the other one have: 12.39, 12:39."""
    return _TIME.sub(lambda time: f"{time[1]}:{time[2]}" if f"{time[1]}:{time[2]}" in other else time[0], text)


def _unsaid(values: Counter[str], text: str, other: str, language: str) -> Counter[str]:
    """The values of a text that no word of the other one says."""
    months = set(_MONTH.findall(text)) - set(_MONTH.findall(other))
    said = {*months, *map(_numeral, _NUMERAL.findall(other)), *_worded(other, language)}
    return Counter({value: count for value, count in values.items()
                    if value not in said and not _is_word(value, other, language)})  # fmt: skip


def _numeral(characters: str) -> str:
    """The value of a Chinese numeral: of 二十五, of 二〇一六."""
    total = section = digits = 0
    for character in characters:
        number = 2 if character in "两兩" else int(unicodedata.numeric(character))
        if number < 10:
            digits = 10 * digits + number
        elif number < 10_000:
            section, digits = section + (digits or 1) * number, 0
        else:
            total, section, digits = (total + section + digits) * number, 0, 0
    return str(total + section + digits)


def _values(text: str, language: str, *, scaled: bool) -> Iterator[str]:
    """The numbers of a text; ``scaled``: with the words for powers of ten behind them."""
    if not scaled:
        yield from (_value(found[0]) for found in _NUMBER.finditer(text))
        return
    point = "," if language in ("de", "fr") else "."
    for found in _scale(language).finditer(text):
        exponent = _exponent(found[2] or "", language)
        part = re.search(r"[.,٫](\d+)\Z", found[1])
        decimals = len(part[1]) if part and (len(part[1]) != 3 or part[0][0] == point) else 0
        yield _value(found[1]) + "0" * max(exponent - decimals, 0)


@functools.cache
def _scale(language: str) -> re.Pattern[str]:
    """A number, and words for powers of ten behind it; grams, metres and watts may be thousands (千克), and are not."""
    words = "|".join(sorted(_SCALES[language], key=len, reverse=True))
    behind = (
        rf"\s?((?:(?:{words})(?![克米瓦卡]))+)" if language in ("zh", "ja", "ko") else rf"[\s-]?((?i:{words})){_ENDING}"
    )
    return re.compile(rf"({_NUMBER.pattern})(?:{behind})?")


def _exponent(words: str, language: str) -> int:
    """The power of ten that words say: a single one, or Chinese characters that multiply each other."""
    scale = _SCALES[language]
    return scale[words.casefold()] if words.casefold() in scale else sum(scale[character] for character in words)


def _worded(text: str, language: str) -> Iterator[str]:
    """The values of small number words before powers of ten: two million, eine Milliarde."""
    if language not in ("en", "de", "fr"):
        return
    known, powers = _NUMBER_WORDS[language].split(), "|".join(sorted(_SCALES[language], key=len, reverse=True))
    for found in re.finditer(rf"(?<!\w)({'|'.join(known)}|a)\w*[\s-]({powers}){_ENDING}", text.casefold()):
        number = 1 if found[1] == "a" else known.index(found[1]) + 1
        yield str(number) + "0" * _SCALES[language][found[2]]


def _value(number: str) -> str:
    """The digits of a number, ASCII ones, without leading zeros."""
    digits = "".join(str(unicodedata.digit(digit, "")) for digit in number if digit.isdigit())
    return digits.lstrip("0") or "0"


def _is_word(value: str, text: str, language: str) -> bool:
    """Whether a number is a word of a text. Where the language's words are not known, any small number may be."""
    if len(value) > 2 or int(value) > SMALL:
        return False
    known = _NUMBER_WORDS.get(language)
    if known is None or value == "0":
        return True
    begin = "" if language == "zh" else r"(?<!\w)"
    return re.search(begin + known.split()[int(value) - 1], text.casefold()) is not None
