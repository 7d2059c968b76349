"""Formats: what is a row, what is its text and its id, and how several files are one input."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmcli.config.options import InputOptions, OutputOptions
from llmcli.config.run_config import RunOptions, format_of
from llmcli.data import inputs, readers
from llmcli.data.lines import LINE_CAP
from llmcli.run.records import Record, messages


def records(source: InputOptions) -> Iterator[Record]:
    options = RunOptions("x", source, OutputOptions(), None)
    return readers.read(options, inputs.listed(options))


def read(path: Path, **options: Any) -> list[tuple[Any, ...]]:
    """Id and text of each row, or the code of its error."""
    options = {"format": format_of(path)} | options
    return [
        (row.id, row.error.code if row.error else row.text) for row in records(InputOptions(input=[path], **options))
    ]


TABLES: dict[str, tuple[str, dict[str, Any], list[tuple[Any, str]]]] = {
    "quotes are literal": (
        'id\ttext\n1\t"Great" is the word\n2\t"I love it\n3\tthey call it "bad"\n4\t"Quoted whole"\n5\t5" screen\n', {},
        [("1", '"Great" is the word'), ("2", '"I love it'), ("3", 'they call it "bad"'), ("4", '"Quoted whole"'),
         ("5", '5" screen')]),
    "a whole quotation first": (
        'id\ttext\n1\t"whole"\n2\t"Great" word\n', {}, [("1", '"whole"'), ("2", '"Great" word')]),
    "a quotation alone": ('id\ttext\n1\t"whole"\n', {}, [("1", '"whole"')]),
    "quoted for a comma": ('id\ttext\n1\t"good, yes"\n', {}, [("1", "good, yes")]),
    "quotes doubled": ('id\ttext\n1\t"a ""good"" one"\n', {}, [("1", 'a "good" one')]),
    "quoted for a line break": ('id\ttext\n1\t"a\nb"\n2\tc\n', {}, [("1", "a\nb"), ("2", "c")]),
    "a quoted header": ('"id"\t"text"\n"1"\t"good"\n', {}, [("1", "good")]),
    "said: none": ('id\ttext\n1\t"good, yes"\n', {"quoting": "none"}, [("1", '"good, yes"')]),
    "said: double": ('id\ttext\n1\t"whole"\n', {"quoting": "double"}, [("1", "whole")]),
    "csv without quotes": ('id,text\n1,"good"\n', {"quoting": "none", "format": "csv"}, [("1", '"good"')]),
    "empty cells": ("id\ttext\n\t\n1\tgood\n", {}, [(1, "empty"), ("1", "good")]),
    "marks within quotes": ('id,"a;b;c;d",text\n1,x,good\n', {"format": "csv"}, [("1", "good")]),
    "sep=": ('sep=;\nid;text\n1;good, yes\n', {"format": "csv"}, [("1", "good, yes")]),
    "sep= with a mark and CRLF": ('\ufeffsep=|\r\nid|text\r\n1|good\r\n', {"format": "csv"}, [("1", "good")]),
    "blank lines before the header": ("\n\nid,text\n\n1,good\n", {"format": "csv"}, [("1", "good")]),
    "blanks behind commas": ('id, text\n1, I love it\n2, "good, yes"\n', {"format": "csv"},
                             [("1", "I love it"), ("2", "good, yes")]),
    "no header": ("1,good\n2,bad\n", {"format": "csv", "columns": "id,text"}, [("1", "good"), ("2", "bad")]),
    "no header, no ids": ("good\tx\nbad\ty\n", {"columns": "text,n"}, [(1, "good"), (2, "bad")]),
    "a broken row has its id": ('id,text\n7,"good"x\n8,a,b\n9\n', {"format": "csv"},
                                [("7", "bad-csv"), ("8", "bad-csv"), ("9", "bad-csv")]),
    "a lone carriage return": ('id,text\n1,"a\rb"\n', {"format": "csv"}, [("1", "a\rb")]),
    "ids that repeat": ("id,text\n1,good\n1,bad\n", {"format": "csv"}, [("1", "good"), ("1", "bad")]),
    "ids that must not repeat": ("id,text\n1,good\n1,bad\n", {"format": "csv", "id_field": "id"},
                                 [("1", "good"), ("1", "duplicate-id")]),
    "no ids": ("id,text\n7,good\n7,bad\n", {"format": "csv", "id_field": ""}, [(1, "good"), (2, "bad")]),
}  # fmt: skip


@pytest.mark.parametrize(("content", "options", "rows"), TABLES.values(), ids=TABLES)
def test_tables(tmp_path: Path, content: str, options: dict[str, Any], rows: list[tuple[Any, str]]):
    path = tmp_path / "x.tsv"
    path.write_bytes(content.encode())
    assert read(path, **options) == rows


ONE = '{"id": 1, "text": "good"}'
TWO = '{"id": 2, "text": "bad"}'
OBJECTS: dict[str, tuple[str, str, dict[str, Any], list[tuple[Any, str]]]] = {
    "an array": ("x.json", f"[{ONE},{TWO}]", {}, [(1, "good"), (2, "bad")]),
    "an array over lines": ("x.json", f"\ufeff[\n  {ONE},\n\n  {TWO}\n]\n", {}, [(1, "good"), (2, "bad")]),
    "an empty array": ("x.json", "[ ]", {}, []),
    "an array with a bad row": ("x.json", f'[{ONE}, {{"text": NaN}}, 5, {{"a": 1, "a": 2}}, {TWO}]', {},
                                [(1, "good"), (2, "bad-json"), (3, "bad-json"), (4, "bad-json"), (2, "bad")]),
    "an array that breaks off": ("x.json", f'[{ONE}, {{"text": "ba', {}, [(1, "good"), (3, "bad-json")]),
    "an array without a comma": ("x.json", f"[{ONE} {TWO}]", {}, [(1, "good"), (2, "bad-json")]),
    "two arrays": ("x.json", f"[{ONE}][{TWO}]", {}, [(1, "good"), (2, "bad-json")]),
    "lines in .json": ("x.json", f"{ONE}\n{TWO}\n", {}, [(1, "good"), (2, "bad")]),
    "nested": ("x.jsonl", '{"meta": {"text": "good"}}', {"field": "meta.text"}, [(1, "good")]),
    "nested in a list": ("x.jsonl", '{"a": [{"b": "x"}, {"b": "good"}]}', {"field": "a.1.b"}, [(1, "good")]),
    "a name with a dot": ("x.jsonl", '{"a.b": "good", "a": {"b": "bad"}}', {"field": "a.b"}, [(1, "good")]),
    "a nested id": ("x.jsonl", '{"a": {"b": "c"}, "text": "good"}', {"id_field": "a.b"}, [("c", "good")]),
    "no such field": ("x.jsonl", '{"meta": ["good"]}', {"field": "meta.text"}, [(1, "missing-field")]),
    "messages": ("x.jsonl", '{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}, '
                 '{"role": "assistant", "content": "a"}, {"role": "user", "content": "good"}]}', {}, [(1, "good")]),
    "a request of a batch": ("x.jsonl", '{"custom_id": "a", "body": {"messages": [{"role": "user", "content": '
                             '[{"type": "text", "text": "Say "}, {"type": "text", "text": "hi."}]}]}}', {},
                             [("a", "Say hi.")]),
    "messages without a user's": (
        "x.jsonl", '{"messages": [{"role": "system", "content": "s"}]}', {}, [(1, "bad-field")]),
    "messages with a picture": ("x.jsonl", '{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', {},
                                [(1, "bad-field")]),
    "messages, and a field that is named": ("x.jsonl", '{"messages": [{"role": "user", "content": "x"}]}',
                                            {"field": "body"}, [(1, "missing-field")]),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "options", "rows"), OBJECTS.values(), ids=OBJECTS)
def test_objects(tmp_path: Path, name: str, content: str, options: dict[str, Any], rows: list[tuple[Any, str]]):
    (tmp_path / name).write_bytes(content.encode())
    assert read(tmp_path / name, **options) == rows


def test_all_messages_of_a_row():
    said = [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}]
    assert messages({"body": {"messages": said}}) == said
    assert messages({"text": "hi"}) == []


BEGINNINGS = {"[{}]": "json", " [\n{": "json", "[]": "json", "[1]": "text", '{"a": 1}': "text", "": "text",
              '{\n"a": 1\n}\n': "text", '{"a": 1}\n{"b": 2}\n': "jsonl"}  # fmt: skip


@pytest.mark.parametrize(("content", "format"), BEGINNINGS.items())
def test_the_format_of_a_json_file(tmp_path: Path, content: str, format: str):
    (tmp_path / "x.json").write_text(content)
    assert format_of(tmp_path / "x.json") == format


COMPRESSED = {
    "rows": ("x.jsonl.gz", gzip.compress(f"{ONE}\n".encode() * 20_000), "good", 20_000),
    "two files put together": ("x.csv.gz", gzip.compress(b"text\ngood\n") + gzip.compress(b"good\n"), "good", 2),
    "padding": ("x.csv.gz", gzip.compress(b"text\ngood\n") + b"\0" * 600, "good", 1),
    "by its first bytes": ("x.csv", gzip.compress(b"text\ngood\n"), "good", 1),
    "a text": ("x.txt.gz", gzip.compress(b"\xef\xbb\xbfgood"), "good", 1),
    "an array": ("x.json.gz", gzip.compress(f"[{ONE}]".encode()), "good", 1),
}


@pytest.mark.parametrize(("name", "content", "text", "rows"), COMPRESSED.values(), ids=COMPRESSED)
def test_compressed(tmp_path: Path, name: str, content: bytes, text: str, rows: int):
    (tmp_path / name).write_bytes(content)
    assert [row[1] for row in read(tmp_path / name)] == [text] * rows


NO_TEXT = {
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "not-text", "pdftotext"),
    "zip": (b"PK\x03\x04\x14\0", "not-text", "unpack"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04", "not-text", "zstdcat"),
    "gzip that breaks off": (gzip.compress(b"text\n" + b"good\n" * 9)[:-12], "bad-gzip", ""),
    "gzip that is damaged": (gzip.compress(b"text\ngood\n")[:-8] + b"x" * 8, "bad-gzip", ""),
    "bytes": (b"\0\1\2\xff", "bad-utf8", "binary"),
    "Latin-1": (b"caf\xe9", "bad-utf8", "iconv"),
    "UTF-16": ("good".encode("utf-16"), "bad-utf8", "UTF-16"),
}


@pytest.mark.parametrize(("content", "code", "hint"), NO_TEXT.values(), ids=NO_TEXT)
@pytest.mark.parametrize("arguments", [["sentiment"], ["sentiment", "--lines"], ["sentiment", "--csv"]])
def test_no_text(cli, fake, content: bytes, code: str, hint: str, arguments: list[str]):
    done = cli(*arguments, stdin=content)
    assert (done.code in (3, 5), f"error[{code}]" in done.err, hint in done.err) == (True, True, True), done.err


def test_a_header_that_is_too_long(cli, fake):
    done = cli("sentiment", "--csv", stdin=b"text," + b"x" * LINE_CAP + b"\ngood,1\n")
    assert (done.code, done.out, "error[line-too-long]" in done.err) == (3, "", True)


class TestSeveralFiles:
    def test_columns_in_another_order(self, cli, fake, tmp_path: Path):
        a, b = tmp_path / "a.csv", tmp_path / "b.csv"
        a.write_text("id,text,note\n1,good,x\n")
        b.write_text("text;note;id\nbad;y;2\n")
        out = cli("sentiment", "-i", str(a), "-i", str(b)).out
        assert out == (f"id,text,note,file,label,score,status,error\n1,good,x,{a},positive,0.986319,ok,\n"
                       f"2,bad,y,{b},negative,0.90965,ok,\n")  # fmt: skip

    def test_other_columns(self, cli, fake, tmp_path: Path):
        a, b = tmp_path / "a.csv", tmp_path / "b.csv"
        a.write_text("id,text\n1,good\n")
        b.write_text("id,text,note\n1,good,x\n")
        done = cli("sentiment", "-i", str(a), "-i", str(b))
        assert (done.code, done.out, "'note'" in done.err, done.err.count("\n")) == (2, "", True, 1)

    def test_results_say_which_file(self, cli, fake, tmp_path: Path):
        for name in ("a.jsonl", "b.jsonl"):
            (tmp_path / name).write_text('{"id": 1, "text": "good"}\n')
        arguments = ["-i", str(tmp_path / "a.jsonl"), "-i", str(tmp_path / "b.jsonl")]
        done = cli("sentiment", *arguments)
        assert [json.loads(line)["file"] for line in done.out.splitlines()] == arguments[1::2]
        assert (done.code, "seen before" in done.err) == (0, True)
        done = cli("sentiment", *arguments, "--id-field", "id")
        assert (done.code, "b.jsonl:1: error[duplicate-id]" in done.err) == (5, True)

    def test_files_of_a_folder_that_cannot_be_read(self, cli, fake, tmp_path: Path, monkeypatch):
        """Permissions do not stop a superuser: the system's answer is replaced."""
        docs = tmp_path / "docs"
        for name in ("a.txt", "b.txt", "deep/c.txt", "deeper/d.txt"):
            (docs / name).parent.mkdir(parents=True, exist_ok=True)
            (docs / name).write_text("good")
        opened, scanned = Path.open, os.scandir

        def deny(path: Path, *arguments: Any, **options: Any) -> Any:
            if path.name == "b.txt":
                raise PermissionError(13, "Permission denied", str(path))
            return opened(path, *arguments, **options)

        def deny_folder(path: Any) -> Any:
            if str(path).endswith("deep"):
                raise PermissionError(13, "Permission denied", str(path))
            return scanned(path)

        monkeypatch.setattr(Path, "open", deny)
        monkeypatch.setattr(os, "scandir", deny_folder)
        done = cli("sentiment", "--json", "-i", str(docs))
        found = {row["id"]: row.get("error", {}).get("code") for row in map(json.loads, done.out.splitlines())}
        assert found == {"a.txt": None, "b.txt": "unreadable", "deep": "unreadable", "deeper/d.txt": None}
        assert (done.code, done.err.count("Permission denied")) == (5, 2)

    def test_a_named_file_is_looked_at_first(self, cli, fake, tmp_path: Path):
        (tmp_path / "a.txt").write_text("good")
        done = cli("sentiment", "-i", str(tmp_path / "a.txt"), "-i", str(tmp_path / "no.txt"))
        assert (done.code, done.out, fake.prompts) == (3, "", [])


