"""Which sentences of a document are running text."""

from __future__ import annotations

import pytest

from llmcli.text import prose

LICENCE = """\
                     THE TEAPOT PUBLIC LICENSE
                      Version 2, 1 April 2019

 Copyright (C) 2019 The Teapot Society, Inc.,
 4 Kettle Lane, Steepford, BW 01234 Utopia
 Anyone may copy and share this licence word for word, but changing
it is not allowed.

                            Preamble

  The licences of most teapots are written to keep you from pouring
tea for others.  This one is meant to make sure that every pot stays
free for all of its drinkers.

  0. Definitions.

  "The Pot" means any vessel in which tea is made, and each drinker is
addressed as "you".

  1. Pouring for Others.

  a) You may pour tea for anyone, as long as you say where the leaves
  came from.

  b) You may ask a fee for the pouring.

                     END OF TERMS AND CONDITIONS
"""
MAN = """\
BREW(1)                          Kitchen Commands                          BREW(1)

NAME
       brew - make tea

SYNOPSIS
       brew [-s MINUTES] [POT]...

DESCRIPTION
       brew  pours  hot water over the leaves in each POT (the blue one by de‐
       fault) and waits until the tea is strong enough.

       -s, --steep
              steep for so many minutes

AUTHOR
       Written by the tea society.

Kitchen 1.2                        April 2019                             BREW(1)
"""
METADATA = """\
Metadata-Version: 2.1
Name: teapot
Summary: Pour tea
Classifier: Topic :: Kitchen
Classifier: Environment :: Table
Description-Content-Type: text/markdown

# teapot

[![Leaves](https://example.org/leaves.svg)](https://example.org) ![Steam](steam.png)

Teapot pours **hot** tea from [any program](https://example.org/any)
that can hold a cup. It needs no
network.

## Contents

- [Install](#install)
- [Use](#use)

## Install

```sh
pip install teapot
```

| cup | size |
|-----|------|
| big | 300. |

- Green tea
- Black tea steeps for four minutes at most.
"""
HTML = """\
<!DOCTYPE html>
<html><head><title>Tea. The site.</title><style>p { color: green. }</style></head>
<body><nav><a href="/">Home of all tea drinkers.</a></nav>
<h1>About our tea.</h1>
<p>Our tea grows on <b>three</b> hills &amp; is picked
by hand.</p><script>document.write("It is bought. It is sold.");</script>
<ul><li>Green</li><li>White tea is dried in the sun for two days.</li></ul>
<table><tr><th>Price list of teas.</th></tr><tr><td>Green</td><td>3.</td></tr></table>
<pre>make tea. now.</pre>
<p>Write to &lt;pot@example.org&gt; for leaves.</p></body></html>
"""
MAIL = """\
From: Ann Leaf <ann@example.org>
To: tea@example.org
Subject: The new pot. It is here.
Date: Mon, 1 Apr 2019 10:00:00 +0000

Hello all,

the new pot has arrived and holds two litres. We can try it on Friday.

On Sunday Ben wrote:
> When will the pot come? I am thirsty.

--\x20
Ann Leaf. Head of tea. 4 Kettle Lane.
"""
RST = """\
======
Teapot
======

:Author: Ann Leaf.

.. image:: https://example.org/steam.png
   :alt: Steam rises.

Teapot is described in the `book of tea <https://example.org/book>`_.  Use
it like this::

    teapot --pour. now.

Then drink it slowly.

Sizes
-----

===== ======
cup   litres
===== ======
big   0.3.
===== ======
"""
PAGES = """\
The tea was first grown on the southern hills where the

                            Page 1
\f
THE TEA BOOK

monks kept it warm. They drank it
[Page 2]
\fTHE TEA BOOK

at night.
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(LICENCE, [
            "Anyone may copy and share this licence word for word, but changing it is not allowed.",
            "The licences of most teapots are written to keep you from pouring tea for others.",
            "This one is meant to make sure that every pot stays free for all of its drinkers.",
            '"The Pot" means any vessel in which tea is made, and each drinker is addressed as "you".',
            "You may pour tea for anyone, as long as you say where the leaves came from.",
            "You may ask a fee for the pouring.",
        ], id="licence"),
        pytest.param(MAN, [
            "brew pours hot water over the leaves in each POT (the blue one by default) and waits until the tea is "
            "strong enough.",
            "Written by the tea society.",
        ], id="man"),
        pytest.param(METADATA, [
            "Teapot pours **hot** tea from any program that can hold a cup.", "It needs no network.",
            "Black tea steeps for four minutes at most.",
        ], id="metadata"),
        pytest.param(HTML, [
            "Our tea grows on three hills & is picked by hand.", "White tea is dried in the sun for two days.",
            "Write to <pot@example.org> for leaves.",
        ], id="html"),
        pytest.param(MAIL, [
            "the new pot has arrived and holds two litres.", "We can try it on Friday.",
        ], id="mail"),
        pytest.param(RST, [
            "Teapot is described in the book of tea.", "Then drink it slowly.",
        ], id="rst"),
        pytest.param(PAGES, [
            "The tea was first grown on the southern hills where the monks kept it warm.", "They drank it at night.",
        ], id="pages"),
    ],
)  # fmt: skip
def test_documents(text: str, expected: list[str]):
    assert prose.read(text).sentences("en").texts == expected


SAYING = "Tea is a drink that people love."


@pytest.mark.parametrize(
    "line",
    [
        "# Tea Is Good.", "All About Tea\n=============", "TEA FOR ALL", "1. The Story of Tea.", "  § 2  Of Green Tea",
        "=====", "* * *", "----", "- 3 -", "Page 3 of 12", "1.1 Green tea ........... 12", "Black tea . . . . . . . 3",
        "[Install](#install)", "- [Use](#use)", "https://example.org/tea.", "[tea]: https://example.org 'Tea.'",
        "Copyright (c) 2019 Ann Leaf. All rights reserved.", "© 2019 Tea Ltd.",
        "| green | 3. |\n|---|---|", "green\t3\t4.\nblack\t4\t5.", "cup      litres\nbig      0.3.\nsmall    0.1.",
        "- Green\n- Black", "1. Water\n2. Leaves", "~~~\nA drink. In code.\n~~~", ">>> tea()\nA drink. It is.",
        "$ tea --pour.\nIt pours.", "Author: Ann Leaf.\nVersion: 1.2", ".. note:: tea\n   It is hot. Very hot.",
        "<img src='a.png' alt='Tea. Hot.'>", "<!-- Tea is hot. Very. -->", "`tea [-s] [POT]...`", "Contents",
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", [True, False])
def test_what_is_no_prose_is_set_aside(line: str, before: bool):
    pieces = [line, SAYING] if before else [SAYING, line]
    assert prose.read("\n\n".join(pieces) + "\n").sentences("en").texts == [SAYING]


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        # Lines wrapped at a width, and words divided at their ends.
        ("We drink our tea in the small\ngarden behind the old house and\nsing.", "en",
         ["We drink our tea in the small garden behind the old house and sing."]),
        ("The infor-\nmation is true, and the well-\nknown pot too. A well-known pot.", "en",
         ["The information is true, and the well-known pot too.", "A well-known pot."]),
        ("A para\u00ad\ngraph that is long enough.", "en", ["A paragraph that is long enough."]),
        ("  First it is hot and then it is not so hot any more, you see\nbut still good.\n  Second it is cold.", "en",
         ["First it is hot and then it is not so hot any more, you see but still good.", "Second it is cold."]),
        ("a < b and c > d is true, he said.", "en", ["a < b and c > d is true, he said."]),
        ("Ask <pot@example.org> for tea. AT&amp;T is not tea.", "en",
         ["Ask <pot@example.org> for tea.", "AT&amp;T is not tea."]),
        ("Use <b>hot</b> water, AT&amp;T does. See `<li>` there.", "en",
         ["Use hot water, AT&T does.", "See `<li>` there."]),
        ("今天天气很好，我们去公园喝\n茶。明天下雨，我们在家里喝茶。", "zh",
         ["今天天气很好，我们去公园喝茶。", "明天下雨，我们在家里喝茶。"]),
        ("お茶は山で育ちます。\n人が手で摘みます。", "ja", ["お茶は山で育ちます。", "人が手で摘みます。"]),
        ("ชาปลูกบนภูเขาและเก็บด้วยมือทุกเช้า", "th", ["ชาปลูกบนภูเขาและเก็บด้วยมือทุกเช้า"]),
        ("चाय पहाड़ों पर उगती है। लोग इसे सुबह पीते हैं।", "hi", ["चाय पहाड़ों पर उगती है।", "लोग इसे सुबह पीते हैं।"]),
        # Equal sentences once.
        ("Tea is hot. Leaves are green. Tea is hot.\nTEA is hot!", "en", ["Tea is hot.", "Leaves are green."]),
    ],
)  # fmt: skip
def test_sentences_are_whole(text: str, language: str, expected: list[str]):
    assert prose.read(text).sentences(language).texts == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ann: Do you like tea?\nBen: Yes. Very much.\nAnn: Good.",
         ["Ann: Do you like tea?", "Ben: Yes.", "Very much.", "Ann: Good."]),
        ("#Person1#: tea or coffee\n#Person2#: tea please", ["#Person1#: tea or coffee", "#Person2#: tea please"]),
        ("- buy tea\n- boil water\n  for the pot", ["buy tea", "boil water for the pot"]),
        ("milk\neggs\ntea", ["milk", "eggs", "tea"]),
        ("> Tea is hot.\n> So is coffee.", ["Tea is hot.", "So is coffee."]),
        ("# Title only", ["# Title only"]),
        ("Name: teapot\nVersion: 1", ["Name: teapot", "Version: 1"]),
        ("TEA IS HOT.", ["TEA IS HOT."]),
        ("---\ntitle: Tea. Good.\n---\nTea is hot today.\n", ["Tea is hot today."]),
        ("hello", ["hello"]),
        ("?!", ["?!"]),
        ("", []),
        (" \n\t\n", []),
    ],
)  # fmt: skip
def test_without_prose_the_lines_are_what_there_is(text: str, expected: list[str]):
    found = prose.read(text).sentences("en")
    assert found.texts == expected
    assert found.by_line or len(found.texts) < 2


def test_a_changelog_is_its_entries():
    entries = "".join(f"- Parser number {n} no longer loses its last token\n" for n in range(9))
    found = prose.read(f"# Changes\n\nAll notable changes are listed here.\n\n## 1.2\n\n{entries}").sentences("en")
    assert len(found.texts) == 10
    assert found.by_line
