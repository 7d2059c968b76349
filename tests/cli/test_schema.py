"""llmcli schema TASK: what each task prints is valid by it, and what is not so is not."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from llmcli import tasks
from llmcli.run import fields
from tests.support import formats

WRONG = [{}]
"""No field may have this value."""
ROWS: dict[str, list[tuple[list[str], str]]] = {
    # task: a plain call and its input, then those that make it give all its fields
    "generate": [(["hm?"], ""), (["-n", "2", "hm"], "")],
    "code": [(["a function"], ""), (["-n", "2", "a function"], "")],
    "summarize": [([], "A cat slept. Rain fell on it.")],
    "translate": [(["-t", "fr", "-f", "en"], "Hi there.")],
    "sentiment": [([], "good"), (["--all-scores", "--explain"], "good")],
    "classify": [(["--labels", "a,b"], "good"),
                 (["--labels", "a,b", "--all-scores", "--multi", "--explain"], "good")],
    "answer": [(["who?"], "hello there"), (["who?", "--explain"], "hello there"), (["--free", "who?"], "he")],
    "embed": [([], "good")],
    "similar": [(["good"], "good\nbad")],
    "dedupe": [([], "good\nbad"), (["--groups"], "good\ngood"), (["--check"], "good\ngood")],
}  # fmt: skip


@pytest.mark.parametrize("task", tasks.names())
def test_rows_are_as_they_are_declared(cli, fake, monkeypatch: pytest.MonkeyPatch, task: str):
    monkeypatch.setattr(fake, "complete", thoughtful(fake.complete))
    validator, seen = schema(cli, task), set[str]()
    for arguments, stdin in ROWS[task]:
        done = cli(task, "--json", *arguments, stdin=stdin)
        for row in map(json.loads, done.out.splitlines()):
            validator.validate(row)
            assert [*row] == [name for name in declared(task) if name in row], done.err
            seen |= {*row}
    assert {*declared(task)} - seen == {"file", "cost"} | ({"scored_by"} & {*declared(task)})


def declared(task: str) -> list[str]:
    return [field.name for field in (*fields.FIRST, *tasks.get(task).fields, *fields.LAST)]


def schema(cli: Any, task: str) -> Draft202012Validator:
    """What the command prints, which must be a schema itself."""
    done = cli("schema", task)
    assert (done.code, done.err) == (0, "")
    printed = json.loads(done.out)
    Draft202012Validator.check_schema(printed)
    return Draft202012Validator(printed)


def thoughtful(complete: Any) -> Any:
    """The fake model, thinking before it answers."""

    def think(prompts: Any, generation: Any, *, emit: Any = None) -> Any:
        made = complete(prompts, generation)
        return [[replace(one, text=f"<think>hm</think>{one.text}") for one in some] for some in made]

    return think


SPECIAL = {
    "detected": (["translate", "--detect", "--json"], "The cat sleeps on the bed.", "language"),
    "checked": (["translate", "--check", "-f", "en", "-t", "fr", "-i", "a.md", "--against", "b.md", "--json"], "",
                "segments"),
    "its cost": (["sentiment", "--cost", "--json"], "good", "cost"),
    "of several files": (["sentiment", "-i", "a.md", "-i", "b.md", "--json"], "", "file"),
    "merged": (["classify", "--labels", "a,b", "--jsonl", "--merge"], '{"text": "good", "score": "x"}\n',
               "input_score"),
    "failed": (["answer", "--jsonl"], "{}\n", "error"),
    "failed in a file": (["sentiment", "-i", "a.md", "-i", "empty.md", "--json"], "", "file"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPECIAL)
def test_special_rows(cli, fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str):
    monkeypatch.chdir(tmp_path)
    Path("a.md").write_text("It costs 5 euros.\n")
    Path("empty.md").touch()
    Path("b.md").write_text("Cela coûte 6 euros.\n")
    arguments, stdin, field = SPECIAL[name]
    done = cli(*arguments, stdin=stdin)
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert all(field in row for row in rows), done.err
    assert rows
    for row in rows:
        schema(cli, arguments[0]).validate(row)


@pytest.mark.parametrize("task", tasks.names())
def test_a_row_that_is_not_so_is_not_valid(cli, fake, task: str):
    validator = schema(cli, task)
    arguments, stdin = ROWS[task][0]
    failed = json.loads(cli("sentiment", "--jsonl", stdin="{}\n").out)
    for row in (json.loads(cli(task, "--json", *arguments, stdin=stdin).out.splitlines()[0]), failed):
        optional = {"continued"} & {*row}
        for name in row:
            assert validator.is_valid({key: value for key, value in row.items() if key != name}) == (name in optional)
            assert not validator.is_valid(row | {name: WRONG}), name
        assert not validator.is_valid(row | {"status": "well"})


def test_what_is_in_a_field_is_checked_too(cli, fake):
    row = json.loads(cli("sentiment", "--explain", "--all-scores", "--json", stdin="a good day").out)
    part = row["explanation"]["parts"][0]
    del part["effect"]
    assert not schema(cli, "sentiment").is_valid(row)
    assert not schema(cli, "sentiment").is_valid(row | {"scores": {"positive": "0.9"}})


CHECKPOINTS = {
    "generate": ("gpt2", ["the cat", "--max-new-tokens", "3"], ""),
    "code": ("llama", ["a cat", "--max-new-tokens", "3"], ""),
    "summarize": ("bart", [], "the cat sleeps on the old bridge"),
    "translate": ("marian", ["-t", "fr", "-f", "en"], "the cat sleeps"),
    "sentiment": ("distilbert", ["--all-scores", "--explain"], "a good day"),
    "classify": ("nli", ["--labels", "sea,river", "--multi"], "a good day"),
    "answer": ("qa", ["where?"], "the cat sleeps on the old bridge"),
    "embed": ("encoder", [], "the cat"), "similar": ("encoder", ["cat"], "the cat"),
    "dedupe": ("encoder", [], "the cat\nthe cat"),
}  # fmt: skip


@pytest.mark.parametrize("task", CHECKPOINTS)
def test_rows_of_checkpoints(cli, checkpoint, task: str):
    name, arguments, stdin = CHECKPOINTS[task]
    done = cli(task, "--json", "-m", str(checkpoint(name)), *arguments, stdin=stdin)
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["status"] for row in rows] == ["ok"], done.err
    schema(cli, task).validate(rows[0])


@pytest.mark.parametrize(("name", "said"), [("sentimnt", "did you mean sentiment?"), ("x", "tasks: answer, classify,")])
def test_no_such_task(cli, name: str, said: str):
    done = cli("schema", name)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_the_page_has_a_table_for_each_declaration():
    page = formats.TARGET.read_text("utf-8")
    with pytest.raises(ValueError, match="embbed"):
        formats.text(page.replace("### embed", "### embbed"))


def test_nothing_heavy_is_imported():
    code = (
        "import sys; sys.argv = ['llmcli', 'schema', 'classify']\n"
        "from llmcli.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