NAMES = {b"caf\xe9.txt": "caf\\xe9.txt", b"caf\xc3\xa9.txt": "caf\u00e9.txt", b"a\\xe9.txt": "a\\\\xe9.txt",
         b"a\x1b[31m\nb.txt": "a\\x1b[31m\\x0ab.txt"}  # fmt: skip


@pytest.mark.parametrize(("raw", "shown"), NAMES.items())
def test_names_of_files(cli, fake, tmp_path: Path, raw: bytes, shown: str):
    (tmp_path / "docs").mkdir()
    path = os.path.join(os.fsencode(tmp_path / "docs"), raw)
    with open(path, "wb") as stream:
        stream.write(b"good")
    out = tmp_path / "out.jsonl"
    for arguments in ([], ["--resume"], ["--retry-failed"]):
        assert cli("sentiment", "-i", str(tmp_path / "docs"), "-o", str(out), *arguments).code == 0
        assert json.loads(out.read_text())["id"] == shown
    assert cli("sentiment", "-i", str(tmp_path / "docs"), "-o", str(tmp_path / "labels")).code == 0
    assert raw in os.listdir(os.fsencode(tmp_path / "labels"))
    os.unlink(path)
    assert shown in cli("sentiment", "-i", os.fsdecode(path)).err


NOT_UTF8 = {
    "labels": ["classify", "--labels", "good,b\udce9d", "x"],
    "an example": ["classify", "--labels", "a,b", "--example", "a: \udce9", "x"],
    "a question": ["answer", "wh\udce9re?"],
    "a text": ["sentiment", "caf\udce9"],
    "a stop": ["generate", "--stop", "\udce9", "x"],
    "a model": ["sentiment", "-m", "\udce9", "x"],
}


