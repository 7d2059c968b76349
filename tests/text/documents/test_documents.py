"""Documents taken apart and put together: what is no text of theirs is byte for byte as it was."""

from __future__ import annotations

import json
import subprocess
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import html5lib
import polib
import pytest
import srt
import webvtt
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from llmcli.errors import InputError
from llmcli.text import documents
from llmcli.text.documents.segments import Edit, Span, splice
from llmcli.text.documents.subtitles import laid


def translated(text: str, format: str, *, target: str = "de", by: Any = str.upper) -> str:
    """The document with each segment as ``by`` makes it."""
    document = documents.read(text, format=format, target=target)
    own = [edit for segment in document.segments if not segment.within for edit in segment.edits(by(segment.text))]
    inner = [(segment.within, edit) for segment in document.segments if segment.within
             for edit in segment.edits(by(segment.text))]  # fmt: skip
    return splice(text, own + document.fixed, within=inner)


def texts(text: str, format: str) -> list[str]:
    return [segment.text for segment in documents.read(text, format=format, target="de").segments]


MARKDOWN = {
    "a heading": ("# One *two*\n", ["One *two*"]),
    "a heading with an underline": ("One\ntwo\n===\n", ["One two"]),
    "a wrapped paragraph": ("One\ntwo.\n\nThree.", ["One two.", "Three."]),
    "a line break": ("One  \ntwo\\\nthree\n", ["One", "two", "three"]),
    "a quote with a list": ("> - one\n>   two\n>\n> three\n", ["one two", "three"]),
    "a task": ("- [ ] one\n- [x] two\n", ["one", "two"]),
    "a table": ("| a | `b` |\n|---|:-:|\n| d \\| e | 1 |\n", ["a", "`b`", "d \\| e"]),
    "front matter": ("---\ntitle: one\n---\n\ntwo\n", ["two"]),
    "fences": ("one\n\n```py\ntwo\n```\n~~~\nthree\n~~~\n\n    four\n", ["one"]),
    "HTML": ('<p align="center">\n  <b>One</b> two\n</p>\n\n<br/>\n', ["<b>One</b> two"]),
    "a comment": ("<!-- one -->\n\ntwo <!-- three --> four\n", ["two <!-- three --> four"]),
    "a footnote": ("One[^1].\n\n[^1]: Two three.\n", ["One[^1].", "Two three."]),
    "definitions of links": ('[one]: http://x.org "Two"\n\n[one] three\n', ["[one] three"]),
    "a picture": ("![One](a.png) and two\n", ["![One](a.png) and two", "One"]),
    "an alert": ("> [!NOTE]\n> One.\n", ["One."]),
    "CRLF": ("One\r\ntwo\r\n\r\n- three\r\n", ["One two", "three"]),
    "no words": ("123\n\n---\n\n| 1 | 2 |\n|---|---|\n", []),
}
HTML = {
    "blocks": ("<h1>One</h1><p>Two <b>three</b>.</p>", ["One", "Two <b>three</b>."]),
    "peeled": ("<p><a href='x'><b>One</b></a></p>", ["One"]),
    "half peeled": ("<p><b>One</b> two</p>", ["<b>One</b> two"]),
    "kept": ("<pre>a</pre><script>b('c')</script><style>d{}</style><p translate=no>e</p><p>one <code>f</code></p>",
             ["one <code>f</code>"]),
    "kept within": ('<p>One <span class="x notranslate">Acme <i>x</i></span> two</p>',
                    ['One <span class="x notranslate">Acme <i>x</i></span> two']),
    "attributes": ('<p><img alt="One" title=\'Two\' src="x"></p><input placeholder="Three">', ["One", "Two", "Three"]),
    "a picture in a sentence": ('<p>See <img alt="One" src="x"> here</p>',
                                ['See <img alt="One" src="x"> here', "One"]),
    "entities": ("<p>Caf&eacute; &amp; bar</p>", ["Caf&eacute; &amp; bar"]),
    "comments": ("<!-- one --><p>two</p><!-- three -->", ["two"]),
    "line breaks": ("<p>one<br>two<br/>three</p>", ["one", "two", "three"]),
    "laid out": ("<p>\n    One\n    two\n</p>", ["One two"]),
    "a title": ('<head><title>One</title><meta name="description" content="Two"><meta name="x" content="y"></head>',
                ["One", "Two"]),
}  # fmt: skip
OTHERS = {
    "srt": ("1\n00:00:01,000 --> 00:00:02,000\nOne two\nthree\n\n2\n00:00:03,000 --> 00:00:04,000\nfour.\n",
            ["One two three four."]),
    "vtt": ("WEBVTT\n\nNOTE one\n\nname\n00:01.000 --> 00:02.000 align:start\n<v Ann>Two.\n", ["<v Ann>Two."]),
    "po": ('msgid ""\nmsgstr "Language: \\n"\n\nmsgid "One"\nmsgstr ""\n\nmsgid "Two"\nmsgstr "Zwei"\n', ["One"]),
    "json-strings": ('{"a": "One", "b": ["Two", 3, {"c": ""}], "d\\"e": "\\u00e9t\\u00e9"}', ["One", "Two", "été"]),
    "yaml": ("# c\na: One\nb: &x 'Two'\nc: |\n  Three\n  four\nd: >-\n  Five\n  six\ne: yes\nf: *x\n",
             ["One", "Two", "Three", "four", "Five six"]),
}  # fmt: skip
CASES = (
    [("markdown", *case) for case in MARKDOWN.values()]
    + [("html", *case) for case in HTML.values()]
    + [(name, *case) for name, case in OTHERS.items()]
)


