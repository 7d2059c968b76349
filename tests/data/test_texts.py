"""What makes a row's text: templates, messages, and how long it may be; and where an answer stands in the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROWS = '{"title": "A", "body": {"text": "good"}, "n": 3}\n'
TEMPLATES = {
    # name: options, stdin, the text that is read (None: an error row), what is said
    "two fields": (["--template", "{title}: {body.text}"], ROWS, "A: good", ""),
    "a number": (["--template", "{n} x"], ROWS, "3 x", ""),
    "an object": (["--template", "{body}"], ROWS, '{"text": "good"}', ""),
    "a missing field": (["--template", "{nope}"], ROWS, None, "the field 'nope' is missing"),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template(cli, fake, name: str):
    options, stdin, text, said = TEMPLATES[name]
    done = cli("generate", "--raw", "--jsonl", *options, stdin=stdin)
    assert [prompt.row for prompt in fake.prompts] == ([] if text is None else [text])
    assert (done.code, said in done.err) == (0 if text else 5, True)


def test_a_template_of_columns(cli, fake):
    assert cli("generate", "--raw", "--csv", "--template", "{a}-{b}", stdin="a,b\n1,2\n").code == 0
    assert fake.prompts[0].row == "1-2"


@pytest.mark.parametrize("options", [["--template", "{a}", "--field", "a", "--jsonl"], ["--template", "{a}"]])
def test_a_template_that_makes_no_sense(cli, fake, options: list[str]):
    done = cli("sentiment", *options, stdin="x")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--template" in done.err


def test_messages_are_a_chat(cli, fake):
    said = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Who?"},
    ]
    assert cli("generate", "--jsonl", "--system", "Be brief.", stdin=json.dumps({"messages": said}) + "\n").code == 0
    assert [dict(message) for message in fake.prompts[0].messages] == [
        {"role": "system", "content": "Be brief."},
        *said,
    ]


def test_earlier_messages_are_part_of_what_a_resumed_run_looks_for(cli, fake, tmp_path: Path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    for first in ("Hi", "Bye"):
        said = [
            {"role": role, "content": text} for role, text in (("user", first), ("assistant", "?"), ("user", "Who?"))
        ]
        source.write_text(json.dumps({"messages": said}) + "\n")
        assert cli("generate", "-i", str(source), "-o", str(out), "--resume").code == 0
    assert [prompt.messages[0]["content"] for prompt in fake.prompts] == ["Hi", "Bye"]


def test_a_text_has_a_limit(cli, fake):
    done = cli("sentiment", "--max-chars", "3", "--lines", stdin="good\nbad\n")
    assert (done.code, done.out) == (5, "\nnegative\t0.9096\n")
    assert "4 characters, and --max-chars allows 3" in done.err


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_an_answer_stands_where_the_file_has_it(cli, fake, tmp_path: Path, mark: bytes, end: bytes, monkeypatch):
    from llmcli.pipelines.protocol import Span

    lines = [b"The car", b"is red", b"and new."]
    path = tmp_path / "car.txt"
    path.write_bytes(mark + end.join(lines))

    def spans(pairs, *, prompts=(), ending=""):
        return [Span("red", text.index("red"), text.index("red") + 3, 0.9, 0.001, 1) for _, text in pairs]

    monkeypatch.setattr(fake, "spans", spans)
    row = json.loads(cli("answer", "What colour?", "-i", str(path), "--json").out)
    assert path.read_bytes().decode()[row["start"] : row["end"]] == row["text"] == "red"
