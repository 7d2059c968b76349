"""The numbers of a text, whatever stands between their digits."""

from __future__ import annotations

import re
from collections import Counter

from llmcli.text import powers

SMALL = 12
"""The largest number that a translation may well spell as a word."""
_MONTH = re.compile(r"(\d{1,2})\s?[月월]")
_MANY = re.compile(rf"({powers.NUMBER.pattern})\s?(?:[千万萬亿億천만억]|(?i:thousand|tausend|mil|bil|mio|mrd|mld))")
"""A number of thousands or millions: which of them is not read."""
_TIME = re.compile(r"(?<!\d)(\d{1,2})\.(\d{2})(?!\d)")
_CLOCK = re.compile(r"\b[ap]\.?\s?m\b|Uhr|\bh\b|heures?")


def changed(source: str, target: str, source_language: str, target_language: str) -> tuple[Counter[str], Counter[str]]:
    """The values of a text that its translation has not, and those that it has besides.

    Small ones may be words in one of both, months names, hours of one clock or another; and many are so many millions.
    """
    source, target = _timed(source, target), _timed(target, source)
    scaled = {source_language, target_language} <= {*powers.SCALES}
    of_source = Counter(powers.values(source, source_language, scaled=scaled))
    of_target = Counter(powers.values(target, target_language, scaled=scaled))
    gone = _unsaid(of_source - of_target, source, target, target_language)
    new = _unsaid(of_target - of_source, target, source, source_language)
    many = set() if scaled else {powers.value(found[1]) for text in (source, target) for found in _MANY.finditer(text)}
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
    said = {*months, *map(powers.numeral, powers.NUMERAL.findall(other)), *powers.worded(other, language)}
    return Counter({value: count for value, count in values.items()
                    if value not in said and not _is_word(value, other, language)})  # fmt: skip


def _is_word(value: str, text: str, language: str) -> bool:
    """Whether a number is a word of a text. Where the language's words are not known, any small number may be."""
    if len(value) > 2 or int(value) > SMALL:
        return False
    known = powers.NUMBER_WORDS.get(language)
    if known is None or value == "0":
        return True
    begin = "" if language == "zh" else r"(?<!\w)"
    return re.search(begin + known.split()[int(value) - 1], text.casefold()) is not None
