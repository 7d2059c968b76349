"""What a language may be called, and what a wrong name is answered."""

from __future__ import annotations

import pytest

from llmcli.errors import UsageError
from llmcli.text import languages


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("fr", "fr"), ("French", "fr"), (" GERMAN ", "de"), ("EN-us", "en"), ("en_GB", "en"), ("no", "nb"),
        # Names in English and in the language itself.
        ("Swahili", "sw"), ("Kiswahili", "sw"), ("Français", "fr"), ("Deutsch", "de"), ("中文", "zh"), ("日本語", "ja"),
        ("ไทย", "th"), ("العربية", "ar"), ("ελληνικά", "el"), ("Malti", "mt"), ("Esperanto", "eo"), ("norsk", "nb"),
        ("Norwegian Nynorsk", "nn"), ("Filipino", "tl"), ("Mandarin Chinese", "zh"), ("Fala", "fax"),
        # Script and region are read, and left out.
        ("zh-Hant", "zh"), ("zh-Hant-TW", "zh"), ("pt-BR", "pt"), ("sr-Latn", "sr"), ("sr-Cyrl-RS", "sr"),
        ("português do Brasil", "pt"), ("Brazilian Portuguese", "pt"), ("Simplified Chinese", "zh"), ("繁體中文", "zh"),
        ("de-CH-1996", "de"), ("iw", "he"), ("in", "id"),
    ],
)  # fmt: skip
def test_codes_and_names_of_languages(name: str, code: str):
    assert languages.parse(name) == code


@pytest.mark.parametrize("code", sorted(languages.COMMON))
def test_common_languages_by_both_names(code: str):
    from langcodes import Language

    assert languages.parse(languages.name(code)) == code
    assert languages.parse(Language.get(code).autonym()) == code


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Frenhc", "did you mean French?"), ("Chinesse", "did you mean Chinese?"), ("Deutch", "did you mean German?"),
        ("Swahilli", "did you mean Swahili?"), ("Françias", "did you mean French?"),
        ("", "like French"), ("xx", "like French"), ("zxx", "like French"), ("mul", "like French"),
        ("x-private", "like French"), ("🙂", "like French"), ("\x00", "like French"), ("\ud800", "like French"),
        ("en-" * 3000, "like French"), ("zh-Hant-TW-x", "like French"),
    ],
)  # fmt: skip
def test_a_wrong_name_is_one_error_with_the_nearest_right_one(name: str, hint: str):
    with pytest.raises(UsageError) as raised:
        languages.parse(name)
    assert raised.value.code == "bad-language"
    assert hint in raised.value.hint
    assert len(raised.value.line()) < 200


@pytest.mark.parametrize(
    ("name", "tag"),
    [("zh-Hant", "zh-Hant"), ("pt-BR", "pt-BR"), ("pt_br", "pt-BR"), ("sr-Latn", "sr-Latn"), ("German", "de"),
     ("fr", "fr"), ("Brazilian Portuguese", "pt-BR"), ("cmn", "zh"), ("zh-TW", "zh-TW")],
)  # fmt: skip
def test_script_and_region_are_kept(name: str, tag: str):
    assert languages.tag(name) == tag


@pytest.mark.parametrize(("tag", "known"), [("zh-Hant", "zh-Hant"), ("zh-TW", "zh-Hant"), ("pt-BR", "pt"), ("zh", "zh"),
                                            ("zh-Hans", "zh-Hans"), ("zh-CN", "zh-Hans")])  # fmt: skip
def test_where_the_model_tells_them_apart(tag: str, known: str):
    codes = languages.codes(["zho_Hans", "zho_Hant", "por_Latn", "__fr__"])
    assert codes["zh"] == codes["zh-Hans"] == "zho_Hans"
    assert languages.variant(tag, codes) == known


def test_each_language_has_a_probability():
    assert languages.told("Der Hund schläft im Garten.", ["de", "en", "fr"]).code == "de"
    likely = languages.likely("Der Hund schläft im Garten.", ["de", "en", "fr"])
    assert next(iter(likely)) == "de"
    assert sum(likely.values()) == pytest.approx(1, abs=1e-3)
