"""Checks of a translation: faults put in by hand are found, sound translations pass."""

from __future__ import annotations

import pytest

from llmcli.text.checks import Pair, check
from llmcli.text.glossary import Term

SOUND: dict[str, tuple[str, str, str, str, str]] = {
    # source, translation, languages, syntax
    "plain": ("The dog sleeps in the garden of the old house.", "Der Hund schläft im Garten des alten Hauses.",
              "en", "de", "plain"),
    "numbers": ("On 12 May, 1,250 of 3.5 million people paid 20 euros.",
                "Am 12. Mai zahlten 1.250 von 3,5 Millionen Menschen 20 Euro.", "en", "de", "plain"),
    "number words": ("She has three dogs and 2 cats.", "Sie hat 3 Hunde und zwei Katzen.", "en", "de", "plain"),
    "clocks": ("It opens at 3 pm today.", "Es öffnet heute um 15 Uhr.", "en", "de", "plain"),
    "addresses": ("Write to us at a.b@example.org or see https://example.org/a_(b)?c=d.",
                  "Schreiben Sie uns an a.b@example.org oder siehe https://example.org/a_(b)?c=d.", "en", "de",
                  "plain"),
    "placeholders": ("%(user)s removed %d of {total} files from ${HOME}.",
                     "%(user)s hat %d von {total} Dateien aus ${HOME} entfernt.", "en", "de", "plain"),
    "markup": ("Read **the [guide](https://x.org/g)** and run `pip install x` first.",
               "Lesen Sie **den [Leitfaden](https://x.org/g)** und führen Sie zuerst `pip install x` aus.",
               "en", "de", "markdown"),
    "tags": ('Click <a href="/go">here</a> to <b>start</b>&nbsp;now &copy; us.',
             'Klicken Sie <a href="/go">hier</a>, um jetzt zu <b>starten</b> &copy; uns.', "en", "de", "html"),
    "quotes": ('She said "good morning" (twice) and left.', "Sie sagte „guten Morgen“ (zweimal) und ging.",
               "en", "de", "plain"),
    "question": ("Do you know where the station is?", "Savez-vous où se trouve la gare ?", "en", "fr", "plain"),
    "options": ("Use --verbose with config.yaml and tell @anna about #release.",
                "Verwenden Sie --verbose mit config.yaml und sagen Sie @anna Bescheid über #release.", "en", "de",
                "plain"),
    "numbers beside letters": ("在浙江大学2016年第44届学术年会上，90%的人说3个人来了。",
                               "At the 44th academic annual meeting of Zhejiang University in 2016, 90% of the people "
                               "said that three people came.", "zh", "en", "plain"),
    "months": ("利比亚在2019年12月24日举行选举。", "Libya holds elections on 24 December 2019.", "zh", "en", "plain"),
    "numerals": ("他二十五岁，二〇一六年挣了三百万。", "He is 25 years old and earned 3,000,000 in 2016.", "zh", "en",
                 "plain"),
    "many": ("2016年，近300万选民和1.5亿其他人来了。",
             "In 2016, nearly 3 million voters and 150 million others came.", "zh", "en", "plain"),
    "powers of ten": ("微信用户超过10亿，收入3.5亿元，重3千克。",
                      "WeChat has more than 1 billion users, an income of 350 million yuan, and weighs 3 kilograms.",
                      "zh", "en", "plain"),
    "German powers": ("Two million people paid 1.5 billion euros, 1,250 each.",
                      "2 Millionen Menschen zahlten 1,5 Milliarden Euro, 1.250 jeder.", "en", "de", "plain"),
    "French powers": ("Er aß 3 Millefeuilles für zwei Millionen Menschen.",
                      "Il a mangé 3 millefeuilles pour 2 millions de personnes.", "de", "fr", "plain"),
    "Spanish powers": ("They paid 3 million euros, and he paid two million.",
                       "Pagaron 3 millones de euros, y él pagó 2 millones.", "en", "es", "plain"),
    "two": ("我们使用两种方法。", "We use 2 different methods.", "zh", "en", "plain"),
    "sizes": ("It is 30 mm x15.5mm with a LokSound5 and costs 20 euros.", "Es ist 30 mm x 15,5 mm mit einem LokSound 5 "
              "und kostet 20 Euro.", "en", "de", "plain"),
    "times": ("He came at 12:39 and left at 12:52.", "Er kam um 12.39 und ging um 12.52.", "en", "de", "plain"),
    "Cyrillic": ("Я живу в старом доме.", "I live in an old house.", "ru", "en", "plain"),
    "Chinese": ("The dog sleeps in the garden (behind the house).", "狗在花园里睡觉（在房子后面）。", "en", "zh",
                "plain"),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_translation_passes(name: str):
    assert check(Pair(*SOUND[name])) == []


FAULTS: list[tuple[str, str, str, str]] = [
    # of which translation, what of it, becomes what, and the check that finds it
    ("plain", "Der Hund schläft im Garten des alten Hauses.", "", "empty"),
    ("plain", "Der Hund schläft im Garten des alten Hauses.", "The dog sleeps in the garden of the old house.",
     "untranslated"),
    ("plain", "Der Hund schläft", "The dog sleeps in the garden of the", "untranslated"),
    ("plain", "Der Hund schläft im Garten des alten Hauses.", "Le chien dort dans le jardin de la vieille maison.",
     "language"),
    ("plain", "Der Hund schläft im Garten des alten Hauses.", "El perro duerme en el jardín de la casa vieja.",
     "language"),
    ("plain", "Hauses.", "Hauses des Hauses des Hauses des Hauses des Hauses des Hauses.", "repeated"),
    ("plain", "Hund", "Hund Hund Hund Hund", "repeated"),
    ("plain", "Der Hund schläft im Garten des alten Hauses.", "Hund.", "length"),
    ("plain", "Hauses.", "Hauses, und viele andere Dinge geschehen dort auch noch, von denen niemand je gesprochen "
     "hat, weil niemand sie gesehen oder gehört oder gelesen hat.", "length"),
    ("plain", "Hauses.", "Hauses", "end"),
    ("plain", "Hauses.", "Hauses?", "end"),
    ("plain", "Hauses.", "Hauses:", "end"),
    ("plain", "alten", "(alten)", "brackets"),
    ("plain", "alten", "„alten“", "quotes"),
    ("plain", "Garten", "1000 Garten", "numbers"),
    ("plain", "Garten", "Garten https://x.org", "urls"),
    ("plain", "Hund", "Hund 犬が庭で", "untranslated"),
    ("numbers", "1.250", "1.260", "numbers"),
    ("numbers", "3,5", "35,5", "numbers"),
    ("numbers", "12.", "13.", "numbers"),
    ("numbers", "20 Euro", "viele Euro", "numbers"),
    ("numbers", "20", "2", "numbers"),
    ("number words", "3 Hunde", "4 Hunde", "numbers"),
    ("number words", "zwei", "50", "numbers"),
    ("clocks", "15", "16", "numbers"),
    ("addresses", "a.b@example.org", "a.b@beispiel.org", "emails"),
    ("addresses", "a.b@example.org", "uns", "emails"),
    ("addresses", "?c=d", "", "urls"),
    ("addresses", "/a_(b)", "", "urls"),
    ("addresses", "https", "http", "urls"),
    ("addresses", "https://example.org/a_(b)?c=d", "unsere Seite", "urls"),
    ("placeholders", "%(user)s", "%(benutzer)s", "variables"),
    ("placeholders", "%(user)s", "Benutzer", "variables"),
    ("placeholders", "%d", "%s", "variables"),
    ("placeholders", "%d", "% d", "variables"),
    ("placeholders", "{total}", "{gesamt}", "variables"),
    ("placeholders", "{total}", "{total", "variables"),
    ("placeholders", "${HOME}", "${HEIM}", "variables"),
    ("placeholders", "${HOME}", "${HOME} {total}", "variables"),
    ("markup", "`pip install x`", "`pip installiere x`", "code"),
    ("markup", "`pip install x`", "pip install x", "code"),
    ("markup", "https://x.org/g", "https://x.org/h", "urls"),
    ("markup", "[Leitfaden](https://x.org/g)", "Leitfaden", "urls"),
    ("markup", "**den [Leitfaden](https://x.org/g)**", "den [Leitfaden](https://x.org/g)", "tags"),
    ("markup", "aus.", "aus [hier](https://y.org).", "urls"),
    ("tags", "</a>", "", "tags"),
    ("tags", "<b>", "<i>", "tags"),
    ("tags", "<b>starten</b>", "starten", "tags"),
    ("tags", "/go", "/gehen", "tags"),
    ("tags", "&copy;", "&kopie;", "entities"),
    ("tags", "&copy; ", "", "entities"),
    ("quotes", "„guten Morgen“", "guten Morgen", "quotes"),
    ("quotes", "„guten Morgen“", "„guten Morgen", "quotes"),
    ("quotes", "(zweimal)", "zweimal", "brackets"),
    ("quotes", "(zweimal)", "(zweimal", "brackets"),
    ("quotes", "(zweimal)", ")zweimal(", "brackets"),
    ("question", " ?", ".", "end"),
    ("question", "Savez-vous où se trouve la gare ?", "Do you know where the station is?", "untranslated"),
    ("options", "--verbose", "--ausführlich", "option"),
    ("options", "config.yaml", "konfig.yaml", "path"),
    ("options", "@anna", "@Hanna", "mention"),
    ("options", "#release", "#Freigabe", "hashtag"),
    ("numbers beside letters", "2016", "2015", "numbers"),
    ("numbers beside letters", "44th", "4th", "numbers"),
    ("numbers beside letters", "90%", "9%", "numbers"),
    ("numbers beside letters", "Zhejiang University", "浙江大学", "untranslated"),
    ("months", "24", "25", "numbers"),
    ("months", "24 December", "24 and 25 December", "numbers"),
    ("numerals", "25", "52", "numbers"),
    ("numerals", "2016", "2017", "numbers"),
    ("many", "3 million", "4 million", "numbers"),
    ("many", "150", "15.5", "numbers"),
    ("many", "2016", "201600", "numbers"),
    ("powers of ten", "1 billion", "10 billion", "numbers"),
    ("powers of ten", "350 million", "3.5 billion", "numbers"),
    ("powers of ten", "350 million", "35 million", "numbers"),
    ("powers of ten", "3 kilograms", "3000 kilograms", "numbers"),
    ("German powers", "2 Millionen", "2 Milliarden", "numbers"),
    ("German powers", "1,5 Milliarden", "15 Milliarden", "numbers"),
    ("German powers", "1,5 Milliarden", "1,5 Billionen", "numbers"),
    ("German powers", "1.250", "1.250.000", "numbers"),
    ("Spanish powers", "3 millones", "4 millones", "numbers"),
    ("two", "2 different", "4 different", "numbers"),
    ("sizes", "15,5", "5,5", "numbers"),
    ("sizes", "LokSound 5", "LokSound 6", "numbers"),
    ("times", "12.39", "12.38", "numbers"),
    ("Cyrillic", "an old house", "an old доме", "untranslated"),
    ("Chinese", "（在房子后面）", "（在房子后面", "brackets"),
    ("Chinese", "。", "？", "end"),
    ("Chinese", "狗在花园里睡觉（在房子后面）。", "The dog sleeps in the garden (behind the house).", "untranslated"),
]  # fmt: skip
ALSO = {"option": "code", "path": "code"}
"""Kinds of marks that are one check."""


@pytest.mark.parametrize(("name", "part", "becomes", "found"), FAULTS)
def test_a_fault_is_found(name: str, part: str, becomes: str, found: str):
    source, translation, *rest = SOUND[name]
    assert translation.count(part) == 1 or part in ("Hund", "12.")
    faults = [fault.check for fault in check(Pair(source, translation.replace(part, becomes, 1), *rest))]
    assert ALSO.get(found, found) in faults


def test_there_are_enough_of_them():
    assert len(FAULTS) >= 60


@pytest.mark.parametrize(("translation", "faults"), [("Das alte Haus.", []), ("Die alten Häuser.", ["glossary"]),
                                                     ("Des alten Hauses.", []),
                                                     ("Das Heim.", ["glossary"])])  # fmt: skip
def test_terms(translation: str, faults: list[str]):
    pair = Pair("The old house.", translation, "en", "de", terms=[Term("house", "Haus"), Term("garden", "Garten")])
    assert [fault.check for fault in check(pair)] == faults


@pytest.mark.parametrize(("translation", "missing"), [("Sie hat einen Hund.", False), ("Sie hat keinen Hund.", True)])
def test_a_number_word_begins_a_word(translation: str, missing: bool):
    assert any(fault.check == "numbers" for fault in check(Pair("She has 1 dog.", translation, "en", "de"))) == missing


HOSTILE: dict[str, str] = {
    "joined by hyphens": "-".join(["abc"] * 200 + ["abd"] * 200),
    "apostrophes": "l'" * 2000,
    "digits": "9" * 5000 + " pm",
    "numerals": "一" * 5000 + "万" * 5000,
    "powers": "9万" * 5000 + "万" * 5000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_takes_for_ever(text: str):
    same, other = (check(Pair(source, text, "en", "de")) for source in (text, "It is here at 3 pm."))
    assert "numbers" not in {fault.check for fault in same}
    assert {"length", "numbers"} <= {fault.check for fault in other}


@pytest.mark.parametrize(
    ("text", "faults"),
    [("Good morning", ["untranslated"]), ("hello there my friend", ["untranslated"]), ("New York", []),
     ("Ludwig van Beethoven", []), ("São Paulo", []), ("Restaurant", []), ("OK", [])],
)  # fmt: skip
def test_what_is_the_same_in_both_languages_may_be_a_name(text: str, faults: list[str]):
    for copied in (text, text[0].upper() + text[1:]):
        assert [fault.check for fault in check(Pair(text, copied, "en", "fr"))] == faults
