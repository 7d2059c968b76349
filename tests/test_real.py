"""The embedded models: converted once into the session's cache, then asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

REVIEWS = {
    "I loved every minute of it": "positive",
    "broke after two days, avoid": "negative",
    "Ein wunderbarer Film, sehr bewegend": "positive",
    "这家餐厅的服务非常糟糕": "negative",
}


def llmcli(cache: Path, *arguments: str, stdin: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-m", "llmcli", *arguments], input=stdin, text=True, capture_output=True, timeout=600,
        env=os.environ | {"LLMCLI_CACHE_DIR": str(cache)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_first_uses_at_once(real: Path):
    environment = os.environ | {"LLMCLI_CACHE_DIR": str(real)}
    command = [sys.executable, "-m", "llmcli", "sentiment", "a fine day"]
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=600)[0].split("\t")[0] for process in both] == ["positive"] * 2


def test_sentiment(real: Path):
    out = llmcli(real, "sentiment", "--lines", "--json", stdin="\n".join(REVIEWS))
    assert [json.loads(row)["label"] for row in out.splitlines()] == list(REVIEWS.values())


def test_translate(real: Path):
    out = llmcli(real, "translate", "--to", "en", stdin="# Bonjour\n\n- Une femme attend le bus.\n")
    assert out.startswith("# ")
    assert "woman" in out
    assert "bus" in out


def test_summary_is_verbatim(real: Path):
    text = "The council met on Monday. It closed the old bridge because of rust. Nobody spoke for long. " * 2
    out = llmcli(real, "summarize", "--sentences", "1", "--method", "extractive", stdin=text)
    assert out.strip() in text


def test_generate_continues_and_answers(real: Path):
    assert "Paris" in llmcli(real, "generate", "What is the capital of France?", "--max-new-tokens", "12")
    story = json.loads(llmcli(real, "generate", "Once upon a time", "--json", "--max-new-tokens", "24"))
    assert story["finish_reason"] == "length"
    assert len(story["text"].split()) > 10
