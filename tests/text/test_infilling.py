"""What fills a gap ends where the text behind the gap begins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcli.text import infilling
from tests.support.fuzz import bounded

CUTS: dict[str, tuple[str, str, list[str]]] = {
    # name: what was written, the text behind the gap, the cuts
    "nothing of it": ("a + b", "\n\nprint(add(1, 2))\n", []),
    "goes on": ("a + b\n\nprint(add(1, 2))\n", "\n\nprint(add(1, 2))\n", ["a + b"]),
    "goes on, and is cut": ("a + b\n\nprint(ad", "\n\nprint(add(1, 2))\n", ["a + b"]),
    "goes on, and beyond": ("a + b\n    return x\n\ndef f(): pass", "\n    return x\n", ["a + b"]),
    "on a line": ("a, b)\n", ")\n    return 1\n", ["a, b"]),
    "a mark that comes twice": ("f(a), b)", ")", ["f(a), b"]),
    "a mark within": ("f(a), b", ")", []),
    "nothing behind": ("a + b\n", "\n", []),
    "nothing written": ("", "x", []),
}


@pytest.mark.parametrize("name", CUTS)
def test_cuts(name: str):
    filled, after, cuts = CUTS[name]
    assert [*infilling.cuts(filled, after)] == cuts


BLOCKS: dict[str, tuple[str, str, str, str]] = {
    # name: what was written, the text before the gap and behind it, what is kept
    "leaves the block": ("x = a\n    return x\n\nprint(add(5, 3))\nprint(1)", "def add(a):\n    ", "",
                         "x = a\n    return x"),
    "stays in it": ("if a:\n        return a\n    return b", "def f(a, b):\n    ", "\n",
                    "if a:\n        return a\n    return b"),
    "returns before what is behind": ("x = 1\n    y = 2\n    return x", "def f():\n    ", "\n    return x + y\n",
                                      "x = 1\n    y = 2"),
    "another branch is behind": ("x = 1\n        return x", "if a:\n        ", "\n    else:\n        return 2\n",
                                 "x = 1\n        return x"),
    "returns alone": ("return x", "def f(x):\n    ", "\n    y = x\n", "return x"),
    "no block": ("x = 1\ny = 2", "", "", "x = 1\ny = 2"),
    "within a line": ("a, b):\npass", "def f(", "", "a, b):\npass"),
    "nothing": ("", "def f():\n    ", "", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks(name: str):
    filled, before, after, kept = BLOCKS[name]
    assert infilling.block(filled, before, after) == kept


@bounded(150)
@given(st.text("ab \n)", max_size=20), st.text("ab \n)", max_size=30))
def test_a_cut_is_a_beginning(filled: str, after: str):
    for cut in infilling.cuts(filled, after):
        assert filled.startswith(cut)
        rest = filled[len(cut) :].strip()
        assert rest[:3] == after.strip()[: len(rest[:3])]