@pytest.mark.parametrize(("format", "text", "found"), CASES, ids=[*MARKDOWN, *HTML, *OTHERS])
def test_what_is_translated(format: str, text: str, found: list[str]):
    assert texts(text, format) == found
    assert splice(text, []) == text


SPLICED = {
    "a quote stays one": ("markdown", "> One two three four five six\n> seven eight.\n",
                          "> ONE TWO THREE FOUR FIVE SIX\n> SEVEN EIGHT.\n"),
    "an item's second line": ("markdown", "* one two three four five six\n  seven\n",
                              "* ONE TWO THREE FOUR FIVE SIX\n  SEVEN\n"),
    "a picture's description": ("markdown", "![One](A.png)\n", "![ONE](A.PNG)\n"),
    "lang": ("html", '<html lang="en"><p>a</p></html>', '<html lang="de"><p>A</p></html>'),
    "quotes in an attribute": ("html", '<img alt="a">', '<img alt="A">'),
    "plural forms": ("po", 'msgid "a"\nmsgid_plural "b"\nmsgstr[0] ""\nmsgstr[1] ""\n',
                     'msgid "a"\nmsgid_plural "b"\nmsgstr[0] "A"\nmsgstr[1] "B"\n'),
    "a plural rule that is missing": (
        "po", 'msgid ""\nmsgstr "X: y\\n"\n\nmsgid "1"\nmsgid_plural "2"\nmsgstr[0] ""\nmsgstr[1] ""\n',
        'msgid ""\nmsgstr "X: y\\n"\n"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n\nmsgid "1"\nmsgid_plural "2"\n'
        'msgstr[0] ""\nmsgstr[1] ""\n'),
    "a fuzzy one": ("po", '#, fuzzy\nmsgid "a"\nmsgstr "x"\n', '#, fuzzy\nmsgid "a"\nmsgstr "A"\n'),
    "an old one": ("po", '#~ msgid "a"\n#~ msgstr ""\n', '#~ msgid "a"\n#~ msgstr ""\n'),
    "a byte order mark": ("json-strings", '\ufeff{"a": "b"}', '\ufeff{"a": "B"}'),
}  # fmt: skip


@pytest.mark.parametrize("name", SPLICED)
def test_what_comes_out(name: str):
    kind, text, out = SPLICED[name]
    assert translated(text, kind) == out


@pytest.mark.parametrize(
    ("target", "forms"), [("ja", 1), ("de", 2), ("fr", 2), ("pl", 3), ("sl", 4), ("ar", 6), ("pt-BR", 2)]
)
def test_plural_forms_are_the_targets(tmp_path: Path, target: str, forms: int):
    text = ('msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n"Language: \\n"\n'
            '"Plural-Forms: nplurals=INTEGER; plural=EXPRESSION;\\n"\n\nmsgid "%d file"\n'
            'msgid_plural "%d files"\nmsgstr[0] ""\nmsgstr[1] ""\n')  # fmt: skip
    path = tmp_path / "a.po"
    path.write_text(translated(text, "po", target=target, by=str))
    entry = polib.pofile(str(path))[0]
    assert list(entry.msgstr_plural.values()) == (["%d file", *["%d files"] * (forms - 1)] if forms > 1 else
                                                  ["%d files"])  # fmt: skip
    assert subprocess.run(["msgfmt", "-c", "-o", "/dev/null", path], check=False, capture_output=True).returncode == 0


