"""llmcli code: what is cut out of an answer, what is checked, and what is asked again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmcli.pipelines import Completion
from llmcli.tasks.code import Code, extract

FUNCTION = "def f(x):\n    return x"


@pytest.mark.parametrize(
    ("answer", "language", "code"),
    [
        (f"Sure!\n```python\n{FUNCTION}\n```\nIt works.", "python", Code(FUNCTION, "python", True)),
        (f"```py\n{FUNCTION}\n```", "python", Code(FUNCTION, "python", True)),
        (FUNCTION, "python", Code(FUNCTION, "python", True)),
        (f"{FUNCTION}\n```", "python", Code(FUNCTION, "python", True)),
        (f"```python\n{FUNCTION}\n\nfor", "python", Code(FUNCTION, "python", True)),
        (f"```python\n{FUNCTION}\n\ndef g(y:", "python", Code(FUNCTION, "python", True)),
        (f"{FUNCTION}\nThis function returns x.", "python", Code(FUNCTION, "python", True)),
        ("I cannot do that", "python", Code("I cannot do that", "python", False)),
        ("sorry", "python", Code("sorry", "python", False)),
        ("(" * 100_000, "python", Code("(" * 100_000, "python", False)),
        ("```bash\nls -l\n```", "python", Code("ls -l", "bash", None)),
        ("SELECT 1;", "sql", Code("SELECT 1;", "sql", None)),
    ],
)  # fmt: skip
def test_code_is_cut_out_of_the_answer(answer: str, language: str, code: Code):
    assert extract(answer, language=language) == code


def test_broken_python_is_asked_again_then_flagged(cli, fake, monkeypatch):
    answers = ["no code", "none here", f"```\n{FUNCTION}\n```"]

    def complete(prompts, generation, *, emit=None):
        fake.generations.append(generation)
        return [[Completion(answers[min(len(fake.generations), len(answers)) - 1], 3, 2, "stop")]]

    monkeypatch.setattr(fake, "complete", complete)
    done = cli("code", "--json", "identity")
    assert (json.loads(done.out)["text"], json.loads(done.out)["parses"], done.err) == (FUNCTION, True, "")
    assert [generation.sampled for generation in fake.generations] == [False, True, True]
    answers[2] = "never"
    fake.generations.clear()
    done = cli("code", "identity")
    assert (done.code, done.out, "does not parse" in done.err) == (0, "no code\n", True)


@pytest.mark.parametrize(
    ("arguments", "stdin", "row"),
    [
        (["Explain this change"], "-a\n+b\n", "-A\n+B\n\nEXPLAIN THIS CHANGE"),
        (["--explain", "a loop"], "", "A LOOP"),
        (["--write", "--lang", "sql", "explain plans"], "", "WRITE SQL CODE FOR THIS: EXPLAIN PLANS"),
        (["--lang", "sql", "all rows"], "", "WRITE SQL CODE FOR THIS: ALL ROWS"),
    ],
)
def test_what_is_asked(cli, fake, arguments: list[str], stdin: str, row: str):
    done = cli("code", *arguments, stdin=stdin)
    assert done.code == 0, done.err
    assert done.out.startswith(row)


def test_usage(cli, fake):
    assert cli("code", stdin=" ").code == 3
    fake.context_window = 300
    assert cli("code", "word " * 400).code == 6


def test_a_tiny_checkpoint_writes_something(cli, checkpoint):
    done = cli("code", "--json", "--max-new-tokens", "8", "-m", str(checkpoint("qwen3")), "a loop")
    assert (done.code, json.loads(done.out)["language"]) == (0, "python"), done.err


@pytest.mark.real
def test_the_embedded_model_writes_python(process, real: Path):
    done = process("code", "--json", "a function that adds two numbers", LLMCLI_CACHE_DIR=str(real))
    row = json.loads(done.stdout)
    assert (done.returncode, row["parses"], "def " in row["text"]) == (0, True, True), done.stderr
