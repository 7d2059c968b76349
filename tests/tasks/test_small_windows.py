"""A context window that the prompt alone fills: one line and exit code 6, in every task that has a prompt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

FULL: dict[str, list[str]] = {
    "sentiment": ["sentiment", "the cat sat."],
    "classify": ["classify", "--labels", "a,b", "the cat sat."],
    "translate": ["translate", "-f", "en", "-t", "fr", "the cat sat."],
    "code": ["code", "add two numbers"],
    "generate": ["generate", "--raw", "the cat sat."],
    "summarize": ["summarize", "--method", "abstractive", "The cat sat on the mat."],
}


@pytest.mark.parametrize("arguments", FULL.values(), ids=FULL)
def test_a_window_without_room(cli, checkpoint: Callable[..., Path], arguments: list[str]):
    done = cli(*arguments, "-m", str(checkpoint("gpt2")))
    assert (done.code, done.out, done.err.count("\n")) == (6, "", 1), done.err
    assert "error[too-long]" in done.err
