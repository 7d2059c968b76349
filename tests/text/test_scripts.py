"""The scripts that a translation does not keep."""

from __future__ import annotations

import pytest

from llmcli.text import scripts


@pytest.mark.parametrize(
    ("source", "target", "foreign"),
    [
        ("zh", "en", ("Hani",)), ("zh-Hant", "en", ("Hani",)), ("ja", "en", ("Hani", "Hira", "Kana")),
        ("ko", "de", ("Hang", "Hani")), ("ru", "en", ("Cyrl",)), ("el", "fr", ("Grek",)), ("hi", "en", ("Deva",)),
        # Names are written in Latin letters everywhere.
        ("en", "zh", ()), ("en", "ru", ()), ("de", "fr", ()),
        # What both languages write may be the same in both.
        ("zh", "ja", ()), ("ja", "zh", ("Hira", "Kana")), ("ru", "uk", ()), ("uk", "sr", ()), ("ar", "fa", ()),
        ("zh", "ko", ()), ("zh", "zh-Hant", ()), ("zh", "zh-Latn", ("Hani",)), ("sr", "hr", ("Cyrl",)),
        ("ru", "sr-Latn", ("Cyrl",)), ("xx", "en", ()),
    ],
)  # fmt: skip
def test_what_is_not_kept(source: str, target: str, foreign: tuple[str, ...]):
    assert scripts.foreign(source, target) == foreign


def test_every_script_of_a_language_is_known():
    import langcodes
    from language_data.population_data import LANGUAGE_SPEAKING_POPULATION

    codes = {code.partition("-")[0] for code in LANGUAGE_SPEAKING_POPULATION}
    written = {script for code in codes if langcodes.tag_is_valid(code) for script in scripts.foreign(code, "en")}
    assert len(written) > 40
    assert scripts.letter(tuple(sorted(written))).search("好")