def test_a_text_that_begins_as_a_list_would_is_none():
    assert translated("On 1 May.\n", "markdown", by=lambda _: "1. Mai") == "1\\. Mai\n"
    assert translated("a\n", "markdown", by=lambda _: "# b") == "\\# b\n"


@pytest.mark.parametrize(("format", "text"), [("json-strings", '{"a": '), ("yaml", "a: [b"), ("po", "hello\n")])
def test_what_is_not_of_its_format_is_refused(format: str, text: str):
    with pytest.raises(InputError):
        documents.read(text, format=format, target="de")


@pytest.mark.parametrize(
    ("text", "sizes", "parts"),
    [("one two three four", [7, 10], ["one two", "three four"]),
     ("<i>one two</i> three", [3, 9], ["<i>one", "two</i> three"]),
     ("eins", [3, 3], ["eins", "eins"]), ("今天天气很好", [2, 4], ["今天", "天气很好"])],
)  # fmt: skip
def test_a_sentence_is_laid_over_its_lines(text: str, sizes: list[int], parts: list[str]):
    assert laid(text, sizes) == parts


ANY = st.text(max_size=200)
PIECES = st.sampled_from(
    ["One ", "two. ", "\n", "\n\n", "\r\n", "  \n", "# ", "- ", "1. ", "> ", "| a | b |\n|---|---|\n", "```\n", "`x`",
     "**", "*", "[a](b)", "![c](d)", "[^1]", "[^1]: ", "<p>", "</p>", "<b>", "</b>", "<br>", "<img alt='e'>", "<!--",
     "-->", "<code>", "</code>", "<pre>", "</pre>", "&amp;", "&eacute;", "<", "\t", "    ", "---\n", "===\n", "\\",
     "<html lang='en'>", "<script>", "</script>", "1\n00:00:01,000 --> 00:00:02,000\n", "WEBVTT\n\n", 'msgid "a"\n',
     'msgstr ""\n', 'msgid_plural "b"\n', 'msgstr[0] ""\n', '"x\\n"\n', "#, fuzzy\n", "a: ", "|\n  ", '"q"', "\ufeff"]
)  # fmt: skip
MIXED = st.lists(PIECES, max_size=30).map("".join)
bounded = settings(max_examples=200, deadline=None, derandomize=True, database=None)


@bounded
@given(st.one_of(ANY, MIXED), st.sampled_from(sorted(documents.FORMATS)))
def test_nothing_outside_the_segments_changes(text: str, format: str):
    try:
        document = documents.read(text, format=format, target="de")
    except InputError:
        return
    assert splice(text, []) == text
    spans = sorted((segment.span for segment in document.segments if not segment.within), key=lambda span: span.start)
    assert all(one.end <= other.start for one, other in pairwise(spans))
    marked = [
        Edit(edit.span, "\0") for segment in document.segments if not segment.within for edit in segment.edits("x")
    ]
    outside, at = splice(text, marked).split("\0"), 0
    for part in outside:
        at = text.index(part, at) + len(part)  # each stands in the text, in this order


leaf = st.text(st.sampled_from("ab é<>&\"'\n:#-{}[]%\\"), max_size=12)
trees = st.recursive(leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(leaf, inner, max_size=3))


def shape(tree: Any) -> Any:
    if isinstance(tree, str):
        return tree.upper() if any(c.isalpha() for c in tree) else tree
    return [*map(shape, tree)] if isinstance(tree, list) else {key: shape(value) for key, value in tree.items()}


@bounded
@given(trees, st.booleans())
def test_json_trees(tree: Any, ascii: bool):
    text = json.dumps(tree, ensure_ascii=ascii, indent=1)
    assert json.loads(translated(text, "json-strings")) == shape(tree)


@bounded
@given(
    st.lists(st.text(st.sampled_from("ab é\"'\n:#-{}"), min_size=1, max_size=12), max_size=4), st.sampled_from("\"'>|")
)
def test_yaml_trees(values: list[str], style: str):
    text = yaml.safe_dump({str(at): value for at, value in enumerate(values)}, allow_unicode=True,
                          default_style=style if style in "\"'" else None)  # fmt: skip
    assert [*yaml.safe_load(translated(text, "yaml", by=str)).values()] == values


