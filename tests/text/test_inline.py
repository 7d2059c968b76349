"""Marks within sentences: what is found, what a model reads in their place, and how an answer gets them back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcli.text.inline import Style, laid
from llmcli.text.protected import kept, marks
from llmcli.text.sentences import alone, sentences

FOUND: dict[str, tuple[str, str, list[str]]] = {
    "addresses": ("Mail a.b-c@x-y.example, see https://x.org/a_(b)?c=d#e. www.x.org/y.", "plain",
                  ["a.b-c@x-y.example", "https://x.org/a_(b)?c=d#e", "www.x.org/y"]),
    "names on the web": ("Follow @mein_haus and #schoenes_wetter.", "plain", ["@mein_haus", "#schoenes_wetter"]),
    "commands": ("Call lese_datei() with --ausgabe=haus.txt or -o and $HEIM.", "plain",
                 ["lese_datei()", "--ausgabe=haus.txt", "-o", "$HEIM"]),
    "calls and names of code": ("Call os.path.join(a, \"b c\") or foo(bar), see man(1): getUserById.", "plain",
                                ['os.path.join(a, "b c")', "foo(bar)", "man(1)", "getUserById"]),
    "several words in one": ("File(s), Datei(en) and Kolleg(inn)en (and more); Python(编程语言) (H2O) l'Etat.",
                             "plain", []),
    "placeholders": ("%s of %(n)r, %1$s {0} {name!r} ${x} v%s 100% sure, 5 % of {{ y }}", "plain",
                     ["%s", "%(n)r", "%1$s", "{0}", "{name!r}", "${x}", "%s", "{{ y }}"]),
    "paths": ("In /usr/bin, ~/x, src/a.py and config.yaml, and/or 10/20.", "plain",
              ["/usr/bin", "~/x", "src/a.py", "config.yaml"]),
    "no marks": ("Z. B. at 10:30:00 e.g. a < b and c > d; 3 - 4; 50%.", "plain", []),
    "tags in a string": ("Press <b>OK</b> or <br/>, a<b.", "plain", ["<b>", "</b>", "<br/>"]),
    "Markdown": ("**A *b* [c](d \"e\") ![f](g) `h` [^1]** \\*", "markdown",
                 ["**", "*", "*", "[", '](d "e")', "![f](g)", "`h`", "[^1]", "**", "\\*"]),
    "a linked picture": ("[![a](b)](c) d", "markdown", ["[", "![a](b)", "](c)"]),
    "no emphasis": ("2 * 3 * 4, a_b_c and *open", "markdown", ["a_b_c"]),
    "HTML": ('<a href="x">a</a> <code>b <i>c</i></code> &amp; caf&eacute; <img src="y">', "html",
             ['<a href="x">', "</a>", "<code>b <i>c</i></code>", "&amp;", '<img src="y">']),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_marks(name: str):
    text, syntax, found = FOUND[name]
    assert [mark.raw for mark in marks(text, syntax=syntax)] == found


def test_what_is_to_be_kept_is_a_mark():
    assert [mark.raw for mark in marks("ACME and B12", syntax="plain", keep=kept(["ACME", r"B\d+"]))] == ["ACME", "B12"]


@pytest.mark.parametrize(
    ("text", "syntax", "parts"),
    [("One day. Two days.", "plain", ["One day.", "Two days."]),
     ("Mail a@b.org. Two.", "plain", ["Mail X1.", "Two."]),
     ("**One.** Two *days. Or* three.", "markdown", ["One.", "Two [days. Or] three."]),
     ("<b>One. Two.</b> Three.", "html", ["One. Two.", "Three."]),
     ("<b>One. Two.</b>", "html", ["One.", "Two."]),
     ("One[^1] day [^2]", "markdown", ["One X1 day"])],
)  # fmt: skip
def test_sentences(text: str, syntax: str, parts: list[str]):
    found = sentences(text, syntax=syntax, language="en")
    assert [sentence.shown(Style.BRACKETS) for sentence in found] == parts
    assert "".join(sentence.whole(sentence.text) for sentence in found) == text


def test_an_answer_without_all_marks_is_none():
    sentence = alone("See [it](u) at `x` or `y`.", syntax="markdown")
    assert sentence.restored("Siehe [es] bei X2 oder X1.", Style.BRACKETS) == "Siehe [es](u) bei `y` oder `x`."
    for answer in ("Siehe es bei X1 oder X2.", "Siehe [es] bei X1.", "[es] X1 X1 X2", "]es[ X1 X2", "[es] X1 X2 X3"):
        assert sentence.restored(answer, Style.BRACKETS) is None


def test_marks_are_laid_over_the_same_words():
    sentence = alone("Read [the manual](a) and **the licence** of `x`.", syntax="markdown")
    phrases = {0: ["the manual", "das Handbuch"], 1: ["the licence", "die Lizenz"]}
    found = laid(sentence, "Lies das Handbuch und die Lizenzen von X1.", phrases)
    assert found == "Lies [das Handbuch](a) und **die Lizenzen** von `x`."
    assert laid(sentence, "Lies es, X1.", phrases) == "Lies es, `x`."


PIECES = st.sampled_from(
    ["One ", "two. ", "Three", " ", "`x`", "**", "*", "_", "[a](b)", "[", "]", "](c)", "![d](e)", "[^1]", "<b>", "</b>",
     "<i>", "</i>", "<br>", "<!-- f -->", "<code>g</code>", "&amp;", " &eacute; ", "{h}", "%s", "a@b.org",
     "https://x.org/y", "X1", "\\*", "\\", "<", "。", "狗"]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=14).map("".join)
bounded = settings(max_examples=300, deadline=None, derandomize=True, database=None)


@bounded
@given(TEXTS, st.sampled_from(["markdown", "html", "plain"]))
def test_sentences_joined_are_the_text(text: str, syntax: str):
    found = sentences(text, syntax=syntax, language="en")
    assert "".join(sentence.whole(sentence.text) for sentence in found) == text.strip("\0") or not text.strip()


@bounded
@given(TEXTS, st.sampled_from(["markdown", "html", "plain"]))
def test_what_is_shown_gives_the_marks_back(text: str, syntax: str):
    for sentence in sentences(text, syntax=syntax, language="en"):
        answer = sentence.restored(sentence.shown(Style.BRACKETS), Style.BRACKETS)
        if answer is not None:
            of_both = [sorted(mark.raw for mark in marks(some, syntax=syntax) if mark.what not in ("entity", "escape"))
                       for some in (sentence.text, answer)]  # fmt: skip
            assert of_both[0] == of_both[1]
