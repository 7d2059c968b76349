"""The embedded models: converted once into the session's cache, then asked."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmcli.run import journal
from tests.support import ROOT

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


def test_no_chinese_is_left_in_english(real: Path):
    """The model copies this title where it may."""
    out = llmcli(real, "translate", "-f", "zh", "-t", "en", "-m", "gemma-3-270m", "智能手术灯：医生的高能眼睛")
    assert "eyes" in out
    assert not re.search("[\u3400-\u9fff]", out)


def test_summary_is_verbatim(real: Path):
    text = "The council met on Monday. It closed the old bridge because of rust. Nobody spoke for long. " * 2
    out = llmcli(real, "summarize", "--sentences", "1", "--method", "extractive", stdin=text)
    assert out.strip() in text


def test_generate_continues_and_answers(real: Path):
    assert "Paris" in llmcli(real, "generate", "What is the capital of France?", "--max-new-tokens", "12")
    story = json.loads(llmcli(real, "generate", "Once upon a time", "--json", "--max-new-tokens", "24"))
    assert story["finish_reason"] == "length"
    assert len(story["text"].split()) > 10


def test_meaning_is_found_and_kept_once(real: Path):
    rows = ["The parcel arrived two days late.", "How do I get my money back?", "the PARCEL arrived two days late!"]
    found = llmcli(real, "similar", "refund", "--top", "1", stdin="\n".join(rows))
    assert found.endswith(f"\t{rows[1]}\n")
    assert llmcli(real, "dedupe", stdin="\n".join(rows)).splitlines() == rows[:2]


def test_killed_and_resumed_gives_the_same_file(process, real: Path, tmp_path: Path):
    """SIGKILL before and after a window is kept; three windows of rows, on the embedded model."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    texts = [f"The {thing} number {i} was {how}." for i in range(33) for thing in ("pen", "soup", "film", "tour")
             for how in ("a delight", "dull")]  # fmt: skip
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    command = ["sentiment", "-i", str(source), "-o", str(out), "--dtype", "float32"]
    environment = {"LLMCLI_CACHE_DIR": str(real)}
    assert process(*command, **environment).returncode == 0
    whole = out.read_bytes()
    out.unlink()
    out.with_name("out.jsonl.journal").unlink()
    for when in ("before", "after"):
        code = f"from tests.test_real import *; from llmcli.cli.main import main; die_{when}_a_window(); main()"
        done = subprocess.run([sys.executable, "-c", code, *command, "--resume"], env=os.environ | environment,
                              cwd=ROOT, capture_output=True, check=False)  # fmt: skip
        assert done.returncode == -signal.SIGKILL
    assert process(*command, "--resume", **environment).returncode == 0
    assert out.read_bytes() == whole


def die_before_a_window() -> None:
    """The second window is answered, and lost."""
    add, left = journal.Journal.add, [2]

    def dying(*arguments: Any) -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        add(*arguments)

    journal.Journal.add = dying  # type: ignore[method-assign]


def die_after_a_window() -> None:
    """A window is kept, and not yet written."""
    add = journal.Journal.add

    def dying(*arguments: Any) -> None:
        add(*arguments)
        if arguments[1]:
            os.kill(os.getpid(), signal.SIGKILL)

    journal.Journal.add = dying  # type: ignore[method-assign]
