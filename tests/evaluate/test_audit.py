"""``llmcli audit``: what changes in rows, and what is told of the answers; on the fake model."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from llmcli.evaluate import swaps
from llmcli.text.prompts import Rendered

CHANGES = {
    "small letters": ("names", "emily wrote it", "lakisha wrote it"),
    "a capital": ("names", "Emily and GREG.", "Lakisha and JAMAL."),
    "back": ("names", "Jamal's film", "Greg's film"),
    "whole words": ("names", "the bend of Benjamin", None),
    "both ways": ("gender", "He saw her.", "She saw his."),
    "several words": ("age", "in old age, a young man", "in youth, an old man"),
    "nationality": ("nationality", "An American in Paris, a German", "A Nigerian in Algiers, a Turkish"),
    "an article": ("nationality", "a canadian, A SWISS, a French", "a mexican, AN AFGHAN, an Algerian"),
    "capitals": ("case", "Good film.", "GOOD FILM."),
    "small": ("case", "GOOD!", "good!"),
    "letters without a case of their own": (
        "gender",
        "H\u0131s, h\u0130s, \u017fhe, his",
        "H\u0131s, h\u0130s, \u017fhe, her",
    ),
    "no letters": ("case", "123", None),
    "no word is long enough": ("typos", "a bad one", None),
    "the first alone": ("negation", "it is good and is fun", "it is not good and is fun"),
}


@pytest.mark.parametrize(("name", "text", "expected"), CHANGES.values(), ids=CHANGES)
def test_changes(name: str, text: str, expected: str | None):
    changed = swaps.swap(name).change(text)
    assert (changed.text if changed else None) == expected


def test_typing_errors_are_the_same_each_time():
    text = "This wonderful picture deserves every prize that there ever was."
    one, other = (swaps.swap("typos").change(text) for _ in range(2))
    assert one == other
    assert one is not None
    assert sorted(one.text) == sorted(text) != one.text
    assert len(one.what) == 1


@pytest.mark.parametrize("name", [name for name in swaps.names() if name not in swaps.OWN])
def test_shipped_lists_have_pairs_of_terms(name: str):
    assert swaps.swap(name).change("he emily american young is") is not None


def audit(cli, *arguments: str, rows: list[str], code: int = 0) -> str:
    stdin = "".join(json.dumps({"text": row}) + "\n" for row in rows)
    done = cli("audit", *arguments, "--jsonl", "-q", stdin=stdin)
    assert done.code == code, done.err
    return done.out


def test_labels_that_change(cli, fake, tmp_path: Path):
    """The fake model likes the word good, and nothing else."""
    (tmp_path / "own.tsv").write_text("# mine\ngood\tfine\n")
    rows = ["a good day", "a fine day", "a dull day", "good work"]
    value = json.loads(audit(cli, "sentiment", "--swap", str(tmp_path / "own.tsv"), "--json", rows=rows))
    assert (value["rows"], value["compared"], value["without"], value["changed"]) == (4, 3, 1, 3)
    (shift,) = value["shifts"]
    assert shift["label"] == "positive"
    assert shift["mean"] == pytest.approx(-0.896, abs=1e-3)
    assert shift["low"] <= shift["mean"] <= shift["high"]
    assert value["worst"][0]["labels"] == ["positive", "negative"]
    assert "does not tell which answer is right" in value["measures_not"]


LIMITS = {"none": ([], 0), "met": (["--limit", "1"], 0), "passed": (["--limit", "0.5"], 1)}


@pytest.mark.parametrize(("limit", "code"), LIMITS.values(), ids=LIMITS)
def test_limit(cli, fake, tmp_path: Path, limit: list[str], code: int):
    (tmp_path / "own.tsv").write_text("good\tfine\n")
    out = audit(cli, "sentiment", "--swap", str(tmp_path / "own.tsv"), *limit, rows=["good", "a good day"], code=code)
    assert "labels that changed: 2 of 2, 1.000" in out
    assert "good → fine" in out


def test_a_denial_should_change_the_label(cli, fake):
    out = audit(cli, "sentiment", "--swap", "negation", "--limit", "0.5", rows=["it is good"], code=1)
    assert "labels that changed: 0 of 1" in out
    assert "after a denial they should" in out


def test_labels_of_ones_own(cli, fake):
    value = json.loads(audit(cli, "classify", "--labels", "x,y,z", "--swap", "case", "--json", rows=["so good", "no"]))
    assert [shift["label"] for shift in value["shifts"]] == ["x", "y", "z"]
    assert value["compared"] == 2


def test_likelihood_of_pairs(cli, fake, monkeypatch: pytest.MonkeyPatch):
    """The fake finds a longer text less likely, a word costs as many nats as the text has letters."""
    seen: list[Rendered] = []
    before = fake.likelihood
    monkeypatch.setattr(fake, "likelihood", lambda prompts, texts: seen.extend(prompts) or before(prompts, texts))
    rows = ["he came", "she came", "nobody came"]
    value = json.loads(audit(cli, "generate", "--swap", "gender", "--json", rows=rows))
    assert (value["rows"], value["compared"], value["first_likelier"]) == (3, 2, 2)
    assert value["gain"]["mean"] == pytest.approx(-2.0)
    assert {prompt.prefix for prompt in seen} == {"\n"}
    assert "likelier with the first column: 2 of 2" in audit(cli, "generate", "--swap", "gender", rows=rows)
    audit(cli, "generate", "--swap", "gender", "--limit", "0.4", rows=rows, code=1)


ERRORS = {
    "no such list": (["--swap", "colours"], '{"text": "x"}\n', 2, "no list colours"),
    "nothing to change": (["--swap", "names"], '{"text": "x"}\n', 3, "error[nothing-to-swap]"),
    "no rows": (["--swap", "names"], "", 3, "error[empty]"),
    "no list given": ([], '{"text": "x"}\n', 2, "--swap"),
    "a bad limit": (["--swap", "names", "--limit", "2"], '{"text": "x"}\n', 2, "--limit"),
}


@pytest.mark.parametrize(("arguments", "stdin", "code", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_are_one_line(cli, fake, arguments: list[str], stdin: str, code: int, message: str):
    done = cli("audit", "sentiment", *arguments, "--jsonl", "-q", stdin=stdin)
    assert (done.code, done.out) == (code, ""), done.err
    assert message in done.err
    assert done.err.count("\n") == 1


BAD = {"one column": b"a\n", "three": b"a\tb\tc\n", "the same": b"a\tA\n", "empty": b"# none\n", "bytes": b"\xff\tb\n"}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_a_list_that_is_none(cli, fake, tmp_path: Path, content: bytes):
    (tmp_path / "own.tsv").write_bytes(content)
    done = cli("audit", "sentiment", "--swap", str(tmp_path / "own.tsv"), "--jsonl", stdin='{"text": "x"}\n')
    assert done.code in (2, 3)
    assert done.err.count("\n") == 1


def test_a_broken_row_is_said_and_left_out(cli, fake):
    done = cli("audit", "sentiment", "--swap", "case", "--jsonl", "--json", stdin='{"text": "good"}\n{"text": 1}\n')
    assert json.loads(done.out)["rows"] == 1
    assert "1 of 2 rows cannot be used" in done.err


def test_lines_and_a_list_from_a_pipe(cli, fake, tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("good\tfine\n"))
    writer.start()
    done = cli("audit", "sentiment", "--swap", str(pipe), "--lines", "--json", stdin="good day\nno\ngood\n")
    writer.join()
    value = json.loads(done.out)
    assert (value["rows"], value["compared"]) == (3, 2)
