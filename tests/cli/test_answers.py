"""Arguments and stdin -> stdout and exit code, on the fake model."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from tests.support import ROOT

CASES = {
    "argument": (["sentiment", "good"], b"", 0, "positive\t0.9863\n"),
    "stdin": (["sentiment"], b"bad\n", 0, "negative\t0.9096\n"),
    "dash": (["sentiment", "-"], b"good", 0, "positive\t0.9863\n"),
    "lines": (["sentiment", "--lines"], b"good\nbad\n", 0, "positive\t0.9863\nnegative\t0.9096\n"),
    "crlf": (["sentiment", "--lines"], b"good\r\nbad\r\n", 0, "positive\t0.9863\nnegative\t0.9096\n"),
    "bom": (["generate", "--no-stream"], b"\xef\xbb\xbfab?", 0, "AB?\n"),
    "U+2028 is text": (["sentiment", "--lines"], "good\u2028bad\n".encode(), 0, "positive\t0.9863\n"),
    "all scores": (["sentiment", "--all-scores", "bad"], b"", 0,
                   "negative\t0.9096\tpositive=0.0904\tnegative=0.9096\n"),
    "threshold": (["sentiment", "--threshold", "0.995", "good"], b"", 0, "uncertain\t0.9863\n"),
    "combined prompt": (["generate", "why?"], b"a log\n", 0, "A LOG\n\nWHY?\n"),
    "sequences": (["generate", "-n", "2", "--no-stream", "hm?"], b"", 0, "HM?\n\nHM?\n"),
    "extractive": (["summarize", "--sentences", "1", "A cat slept. Rain fell on it."], b"", 0, "A cat slept.\n"),
    "marks kept": (["translate", "-t", "fr", "-f", "en"], b"# Hi\n\n- 12\n", 0, "# ENGLISH: HI\nFRENCH:\n\n- 12\n"),
    "same language": (["translate", "-t", "English"], b"The cat sleeps on the bed.", 0, "The cat sleeps on the bed.\n"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "stdin", "code", "out"), CASES.values(), ids=CASES)
def test_answers(cli, fake, arguments, stdin, code, out):
    done = cli(*arguments, stdin=stdin)
    assert (done.code, done.out) == (code, out), done.err


ERRORS = {
    "no labels": (["classify", "x"], b"", 2, "give --labels"),
    "one label": (["classify", "--labels", "a", "x"], b"", 2, "two names or more"),
    "a label twice": (["classify", "--labels", "a,a", "x"], b"", 2, "two names or more"),
    "a bad pattern": (["sentiment", "--grep", ">0.5", "x"], b"", 2, "is not understood"),
    "grep for no label": (["sentiment", "--grep", "positiv", "x"], b"", 2, "did you mean positive?"),
    "grep beyond one": (["sentiment", "--grep", "positive>90", "x"], b"", 2, "a score is from 0 to 1"),
    "an empty stop": (["generate", "--stop", "", "x"], b"", 2, "--stop must not be empty"),
    "top-p without sampling": (["generate", "--top-p", "0.9", "x"], b"", 2, "--top-p needs sampling"),
    "top-k without sampling": (["generate", "--top-k", "5", "x"], b"", 2, "--top-k needs sampling"),
    "several of one": (["generate", "--temperature", "0", "-n", "2", "x"], b"", 2, "would be the same one"),
    "quiet and verbose": (["sentiment", "-q", "-v", "x"], b"", 2, "exclude each other"),
    "free with a threshold": (["answer", "--free", "--threshold", "0.5", "who?"], b"he", 2, "has no score"),
    "no such option": (["sentiment", "--nope", "x"], b"", 2, "error[usage]"),
    "no such command": (["shout"], b"", 2, "error[usage]"),
    "empty input": (["sentiment"], b"", 3, "error[empty]"),
    "blank input": (["sentiment"], b" \n", 3, "error[empty]"),
    "no lines": (["sentiment", "--lines"], b"", 3, "error[empty]"),
    "not UTF-8": (["sentiment"], b"caf\xe9", 3, "byte 0xe9 at offset 3"),
    "UTF-16": (["sentiment"], "hello".encode("utf-16"), 3, "UTF-16"),
    "NUL": (["sentiment"], b"a\0b", 3, "error[nul]"),
    "missing file": (["sentiment", "-i", "/no/such/file"], b"", 3, "error[unreadable]"),
    "missing model": (["sentiment", "-m", "gema-3-270m", "x"], b"", 4, "did you mean gemma-3-270m?"),
    "missing folder": (["sentiment", "-m", "./nowhere", "x"], b"", 4, "error[no-model]"),
    "no target": (["translate", "x"], b"", 2, "give --to"),
    "same pair": (["translate", "-t", "fr", "-f", "French", "x"], b"", 2, "both French"),
    "no such language": (["translate", "-t", "qqqq", "x"], b"", 2, "error[bad-language]"),
    "unsupported pair": (["translate", "-t", "ig", "-f", "en", "x"], b"", 2, "error[bad-pair]"),
    "no letters": (["translate", "-t", "fr", "123"], b"", 3, "error[no-language]"),
    "unwritable output": (["sentiment", "-o", "/no/such/folder/x", "good"], b"", 10, "error[write]"),
    "full disk": (["sentiment", "-o", "/dev/full/x", "good"], b"", 10, "error[write]"),
    "bad device": (["sentiment", "--device", "tpu", "good"], b"", 2, "[device]"),
    "bad temperature": (["generate", "--temperature", "-1", "x"], b"", 2, "error[usage]"),
    "too long": (["generate", "word " * 5000 + "?"], b"", 6, "error[too-long]"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "stdin", "code", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_are_one_line(cli, fake, arguments, stdin, code, message):
    done = cli(*arguments, stdin=stdin)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert done.err.startswith("llmcli: ")


def test_a_bad_line_is_an_error_row_in_its_place(cli, fake):
    done = cli("sentiment", "--lines", "--json", stdin=b"good\n\n\xff\nbad\n")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [(row["id"], row["status"]) for row in rows] == [(1, "ok"), (2, "error"), (3, "error"), (4, "ok")]
    assert [row["error"]["code"] for row in rows if "error" in row] == ["empty", "bad-utf8"]
    assert done.code == 5


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (["sentiment", "--all-scores"], ["label", "score", "scores"]),
        (["generate"], ["text"]),
        (["classify", "--labels", "yes,no"], ["label", "score"]),
        (["summarize"], ["text", "method"]),
        (["translate", "-t", "fr", "-f", "en"], ["text", "source", "target", "checks"]),
    ],
)
def test_json_keys(cli, fake, arguments, fields):
    row = json.loads(cli(*arguments, "--json", "Is it good?").out)
    common = ["model", "input_tokens", "output_tokens", "finish_reason", "chunks", "truncated"]
    assert list(row) == ["id", "status", *fields, *common]


def test_folder_in_folder_out(cli, fake, tmp_path: Path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "a.txt").write_text("good")
    (tmp_path / "in" / "deep" / "b.txt").write_text("bad")
    assert cli("sentiment", "-i", str(tmp_path / "in"), "-o", str(tmp_path / "out")).code == 0
    assert (tmp_path / "out" / "a.txt").read_text() == "positive\t0.9863\n"
    assert (tmp_path / "out" / "deep" / "b.txt").read_text() == "negative\t0.9096\n"


def test_sentiment_of_a_long_text_reads_it_all(cli, fake):
    fake.context_window = 900
    row = json.loads(cli("sentiment", "--json", stdin="A good day. " * 200).out)
    assert row["chunks"] > 1
    assert sum(prompt.row.count("good") for prompt in fake.prompts) == 200


@pytest.mark.parametrize(("prompt", "chat"), [("Hello!", True), ("为什么？", True), ("why? ", True), ("Once", False)])
def test_a_prompt_with_an_end_is_answered(cli, fake, monkeypatch, prompt: str, chat: bool):
    monkeypatch.setattr(fake, "ending", lambda text: -10.0)
    assert cli("generate", "--no-stream", prompt).code == 0
    assert [bool(rendered.messages) for rendered in fake.prompts] == [chat]


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['llmcli', '--help']\n"
        "from llmcli.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'pydantic', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_readme_help_is_current(process):
    readme = (ROOT / "README.md").read_text()
    done = process("--help", COLUMNS="100", NO_COLOR="1", TERMINAL_WIDTH="100")
    assert "\n".join(line.rstrip() for line in done.stdout.decode().strip().splitlines()) in readme


@pytest.mark.parametrize(("verb", "task"), [*product(("train", "evaluate", "compare"), ("classify", "translate")),
                                            ("audit", "classify")])  # fmt: skip
def test_verbs_over_labelled_rows_take_no_option_of_a_run_that_writes_rows(cli, verb: str, task: str):
    shown = cli(verb, task, "--help").out.split()
    wrong = ("--requests", "--responses", "--cost", "--suffix", "--shard", "--explain", "--check", "--memory")
    assert [flag for flag in wrong if flag in shown] == []
    assert cli(verb, task, "rows.csv", "--retry-failed").code == 2