@pytest.mark.parametrize("arguments", NOT_UTF8.values(), ids=NOT_UTF8)
def test_options_that_are_not_utf8(cli, fake, arguments: list[str]):
    done = cli(*arguments, stdin="text")
    assert (done.code, done.err.count("\n"), "is not UTF-8" in done.err) == (2, 1, True)


BESIDE = {
    "an id": '{"id": "a\\ud83d", "text": "good"}',
    "a field": '{"id": 1, "text": "good", "author": "x\\ud83d"}',
    "a number": '{"id": 1, "text": "good", "price": 1e400}',
}


@pytest.mark.parametrize("line", BESIDE.values(), ids=BESIDE)
def test_what_stands_beside_the_text(cli, fake, tmp_path: Path, line: str):
    """The row is an error in its place; its neighbour is answered, and a resumed run ends too."""
    (tmp_path / "x.jsonl").write_text(f'{line}\n{{"id": "b", "text": "bad"}}\n')
    for arguments in ([], ["--resume"], ["--retry-failed"], ["--no-resume", "--merge"]):
        out = tmp_path / "y.jsonl"
        assert cli("sentiment", "-i", str(tmp_path / "x.jsonl"), "-o", str(out), *arguments).code == 5
        assert [json.loads(row)["status"] for row in out.read_bytes().decode().splitlines()] == ["error", "ok"]


