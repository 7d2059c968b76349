"""Numbers with words for powers of ten: how they are read, and how another language writes them."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator

LONGEST = 20
"""Characters of a number that is written in another way."""
NUMBER_WORDS = {
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
NUMBER = re.compile(rf"(?<!\d)\d+(?:{_SEPARATORS}\d{{3}}(?!\d))*(?:[.,٫]\d+)?")
_HAN = {"百": 2, "千": 3, "万": 4, "萬": 4, "亿": 8, "億": 8}
SCALES: dict[str, dict[str, int]] = {
    "en": {"thousand": 3, "million": 6, "billion": 9, "trillion": 12},
    "de": {"tausend": 3, "million": 6, "mio": 6, "milliarde": 9, "mrd": 9, "billion": 12},
    "fr": {"mille": 3, "million": 6, "milliard": 9, "billion": 12},
    "zh": _HAN, "ja": {**_HAN, "兆": 12}, "ko": {"천": 3, "만": 4, "억": 8, "조": 12},
}  # fmt: skip
"""The powers of ten of languages. Translations of ``10亿`` are often ten times as large as 1 billion."""
_BEHIND = {"千": "(?![克米瓦卡])", "조": r"(?=\s?(?:\d+\s?[억만천]|원|달러|엔|위안|유로))", "mille": "(?!s)"}
"""What stands behind words that are powers of ten: 千克 is a kilogram, 제3조 an article of a law, milles are miles."""
_WORDS = {
    "en": {6: ("million", "million"), 9: ("billion", "billion"), 12: ("trillion", "trillion")},
    "de": {6: ("Million", "Millionen"), 9: ("Milliarde", "Milliarden"), 12: ("Billion", "Billionen")},
    "fr": {6: ("million", "millions"), 9: ("milliard", "milliards"), 12: ("billion", "billions")},
    "zh": {4: ("万", "万"), 8: ("亿", "亿"), 12: ("万亿", "万亿")},
    "ja": {4: ("万", "万"), 8: ("億", "億"), 12: ("兆", "兆")},
    "ko": {4: ("만", "만"), 8: ("억", "억"), 12: ("조", "조")},
}  # fmt: skip
"""Powers of ten as they are written, behind one and behind more."""
_DENSE = ("zh", "ja", "ko")
"""Languages that count in ten thousands."""
_ENDING = r"(?:e?n|s)?(?!\w)"
_DIGITS, _LARGE = "零〇一二两兩三四五六七八九十", "万萬亿億"
_ONES = _DIGITS + "百千"
NUMERAL = re.compile(f"[{_ONES}{_LARGE}]{{1,24}}")
_COUNTED = re.compile(f"(?<![{_ONES}{_LARGE}])[{_DIGITS[2:]}][{_ONES}]{{,9}}[{_LARGE}][{_ONES}{_LARGE}]{{,9}}")
"""A Chinese numeral of ten thousand or more; 千万, 百万 and 万一 are words."""


def converted(text: str, source: str, target: str) -> str:
    """A text to translate whose powers of ten are the target language's: for English, of 10亿 1 billion.

    Between languages that count in thousands and those that count in ten thousands: models keep the digits, and take
    the nearest word (docs/quality.md).
    """
    if not {source, target} <= {*SCALES} or (source in _DENSE) == (target in _DENSE):
        return text

    def written(found: re.Match[str]) -> str:
        if not found[3] or len(found[1]) > LONGEST:
            return found[0]
        return _written(int(_full(found[1], _exponent(found[3], source), source)), target) + found[2]

    text = _compound(text, source, target)
    if source in ("zh", "ja"):
        text = _COUNTED.sub(lambda found: _written(int(numeral(found[0])), target), text)
    return _scale(source).sub(written, text)


def _compound(text: str, language: str, target: str = "") -> str:
    """A text with 3億5000万 as one number: as the target writes it, or in digits."""
    if language not in _DENSE:
        return text
    part = rf"\d{{1,{LONGEST}}}(?:\.\d{{1,{LONGEST}}})?(?:{_powers(language)}){{1,3}}"
    gap = r"\s?" if language == "ko" else ""

    def summed(found: re.Match[str]) -> str:
        parts = re.findall(r"([\d.]+)([^\d\s.]+)", found[1])
        value = sum(int(_full(number, _exponent(words, language), language)) for number, words in parts)
        value += int(found[2] or 0)
        return _written(value, target) if target else str(value)

    return re.sub(rf"(?<![\d.,])({part}(?:{gap}{part}){{1,5}})(\d{{1,4}}(?!\d))?", summed, text)


def _written(value: int, language: str) -> str:
    """A number as a language writes it, with a word for its power of ten."""
    exponent = max((power for power in _WORDS[language] if 10**power <= value), default=0)
    comma, point = {"de": (".", ","), "fr": ("\u00a0", ",")}.get(language, (",", "."))
    if not exponent:
        return str(value) if language in _DENSE else f"{value:,}".replace(",", comma)
    whole, rest = divmod(value, 10**exponent)
    part = f"{rest:0{exponent}}".rstrip("0")
    number = str(whole) + (point + part if part else "")
    word = _WORDS[language][exponent][whole > 1 or bool(part)]
    return number + word if language in _DENSE else f"{number} {word}"


def numeral(characters: str) -> str:
    """The value of a Chinese numeral: of 二十五, of 二〇一六."""
    total = section = digits = 0
    for character in characters:
        number = 2 if character in "两兩" else int(unicodedata.numeric(character))
        if number < 10:
            digits = 10 * digits + number
        elif number < 10_000:
            section, digits = section + (digits or 1) * number, 0
        else:
            below = section + digits
            total = total + below * number if number == 10_000 else (total + below) * number
            section = digits = 0
    return str(total + section + digits)


def values(text: str, language: str, *, scaled: bool) -> Iterator[str]:
    """The numbers of a text; ``scaled``: with the words for powers of ten behind them."""
    if not scaled:
        yield from (value(found[0]) for found in NUMBER.finditer(text))
        return
    for found in _scale(language).finditer(_compound(text, language)):
        yield _full(found[1], _exponent(found[3], language), language) if found[3] else value(found[1])


def _full(number: str, exponent: int, language: str) -> str:
    """The digits of a number that stands before a power of ten."""
    point = "," if language in ("de", "fr") else "."
    part = re.search(r"[.,٫](\d+)\Z", number)
    decimals = len(part[1]) if part and (len(part[1]) != 3 or part[0][0] == point) else 0
    return value(number) + "0" * max(exponent - decimals, 0)


@functools.cache
def _scale(language: str) -> re.Pattern[str]:
    """A number, and words for powers of ten behind it."""
    words = _powers(language)
    dense = rf"\s?([多余]?)((?:{words}){{1,3}})(?![\d{_DIGITS}]|{words})"
    behind = dense if language in _DENSE else rf"[\s-]?()((?i:{words})){_ENDING}"
    return re.compile(rf"({NUMBER.pattern})(?:{behind})?")


def _powers(language: str) -> str:
    """The words for powers of ten, as a regular expression."""
    return "|".join(word + _BEHIND.get(word, "") for word in sorted(SCALES[language], key=len, reverse=True))


def _exponent(words: str, language: str) -> int:
    """The power of ten that words say: a single one, or Chinese characters that multiply each other."""
    scale = SCALES[language]
    return scale[words.casefold()] if words.casefold() in scale else sum(scale[character] for character in words)


def worded(text: str, language: str) -> Iterator[str]:
    """The values of small number words before powers of ten: two million, eine Milliarde."""
    if language not in ("en", "de", "fr"):
        return
    known = NUMBER_WORDS[language].split()
    for found in re.finditer(rf"(?<!\w)({'|'.join(known)}|a)\w*[\s-]({_powers(language)}){_ENDING}", text.casefold()):
        number = 1 if found[1] == "a" else known.index(found[1]) + 1
        yield str(number) + "0" * SCALES[language][found[2]]


def value(number: str) -> str:
    """The digits of a number, ASCII ones, without leading zeros."""
    digits = "".join(str(unicodedata.digit(digit, "")) for digit in number if digit.isdigit())
    return digits.lstrip("0") or "0"
