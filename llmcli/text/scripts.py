"""The scripts that languages are written in."""

from __future__ import annotations

from functools import cache

import regex

LATIN = "Latn"
_PARTS = {"Hans": ("Hani",), "Hant": ("Hani",), "Jpan": ("Hani", "Hira", "Kana"), "Kore": ("Hang", "Hani")}
"""The scripts that make up those of Chinese, Japanese and Korean."""


@cache
def foreign(source: str, target: str) -> tuple[str, ...]:
    """The scripts (ISO 15924) of a language whose letters do not stand in its translation to another, both BCP-47 tags.

    The Latin one does in all languages: in names.
    """
    return tuple(sorted(_of(source) - _of(target) - {LATIN}))


def _of(tag: str) -> set[str]:
    import langcodes

    script = langcodes.Language.get(tag).maximize().script or LATIN
    return set(_PARTS.get(script, (script,)))


@cache
def letter(scripts: tuple[str, ...]) -> regex.Pattern[str]:
    """A letter of some scripts (ISO 15924), of one at least."""
    return regex.compile("[" + "".join(rf"\p{{Script={script}}}" for script in scripts) + "]")
