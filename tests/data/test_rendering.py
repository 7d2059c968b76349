"""What results look like: names that are free, a line for a line, JSON that can be written."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from llmcli.data import rendering
from llmcli.data.rendering import Table
from llmcli.run.records import Record, Result

FIRST = ["id", "text", "label", "score", "status", "error"]
SECOND = [f"sentiment_{name}" for name in FIRST[2:]]


def test_a_table_may_be_its_own_input(cli, fake, tmp_path):
    source = tmp_path / "0.csv"
    source.write_text("id,text\n1,good\n")
    for turn in range(1, 4):
        target = tmp_path / f"{turn}.csv"
        assert cli("sentiment", "-i", str(source), "-o", str(target)).code == 0
        source = target
    (header, row) = csv.reader(io.StringIO(source.read_text()))
    assert header == [*FIRST, *SECOND, *(f"{name}_2" for name in SECOND)]
    assert row[2::4] == ["positive"] * 3


MERGED = {
    "a name that is taken": ({"label": "b"}, {"label": "a", "input_label": "b"}),
    "and so is the other": ({"input_label": "c", "label": "b"},
                            {"label": "a", "input_label": "c", "input_label_2": "b"}),
    "in either order": ({"label": "b", "input_label": "c"}, {"label": "a", "input_label": "c", "input_label_2": "b"}),
    "the same value": ({"label": "a"}, {"label": "a"}),
    "status too": ({"status": "new"}, {"status": "ok", "input_status": "new"}),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "values"), MERGED.values(), ids=MERGED)
def test_merge_overwrites_nothing(fields: dict[str, str], values: dict[str, str]):
    result = Result(1, {"label": "a"}, record=Record(id=1, text="x", fields=fields))
    merged = rendering.obj(result, merge=True)
    assert values.items() <= merged.items()
    assert {name for name in merged if name.startswith("input_label")} <= {*values}


CELLS = {
    "plain": ("good", "good"),
    "a comma": ("a,b", '"a,b"'),
    "a quote": ('a "b"', '"a ""b"""'),
    "a line break": ("a\nb", '"a\nb"'),
    "a lone carriage return": ("a\rb", '"a\rb"'),
    "empty": ("", '""'),
}


@pytest.mark.parametrize(("cell", "written"), CELLS.values(), ids=CELLS)
def test_cells(cell: str, written: str):
    table = Table("x", [], delimiter=",", whole=True, quotes=True)
    text = table.row(Result(1, record=Record(id=1, text="x", fields={"text": cell})))
    assert text == f"text\n{written}\n"
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["text"], [cell]]


def test_a_table_without_quotes():
    table = Table("x", ["text"], delimiter="\t", whole=True, quotes=False)
    record = Record(id=1, text="x", fields={"a": '"b"'})
    assert table.row(Result(1, {"text": "a\tb\nc"}, record=record)) == 'a\ttext\n"b"\ta b c\n'


LINES = {
    "a line without text": ("sentiment", [], "good\n\nbad\n", ["positive\t0.9863", "", "negative\t0.9096"]),
    "a line of bytes": ("sentiment", [], "good\n\udcff\n", ["positive\t0.9863", ""]),
    "rows of a label": ("sentiment", ["--grep", "positive"], "good\n\nbad\n", ["good"]),
    "answers of several lines": ("generate", ["-n", "2"], "a\nb\n", ["A A", "B B"]),
}


@pytest.mark.parametrize(("task", "arguments", "stdin", "lines"), LINES.values(), ids=LINES)
def test_a_line_in_a_line_out(cli, fake, monkeypatch, task, arguments, stdin, lines):
    done = cli(task, "--lines", *arguments, stdin=stdin.encode("utf-8", "surrogateescape"))
    assert done.out.splitlines() == lines
    assert done.err.count("error[") >= lines.count("")


@pytest.mark.parametrize("task", ["generate", "code"])
def test_line_breaks_of_an_answer_become_blanks(cli, fake, monkeypatch, task):
    complete = fake.complete
    monkeypatch.setattr(fake, "complete", lambda *args, **options: [
        [replace(made, text="red\n\n  green\r\nblue\n") for made in row] for row in complete(*args, **options)
    ])  # fmt: skip
    done = cli(task, "--lines", stdin="Three colors.\nAnd three more.\n")
    assert done.out == "red green blue\n" * 2
    assert json.loads(cli(task, "--lines", "--json", stdin="Three colors.\n").out)["text"].count("\n") >= 2


def test_json_can_always_be_written():
    text = rendering.dumps({"a\ud83d": "é\udce9", "b": "é"})
    assert json.loads(text.encode()) == {"a\ud83d": "é\udce9", "b": "é"}