@bounded
@given(st.lists(st.tuples(leaf, st.one_of(st.none(), leaf.filter(bool))), max_size=4), st.sampled_from(["pl", "ja"]))
def test_po_trees(entries: list[tuple[str, str | None]], target: str):
    po = polib.POFile(wrapwidth=30)
    for at, (one, several) in enumerate(entries):
        own = {"msgid_plural": several, "msgstr_plural": {0: "", 1: ""}} if several else {"msgstr": ""}
        po.append(polib.POEntry(msgid=f"{at}{one}", msgctxt="c" if at % 2 else None, **own))
    text = f"{po}\n"
    found = polib.pofile(translated(text, "po", target=target))
    for entry in found:
        if entry.msgid_plural:
            assert len(entry.msgstr_plural) == (3 if target == "pl" else 1) or not entry.msgid_plural.upper().isupper()
        elif any(character.isalpha() for character in entry.msgid):
            assert entry.msgstr == entry.msgid.upper()


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[Any] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, [name for name, _ in attrs]))


blocks = st.recursive(
    st.sampled_from(["one", "two &amp; x", "<b>three</b>", "<i>a <u>b</u></i>", "<code>x</code>", "<img alt='d'>"]),
    lambda inner: st.tuples(st.sampled_from(["p", "div", "li", "span", "em", "a"]), st.lists(inner, max_size=3)).map(
        lambda made: f"<{made[0]}>{' '.join(made[1])}</{made[0]}>"
    ),
)


@bounded
@given(blocks)
def test_html_trees(text: str):
    out = translated(text, "html", by=str)
    assert Tags(out).tags == Tags(text).tags
    same = [
        "".join(html5lib.parse(one, namespaceHTMLElements=False).itertext()).replace(" ", "") for one in (text, out)
    ]
    assert same[0] == same[1]


def structure(text: str) -> list[str]:
    return [token.type for token in MarkdownIt("commonmark").enable("table").parse(text)]


words = st.lists(st.sampled_from(["one", "two", "*three*", "`four`", "[five](x)", "1.", "-", "#", "long" * 6]),
                 min_size=1, max_size=25).map(lambda some: "a " + " ".join(some))  # fmt: skip
paragraphs = st.lists(
    st.tuples(st.sampled_from(["", "> ", "- ", "## ", "1. "]), words).map(lambda made: "".join(made)), max_size=5
).map("\n\n".join)


@bounded
@given(paragraphs)
def test_markdown_trees(text: str):
    out = translated(text, "markdown", by=lambda shown: shown.replace("one", "eins zwei"))
    assert structure(out) == structure(text)


@bounded
@given(st.lists(st.lists(st.sampled_from(["One", "two", "three.", "- four", "<i>five</i>"]), min_size=1, max_size=3),
                max_size=5))  # fmt: skip
def test_subtitle_trees(cues: list[list[str]]):
    from datetime import timedelta

    made = [srt.Subtitle(at + 1, timedelta(seconds=at), timedelta(seconds=at, milliseconds=900), "\n".join(lines))
            for at, lines in enumerate(cues)]  # fmt: skip
    text = srt.compose(made, reindex=False)
    found = list(srt.parse(translated(text, "srt")))
    assert [(cue.index, cue.start, cue.end, cue.content.count("\n")) for cue in found] == [
        (cue.index, cue.start, cue.end, cue.content.count("\n")) for cue in made
    ]
    assert all(cue.content.strip() for cue in found)


def test_a_webvtt_parser_reads_the_result(tmp_path: Path):
    text = "WEBVTT\n\nSTYLE\n::cue {color: red}\n\n1\n00:01.000 --> 00:02.000 line:0\nOne\ntwo.\n"
    path = tmp_path / "a.vtt"
    path.write_text(translated(text, "vtt"))
    assert [caption.text for caption in webvtt.read(path)] == ["ONE\nTWO."]


def test_a_mark_that_is_gone_takes_its_edits_with_it():
    text = "a <b> c"
    inner = [(Span(2, 5), Edit(Span(3, 4), "X"))]
    assert splice(text, [Edit(Span(0, 7), "d <b>")], within=inner) == "d <X>"
    assert splice(text, [Edit(Span(0, 7), "d")], within=inner) == "d"
    assert splice(text, [], within=inner) == "a <X> c"
