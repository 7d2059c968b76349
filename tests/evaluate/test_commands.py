"""llmcli evaluate and compare, on the fake model: it says the first label, with 0.9 where a row is good, else 0.2."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmcli.evaluate.seen import digest
from llmcli.run.records import Record

ROWS = "id,body,team\n1,good one,positive\n2,a bad one,negative\n3,good too,negative\n4,poor,negative\n"


@pytest.fixture
def gold(tmp_path: Path) -> str:
    path = tmp_path / "gold.csv"
    path.write_text(ROWS)
    return str(path)


NAMES = {"p": "positive", "n": "negative"}
FIELDS = ("--field", "body", "--label-field", "team")


def test_a_model_is_scored(cli, fake, gold):
    done = cli("evaluate", "sentiment", gold, *FIELDS, "--json", "-q")
    found = json.loads(done.out)
    assert found["scores"]["accuracy"]["value"] == 0.75
    assert found["scores"]["accuracy"]["low"] == pytest.approx(0.3006, abs=1e-4)
    assert found["classes"]["negative"] == {"precision": 1.0, "recall": 0.666667, "f1": 0.8, "rows": 3}
    assert found["confusion"] == {"negative": {"negative": 2, "positive": 1}, "positive": {"positive": 1}}
    assert {"calibration error", "macro-F1"} < {*found["scores"]}
    assert found["rows_per_second"] > 0
    assert found["tokens_per_row"] > 0


def test_stored_results_are_scored_without_a_model(cli, gold, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("llmcli.pipelines.load.load", None)
    for name, text in (
        ("s.jsonl", '{"id": "2", "status": "ok", "label": "negative", "score": 0.7, "model": "m"}\n'
                    '{"id": "1", "status": "ok", "label": "positive", "score": 0.9, "model": "m"}\n'
                    '{"id": "3", "status": "error", "error": {"code": "x"}}\n'
                    '{"id": "4", "status": "ok", "label": "positive", "score": 0.9, "model": "m"}\n'),
        ("s.csv", "id,label,score,status,error\n1,positive,0.9,ok,\n"
                  "2,negative,0.7,ok,\n3,,,error,x\n4,positive,0.9,ok,\n"),
    ):  # fmt: skip
        (tmp_path / name).write_text(text)
        done = cli("evaluate", "classify", gold, *FIELDS, "--results", str(tmp_path / name), "--json")
        found = json.loads(done.out)
        assert (found["scores"]["accuracy"]["value"], found["failed"]) == (0.5, 1), done.err


def test_labels_that_cannot_be_given_are_said(cli, gold, fake):
    done = cli("evaluate", "classify", gold, *FIELDS, "--labels", "positive,other")
    assert "cannot be right on 3 of 4 rows: their labels are not among those to choose from: negative" in done.err
    assert "cannot be right" not in cli("evaluate", "classify", gold, *FIELDS, "--labels", "positive,negative").err


def test_a_classifier_has_labels_of_its_own(cli, checkpoint, tmp_path: Path):
    (tmp_path / "gold.jsonl").write_text('{"text": "good", "label": "GOOD"}\n{"text": "bad", "label": "BAD"}\n')
    model = checkpoint("distilbert", labels=("BAD", "GOOD"))
    done = cli("evaluate", "sentiment", str(tmp_path / "gold.jsonl"), "-m", str(model))
    assert (done.code, "cannot be right" in done.err) == (0, False), done.err


def test_two_runs_are_compared(cli, gold, tmp_path: Path):
    for name, labels in (("one", "pppn"), ("two", "pnnn")):
        lines = [json.dumps({"id": str(place), "status": "ok", "label": NAMES[label], "score": 0.8})
                 for place, label in enumerate(labels, 1)]  # fmt: skip
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    files = [argument for name in ("one", "two") for argument in ("--results", str(tmp_path / f"{name}.jsonl"))]
    done = cli("compare", "classify", gold, *FIELDS, *files, "--json", "--svg", str(tmp_path / "x.svg"))
    (pair,) = json.loads(done.out)["differences"]
    assert (pair["gain"], pair["fixed"], pair["broke"], pair["p"]) == (0.5, ["2", "3"], [], 0.5)
    assert (tmp_path / "x.svg").read_text().count("<circle") == 6
    assert cli("compare", "classify", gold, *FIELDS, *files, "--margin", "0.1").code == 0
    assert cli("compare", "classify", gold, *FIELDS, *files[2:], *files[:2], "--margin", "0.1").code == 1
    assert "two against one: accuracy +0.500" in cli("compare", "classify", gold, *FIELDS, *files).out


def test_rows_that_were_trained_on_are_refused(cli, fake, gold, tmp_path: Path, checkpoint):
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "model.yaml").write_text(f"name: made\nsource: {{path: {checkpoint('gemma3')}}}\npipeline: causal\n")
    seen = [json.dumps({"digest": digest(Record(id=0, text=text)), "side": side})
            for text, side in (("GOOD one.", "train"), ("poor", "test"))]  # fmt: skip
    (folder / "rows.jsonl").write_text("\n".join(seen))
    done = cli("evaluate", "classify", gold, *FIELDS, "-m", str(folder))
    assert (done.code, "error[leaked]" in done.err, "1 of these 4 rows" in done.err) == (2, True, True)
    left = cli("evaluate", "classify", gold, *FIELDS, "-m", str(folder), "--drop-seen", "--json", "-q")
    assert json.loads(left.out)["rows"] == 3
    (folder / "rows.jsonl").write_text("{")
    assert "rows.jsonl: damaged" in cli("evaluate", "classify", gold, *FIELDS, "-m", str(folder)).err


@pytest.mark.parametrize(
    "arguments, stdin, code, said",
    [
        (["--label-field", "sort"], ROWS, 3, "the columns are: id, body, team"),
        (["--field", "text"], ROWS, 3, "it has id, body, team"),
        ([], "", 3, "empty"),
        (["--results", "nothing.jsonl"], ROWS, 3, "No such file"),
        (["-m", "no-such-model"], ROWS, 4, "no model named"),
    ],
)
def test_what_cannot_be_is_one_line(cli, fake, arguments, stdin, code, said):
    done = cli(
        "evaluate", "classify", "-", "--csv", "--field", "body", "--label-field", "team", *arguments, stdin=stdin
    )
    assert (done.code, done.err.count("\n")) == (code, 1), done.err
    assert said in done.err


def test_texts_alone_cannot_be_scored(cli, fake):
    done = cli("evaluate", "sentiment", "-", stdin="good")
    assert (done.code, "labelled rows have fields" in done.err) == (2, True)


def test_a_model_with_other_labels_is_told_from_a_bad_one(cli, fake, gold):
    done = cli("evaluate", "classify", gold, *FIELDS, "--labels", "x,y", "-q")
    assert "error[other-labels]" in done.err


def test_chats_and_completions_are_scored_by_their_last_word(cli, fake):
    rows = [{"prompt": "hello", "completion": "HELLO"},
            {"messages": [{"role": "user", "content": "b"}, {"role": "assistant", "content": "B"}]}]  # fmt: skip
    done = cli("evaluate", "generate", "-", "--jsonl", "--json", "-q", stdin="\n".join(map(json.dumps, rows)))
    assert json.loads(done.out)["scores"]["exact match"]["value"] == 1.0, done.err


def test_a_row_without_a_label_is_left_out_and_said(cli, fake, gold):
    Path(gold).write_text(ROWS + "5,no label,\n")
    done = cli("evaluate", "sentiment", gold, *FIELDS, "--json")
    assert json.loads(done.out)["rows"] == 4
    assert "a row has one label" in done.err
    assert "1 of 5 rows cannot be used" in done.err


@pytest.mark.parametrize(("picture", "code"), [("gold.csv", 2), ("r.jsonl", 2), ("none/x.svg", 10), (".", 2)])
def test_a_picture_takes_the_place_of_nothing(cli, fake, gold, tmp_path: Path, monkeypatch, picture: str, code: int):
    monkeypatch.chdir(tmp_path)
    Path("r.jsonl").write_text('{"id": "1", "label": "positive"}\n')
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    done = cli("compare", "sentiment", gold, *FIELDS, "--results", "r.jsonl", "--results", "r.jsonl", "--svg", picture)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1), done.err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name in before} == before
    assert fake.prompts == []


@pytest.mark.parametrize("score", ["nan", "inf", "-1", "2", "x", ""])
def test_a_stored_score_that_is_no_probability_is_none(cli, gold, tmp_path: Path, score: str):
    rows = "".join(f"{place},positive,{score},ok,\n" for place in range(1, 5))
    (tmp_path / "s.csv").write_text(f"id,label,score,status,error\n{rows}")
    done = cli("evaluate", "classify", gold, *FIELDS, "--results", str(tmp_path / "s.csv"), "--json")
    assert (done.code, done.err) == (0, "")
    assert "calibration error" not in json.loads(done.out)["scores"]


ASKED: dict[str, Callable[[str], dict[str, Any]]] = {
    "question": lambda said: {"question": said},
    "messages": lambda said: {"messages": [{"role": "user", "content": said}]},
    "body": lambda said: {"body": {"messages": [{"role": "user", "content": said}]}},
}


@pytest.mark.parametrize("fields", ASKED.values(), ids=ASKED)
def test_rows_that_ask_differently_are_not_the_same(fields: Callable[[str], dict[str, Any]]):
    one, again, other = (digest(Record(id=0, text="", fields=fields(said))) for said in ("who?", "WHO", "where?"))
    assert (one == again, one == other) == (True, False)