def test_a_question_with_a_surrogate(cli, fake):
    rows = ['{"context": "The sky is blue.", "question": "What colour\\ud83d is it?"}',
            '{"context": "The sky is blue.", "question": "What colour is it?"}']  # fmt: skip
    done = cli("answer", "--jsonl", stdin="\n".join(rows))
    assert (done.code, [json.loads(row)["status"] for row in done.out.splitlines()]) == (5, ["error", "ok"])


COUNTS = {
    "lines": ("x.txt", "a\nb\nc", {"format": "lines"}, 3),
    "a table": ("x.csv", "text\na\nb\n", {}, 2),
    "a table without a header": ("x.csv", "a\nb\n", {"columns": "text"}, 2),
    "quotes": ("x.csv", 'text\n"a\nb"\n', {}, None),
    "an array": ("x.json", f"[{ONE}]", {}, None),
    "compressed": ("x.csv", gzip.compress(b"text\na\n"), {}, None),
}


@pytest.mark.parametrize(("name", "content", "options", "count"), COUNTS.values(), ids=COUNTS)
def test_count(tmp_path: Path, name: str, content: str | bytes, options: dict[str, Any], count: int | None):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    source = InputOptions(**({"input": [path], "format": format_of(path)} | options))
    run = RunOptions("x", source, OutputOptions(), None)
    assert readers.count(run, inputs.listed(run)) == count
