"""Labels: the user's own, several at once, rows that are unsure, rows that are sought."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

GREP = {
    "found": (["--grep", "positive"], "good a\nbad\ngood b\n", 0, "good a\ngood b\n"),
    "none": (["--grep", "positive"], "bad\n", 1, ""),
    "a bound": (["--grep", "negative>0.99"], "bad\n", 1, ""),
    "an error": (["--grep", "positive"], "good\n\n", 5, "good\n"),
}


@pytest.mark.parametrize(("arguments", "stdin", "code", "out"), GREP.values(), ids=GREP)
def test_grep(cli, fake, arguments, stdin, code, out):
    done = cli("sentiment", "--lines", *arguments, stdin=stdin)
    assert (done.code, done.out) == (code, out), done.err


ROWS = {
    "objects": ("--jsonl", '{"id": 7, "text": "good", "team": "x"}\n{"text": "bad"}\n',
                '{"id": 7, "text": "good", "team": "x"}\n'),
    "a table": ("--csv", "n;text\n1;good\n2;bad\n", "n;text\n1;good\n"),
}  # fmt: skip


@pytest.mark.parametrize(("format", "stdin", "out"), ROWS.values(), ids=ROWS)
def test_grep_prints_rows_as_they_came(cli, fake, format: str, stdin: str, out: str):
    done = cli("sentiment", format, "--grep", "positive", stdin=stdin)
    assert (done.code, done.out) == (0, out), done.err
    asked = cli("sentiment", format, "--grep", "positive", "--json", stdin=stdin)
    assert '"label": "positive"' in asked.out


def test_labels_of_a_file_and_their_prior(cli, fake, tmp_path: Path):
    """The fake model prefers the first label: the prior takes it back, so the order does not matter."""
    (tmp_path / "labels.yaml").write_text("- name: late\n  words: [delayed, slow]\n- fine\n")
    row = json.loads(
        cli("classify", "--labels-file", str(tmp_path / "labels.yaml"), "--all-scores", "--json", "bad").out
    )
    assert row["scores"] == {"late": 0.5, "fine": 0.5}
    assert any(prompt.row.startswith("Text: N/A") for prompt in fake.prompts)


NAMES = ["--labels", "fine,late"]
LABELS = {
    "a description": (["--describe", "late: slow parcels"], ["Text: slow parcels\nLabel: late"]),
    "an example": (["--example", "fine: it came"], ["Text: it came\nLabel: fine"]),
    "both, by name": (
        ["--example", "late: a week", "--describe", "late: slow", "--example", "fine: it came"],
        ["Text: it came\nLabel: fine\n\nText: slow\nLabel: late\n\nText: a week\nLabel: late"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "shown"), LABELS.values(), ids=LABELS)
def test_what_is_said_of_labels_is_shown_to_the_model(cli, fake, arguments, shown):
    outs = {cli("classify", "--labels", names, *arguments, "good").code for names in ("fine,late", "late,fine")}
    assert outs == {0}
    assert {prompt.prefix.endswith(f"{text}\n\n") for prompt in fake.prompts for text in shown} == {True}
    assert len({prompt.prefix for prompt in fake.prompts}) == 1


MULTI = {
    "one holds": (["good"], "fine\t0.8182\n"),
    "none holds": (["--threshold", "0.9", "good"], "uncertain\t0.8182\n"),
    "both hold": (["--threshold", "0.1", "good"], "fine,late\t0.8182,0.1111\n"),
    "all scores": (["--all-scores", "good"], "fine\t0.8182\tfine=0.8182\tlate=0.1111\n"),
    "sought": (["--lines", "--threshold", "0.1", "--grep", "late<0.2"], "good a\n"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "out"), MULTI.values(), ids=MULTI)
def test_several_labels_may_hold(cli, fake, arguments, out):
    done = cli("classify", *NAMES, "--multi", *arguments, stdin="" if "good" in arguments else "good a\nbad b\n")
    assert (done.code, done.out) == (0, out), done.err


def test_several_labels_in_json_and_in_a_table(cli, fake):
    row = json.loads(cli("classify", *NAMES, "--multi", "--json", "good").out)
    assert (row["label"], row["labels"]) == ("fine", {"fine": pytest.approx(9 / 11, abs=1e-6)})
    table = cli("classify", *NAMES, "--multi", "--csv", stdin="text\ngood\n").out.splitlines()
    assert table == ["text,label,score,labels,status,error", 'good,fine,0.818182,"{""fine"": 0.818182}",ok,']


ABSTAIN = {
    "lines": ("x.txt", ["--lines"], "good a\nbad\n", "positive\t0.9863\n", "bad\n"),
    "csv": ("x.csv", [], "text\ngood\nbad\n", "text,label,score,status,error\ngood,positive,0.986319,ok,\n",
            "text,label,score,status,error\nbad,negative,0.90965,ok,\n"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "rows", "sure", "unsure"), ABSTAIN.values(), ids=ABSTAIN)
def test_unsure_rows_go_to_a_file_of_their_own(cli, fake, tmp_path: Path, name, arguments, rows, sure, unsure):
    (tmp_path / name).write_text(rows)
    out = tmp_path / f"out{Path(name).suffix}"
    asked = ["sentiment", "-i", str(tmp_path / name), *arguments, "--abstain", "0.95", "-o", str(out)]
    for resumed in ([], ["--resume"]):
        done = cli(*asked, *resumed)
        assert (done.code, out.read_text()) == (0, sure)
        assert out.with_stem("out.unsure").read_text() == unsure
        assert f"1 unsure rows in {out.with_stem('out.unsure')}" in done.err


def test_an_input_is_never_the_file_of_unsure_rows(cli, fake, tmp_path: Path):
    (tmp_path / "rows.txt").write_text("good\nbad\n")
    for unsure in (tmp_path / "rows.txt", tmp_path / "x" / ".." / "rows.txt"):
        (tmp_path / "x").mkdir(exist_ok=True)
        done = cli(
            "sentiment", "--lines", "-i", str(tmp_path / "rows.txt"), "--abstain", "0.95", "--unsure", str(unsure)
        )
        assert (done.code, done.out) == (2, "")
        assert "both input and output" in done.err
    assert (tmp_path / "rows.txt").read_text() == "good\nbad\n"


def test_a_zero_shot_models_hypotheses_name_the_labels():
    from llmcli import tasks
    from llmcli.run import resolve
    from llmcli.tasks import _label_prompts

    flags = {"labels": [{"name": "late", "words": ["slow"], "description": "It took long."}, {"name": "fine"}]}
    run = resolve.resolve(tasks.get("classify"), flags)
    model = run.model.model_copy(update={"pipeline": "zero-shot"})
    found = _label_prompts.words(replace(run, model=model))
    assert found == {"late": ["This example is late.", "It took long."], "fine": ["This example is fine."]}


WRONG = {
    "one file, spelled otherwise": (["--abstain", "0.5", "--unsure", "./o", "-o", "o", "x"], "two results would be"),
    "no place for unsure rows": (["--abstain", "0.5", "x"], "give --unsure FILE"),
    "unsure without abstain": (["--unsure", "u", "x"], "needs --abstain"),
    "one file for both": (["--abstain", "0.5", "--unsure", "o", "-o", "o", "x"], "two results would be written there"),
    "no such label": (["--describe", "c: x", "x"], "of one of the labels"),
    "no text": (["--example", "late:", "x"], "of one of the labels"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_wrong_use(cli, fake, arguments, message):
    done = cli("classify", *NAMES, *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_scores_of_several_labels_are_the_words_probabilities_against_the_prompts_own(cli, tiny_causal, tmp_path: Path):
    """By hand: log P(label | text) - mean log P(label | text without content), through the logistic function."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_causal, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_causal)
    prompt = "Text: {}\nLabel:"
    (tmp_path / "config" / "tasks").mkdir(parents=True)
    (tmp_path / "config" / "tasks" / "classify.yaml").write_text(
        'prompt: {example: "Text: {text}\\nLabel: {answer}"}\nneutral: ["N/A", "..."]\n'
    )

    def log_p(text: str, label: str) -> float:
        begin = tokenizer("")["input_ids"] + tokenizer(prompt.format(text), add_special_tokens=False)["input_ids"]
        word = tokenizer(f" {label}", add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            found = model(torch.tensor([begin + word])).logits[0].float().log_softmax(-1)
        return sum(float(found[len(begin) - 1 + place, token]) for place, token in enumerate(word))

    row = json.loads(
        cli("classify", "-m", str(tiny_causal), "--dtype", "float32", *NAMES, "--multi", "--all-scores", "--json",
            "the parcel").out
    )  # fmt: skip
    for label, score in row["scores"].items():
        margin = log_p("the parcel", label) - (log_p("N/A", label) + log_p("...", label)) / 2
        assert score == pytest.approx(1 / (1 + math.exp(-margin)), abs=1e-5)
