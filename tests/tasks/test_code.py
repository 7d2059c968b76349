"""llmcli code: what is cut out of an answer, what is checked, and what is asked again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers

from llmcli.pipelines import tokens
from llmcli.pipelines.protocol import Completion

FUNCTION = "def f(x):\n    return x"


@pytest.fixture
def says(fake, monkeypatch):
    """Make the fake model say these answers, the last one for ever."""

    def say(*answers: str) -> None:
        def complete(prompts, generation, *, emit=None):
            fake.generations.append(generation)
            text = answers[min(len(fake.generations), len(answers)) - 1]
            return [[Completion(text, 3, 2, "stop")] for _ in prompts]

        fake.generations.clear()
        monkeypatch.setattr(fake, "complete", complete)

    return say


@pytest.mark.parametrize(
    ("answer", "lang", "text", "parses"),
    [
        (f"Sure!\n```python\n{FUNCTION}\n```\nIt works.", "python", FUNCTION, True),
        (f"```py\n{FUNCTION}\n```", "auto", FUNCTION, True),
        (FUNCTION, "python", FUNCTION, True),
        (f"{FUNCTION}\n```", "python", FUNCTION, True),
        (f"```python\n{FUNCTION}\n\ndef g(y:", "python", FUNCTION, True),
        (f"```python\n{FUNCTION}", "python", FUNCTION, True),
        ("I cannot do that", "python", "I cannot do that", False),
        ("```python\n" + "(" * 100_000, "python", "(" * 100_000, False),
        ("```bash\nls -l\n```", "auto", "ls -l", None),
        ("SELECT 1;", "sql", "SELECT 1;", None),
    ],
)
def test_code_is_cut_out_of_the_answer(cli, says, answer: str, lang: str, text: str, parses: bool | None):
    says(answer)
    done = cli("code", "--json", "--lang", lang, "do it")
    row = json.loads(done.out)
    assert (done.code, row["text"], row["parses"]) == (0, text, parses), done.err


def test_broken_python_is_asked_again_then_flagged(cli, fake, says):
    says("no code", "none here", f"```\n{FUNCTION}\n```")
    row = json.loads(cli("code", "--lang", "python", "--json", "identity").out)
    assert (row["text"], row["parses"]) == (FUNCTION, True)
    assert [generation.sampled for generation in fake.generations] == [False, True, True]
    assert len({generation.seed for generation in fake.generations[1:]}) == 2
    says("no code")
    done = cli("code", "--lang", "python", "identity")
    assert (done.code, done.out, "does not parse" in done.err) == (0, "no code\n", True)
    assert len(fake.generations) == 3


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (["Explain this change"], "-a\n+b\n", "-A\n+B\n\nEXPLAIN THIS CHANGE\n"),
        (["--explain"], "-a\n+b\n", "-A\n+B\n\nEXPLAIN WHAT THIS CODE DOES.\n"),
        (["--lang", "sql", "all rows"], "", "WRITE SQL CODE FOR THIS TASK."),
    ],
)
def test_what_is_asked(cli, fake, arguments: list[str], stdin: str, said: str):
    done = cli("code", *arguments, stdin=stdin)
    assert done.code == 0, done.err
    assert done.out.startswith(said)


def test_usage(cli, fake):
    assert cli("code", stdin=" ").code == 3
    fake.context_window = 300
    assert cli("code", "word " * 400).code == 6


@pytest.fixture(scope="module")
def infilling(checkpoint, tmp_path_factory) -> Path:
    """A tiny checkpoint whose vocabulary has the tokens for a gap."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("infilling")
    model = AutoModelForCausalLM.from_pretrained(checkpoint("llama"), dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint("llama"))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"]})
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("before", "read", "after"),
    [("def <fim_suffix>", "def <fim_suffix>", "(x): pass"), ("x = 1\n  ", "x = 1\n", "\n  return x")],
)
def test_a_gap_is_filled_as_the_checkpoint_was_trained_to(cli, infilling: Path, before: str, read: str, after: str):
    """By hand: prefix token, before, suffix token, after, middle token. The user's own tokens are text, and the
    indentation of the gap's line is for the model to write.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(infilling, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(infilling)

    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]

    first, second, last = tokenizer.convert_tokens_to_ids(["<fim_prefix>", "<fim_suffix>", "<fim_middle>"])
    prompt = [*tokenizer("")["input_ids"], first, *ids(read), second, *ids(after), last]
    made = model.generate(torch.tensor([prompt]), max_new_tokens=6, do_sample=False)[0, len(prompt) :]
    expected = tokenizer.decode(made, skip_special_tokens=True).removesuffix("�")  # a character that is cut
    done = cli("code", "--infill", "-m", str(infilling), "--dtype", "float32", "--max-new-tokens", "6", "--json",
               "--lang", "c", f"{before}<FILL>{after}")  # fmt: skip
    row = json.loads(done.out)
    assert (done.code, row["text"], row["parses"]) == (0, expected, None), done.err


def test_what_fills_a_gap_ends_where_a_file_does(cli, infilling: Path, monkeypatch):
    asked = ["code", "--infill", "-m", str(infilling), "--max-new-tokens", "6", "--json", "--lang", "c", "a<FILL>b"]
    assert json.loads(cli(*asked).out)["finish_reason"] == "length"
    vocabulary = transformers.AutoTokenizer.from_pretrained(infilling).get_vocab()
    monkeypatch.setattr(tokens, "FILE_ENDS", ("not there", *vocabulary))
    row = json.loads(cli(*asked).out)
    assert (row["text"], row["finish_reason"]) == ("", "stop")


@pytest.mark.parametrize("filling", ["f(x):\n    pass", "f(x):\n    pa", "f(x):\n    pass\n\ndef g(): ..."])
def test_what_stands_behind_a_gap_is_not_written_again(cli, says, filling: str):
    says(filling)
    row = json.loads(cli("code", "--infill", "--json", "def <FILL>(x):\n    pass").out)
    assert (row["text"], row["parses"], row["finish_reason"]) == ("f", True, "stop")


@pytest.mark.parametrize(("filling", "parses"), [("f", True), ("1f", False)])
def test_what_fills_a_gap_is_checked_with_what_is_around_it(cli, says, filling: str, parses: bool):
    says(filling)
    row = json.loads(cli("code", "--infill", "--json", "def <FILL>(x):\n    pass").out)
    assert (row["text"], row["parses"]) == (filling, parses)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--infill", "no gap"], 3, "error[no-gap]"),
        (["--infill", "<FILL> <FILL>"], 3, "error[no-gap]"),
        (["--infill", "--explain", "x"], 2, "exclude each other"),
        (["--infill", "<FILL> " + "word " * 5000], 6, "error[too-long]"),
    ],
)
def test_a_gap_that_cannot_be_filled(cli, fake, arguments: list[str], code: int, message: str):
    done = cli("code", *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_a_model_without_tokens_for_a_gap(cli, checkpoint):
    done = cli("code", "--infill", "-m", str(checkpoint("qwen3")), "a <FILL> b")
    assert (done.code, done.out) == (4, "")
    assert "no tokens for infilling" in done.err


def test_a_tiny_checkpoint_writes_something(cli, checkpoint):
    done = cli("code", "--json", "--max-new-tokens", "8", "-m", str(checkpoint("qwen3")), "a loop")
    assert (done.code, json.loads(done.out)["status"]) == (0, "ok"), done.err


@pytest.mark.real
def test_the_embedded_model_writes_python(process, real: Path):
    done = process("code", "--json", "a function that adds two numbers", LLMCLI_CACHE_DIR=str(real))
    row = json.loads(done.stdout)
    assert (done.returncode, row["parses"], "def " in row["text"]) == (0, True, True), done.stderr
