"""llmcli embed, similar and dedupe, on the fake model: a vector is how often letters are in a text."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from llmcli import api

ROWS = ["noise at sea", "A sea at noise!", "stone", "onset", "rain or air"]
BROKEN = '{"id": "x", "text": ""}'


def jsonl(texts: list[str], *more: str) -> str:
    return "".join(json.dumps({"id": f"r{n}", "text": text}) + "\n" for n, text in enumerate(texts)) + "\n".join(more)


class TestEmbed:
    def test_json_has_a_unit_vector(self, cli, fake):
        row = json.loads(cli("embed", "--json", "noise at sea").out)
        assert (len(row["embedding"]), row["input_tokens"]) == (8, 3)
        assert math.hypot(*row["embedding"]) == pytest.approx(1, abs=1e-5)

    def test_text_is_the_numbers(self, cli, fake):
        numbers = cli("embed", "aaa").out.split()
        assert numbers[0] == "1.000000"
        assert len(numbers) == 8

    def test_a_long_text_is_the_mean_of_its_chunks(self, cli, fake):
        fake.context_window = 8
        row = json.loads(cli("embed", "--json", "a a a a a a a a. " * 3 + "e e e e e e e e.").out)
        assert row["chunks"] > 1
        assert row["embedding"][:2] == [pytest.approx(value, abs=1e-3) for value in (0.9487, 0.3162)]

    @pytest.mark.parametrize(("on_long", "code"), [("truncate", 0), ("error", 6)])
    def test_on_long(self, cli, fake, on_long: str, code: int):
        fake.context_window = 16
        assert cli("embed", "--json", "--on-long", on_long, "a " * 40).code == code


NO_ARRAY = {
    "another task": (["sentiment", "--lines", "-o", "v.npy"], "sentiment gives no vectors"),
    "json": (["embed", "--lines", "--json", "-o", "v.npy"], "give no array"),
    "a device": (["embed", "--lines", "-o", "pipe.npy"], "an array needs a file"),
}


class TestArray:
    @pytest.mark.parametrize("bad", [0, 1, 5])
    def test_a_failed_row_is_nan_in_its_place(self, cli, fake, tmp_path: Path, bad: int):
        lines = jsonl(ROWS).splitlines()
        lines.insert(bad, BROKEN)
        done = cli("embed", "--jsonl", "-o", str(tmp_path / "v.npy"), stdin="\n".join(lines))
        vectors = np.load(tmp_path / "v.npy")
        assert (done.code, vectors.shape, vectors.dtype) == (5, (6, 8), np.float32)
        assert [bool(row) for row in np.isnan(vectors).all(1)] == [place == bad for place in range(6)]
        assert np.nanmax(abs((vectors**2).sum(1) - 1)) < 1e-5
        assert "error[empty]" in done.err

    def test_only_failed_rows(self, cli, fake, tmp_path: Path):
        assert cli("embed", "--jsonl", "-o", str(tmp_path / "v.npy"), stdin=BROKEN).code == 5
        assert np.load(tmp_path / "v.npy").shape == (1, 0)

    def test_one_text(self, cli, fake, tmp_path: Path):
        assert cli("embed", "sea", "-o", str(tmp_path / "v.npy")).code == 0
        assert np.load(tmp_path / "v.npy").shape == (1, 8)

    def test_it_is_resumed(self, cli, fake, tmp_path: Path):
        target = tmp_path / "v.npy"
        cli("embed", "--jsonl", "-o", str(target), stdin=jsonl(ROWS))
        whole = target.read_bytes()
        target.unlink()
        fake.embed = None  # nothing is asked again
        assert cli("embed", "--jsonl", "-o", str(target), "--resume", stdin=jsonl(ROWS)).code == 0
        assert target.read_bytes() == whole

    @pytest.mark.parametrize(("arguments", "message"), NO_ARRAY.values(), ids=NO_ARRAY)
    def test_what_cannot_be(self, cli, fake, tmp_path: Path, monkeypatch, arguments: list[str], message: str):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "pipe.npy").symlink_to("/dev/null")
        done = cli(*arguments, stdin="good\n")
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert message in done.err
        assert [path.name for path in tmp_path.glob("v.npy*")] == []

    def test_a_full_disk(self, cli, fake, tmp_path: Path, monkeypatch):
        def full(self: object, vector: list[float]) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("llmcli.data.array.Array._put", full)
        done = cli("embed", "sea", "-o", str(tmp_path / "v.npy"))
        assert (done.code, done.err.count("\n")) == (10, 1)
        assert not (tmp_path / "v.npy").exists()


NO_QUERY = {
    "no query": ([], "error[usage]: nothing to look for"),
    "two": (["rain", "--query", "sea"], "error[usage]: two queries"),
    "an empty one": (["  "], "error[usage]: nothing to look for"),
}


class TestSimilar:
    def test_lines_as_grep_gives_them(self, cli, fake):
        done = cli("similar", "stone", "--top", "2", stdin="rain or air\nonset\n\nstone\n")
        assert done.out == "1.0000\tonset\n1.0000\tstone\n"
        assert done.code == 5  # the empty line

    def test_json(self, cli, fake):
        done = cli("similar", "rain", "--jsonl", "-n", "1", "--merge", stdin=jsonl(ROWS))
        row = json.loads(done.out)
        assert (row["id"], row["text"], row["status"]) == ("r4", "rain or air", "ok")
        assert 0.8 < row["score"] < 1

    def test_a_table_has_the_columns_of_its_input(self, cli, fake):
        out = cli("similar", "rain", "--csv", "-n", "1", stdin="n,text\n1,stone\n2,rain\n").out
        assert out.splitlines() == ["n,text,score,similar_text,status,error", "2,rain,1.0,rain,ok,"]

    @pytest.mark.parametrize(("threshold", "code", "rows"), [("0.99", 0, 2), ("1", 1, 0)])
    def test_threshold(self, cli, fake, threshold: str, code: int, rows: int):
        query = "rain" if threshold == "1" else "stone"
        done = cli("similar", query, "--threshold", threshold, stdin="stone\nonset\nrain or air\n")
        assert (done.code, done.out.count("\n")) == (code, rows)

    def test_a_long_row_counts_by_its_nearest_chunk(self, cli, fake):
        fake.context_window = 8
        row = json.loads(cli("similar", "e", "--json", stdin="a a a a a a a a. " * 3 + "e e e e e e e e.").out)
        assert row["score"] > 0.99

    def test_it_keeps_no_more_than_it_gives(self, fake):
        with api.open("similar", text="stone", top=3) as session:
            found = list(session.answer(f"stone {'a' * n}" for n in range(300)))
        assert [result.id for result in found] == [1, 2, 3]

    @pytest.mark.parametrize(("arguments", "message"), NO_QUERY.values(), ids=NO_QUERY)
    def test_what_cannot_be(self, cli, fake, arguments: list[str], message: str):
        done = cli("similar", *arguments, stdin="stone\n")
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert message in done.err


FORMATS = {
    "lines": ([], "stone\nonset\nrain\n", "stone\nrain\n"),
    "csv": (["--csv"], 'n,text\n1,"sto,ne"\n2,onset\n3,rain\n', 'n,text\n1,"sto,ne"\n3,rain\n'),
    "tsv": (["--format", "tsv"], "text\tn\nstone\t1\nonset\t2\n", "text\tn\nstone\t1\n"),
    "an array": (["--format", "json"], '[{"text": "stone"}, {"text": "onset"}]', '{"text": "stone"}\n'),
}


class TestDedupe:
    def test_rows_go_out_as_they_came(self, cli, fake):
        given = '{"n": 1.0, "text": "stone", "tags": ["ä"]}\n{"text": "onset"}\n{"text": "rain or air"}\n'
        done = cli("dedupe", "--jsonl", stdin=given)
        assert (done.code, done.out.splitlines()) == (0, [given.splitlines()[0], given.splitlines()[2]])

    @pytest.mark.parametrize(("arguments", "given", "wanted"), FORMATS.values(), ids=FORMATS)
    def test_formats(self, cli, fake, arguments: list[str], given: str, wanted: str):
        done = cli("dedupe", *arguments, stdin=given)
        assert (done.code, done.out) == (0, wanted), done.err

    def test_lines_into_json_lines(self, cli, fake, tmp_path: Path):
        cli("dedupe", "-o", str(tmp_path / "x.jsonl"), stdin="stone\nonset\n")
        assert (tmp_path / "x.jsonl").read_text() == '{"id": 1, "text": "stone"}\n'

    def test_a_bad_row_stands_in_its_place(self, cli, fake):
        done = cli("dedupe", "--jsonl", stdin=f"{BROKEN}\n" + jsonl(["stone", "onset"]))
        assert [json.loads(line).get("status") for line in done.out.splitlines()] == ["error", None]
        assert done.code == 5

    def test_groups(self, cli, fake):
        done = cli("dedupe", "--jsonl", "--groups", stdin=jsonl([*ROWS, "tones"]))
        groups = {row["id"]: [one["id"] for one in row["duplicates"]] for row in map(json.loads, done.out.splitlines())}
        assert (done.code, groups) == (0, {"r0": ["r1"], "r2": ["r3", "r5"]})

    def test_groups_of_rows_with_one_id(self, cli, fake):
        given = '{"id": 1, "text": "stone"}\n{"id": 1, "text": "rain"}\n{"id": 2, "text": "onset"}\n'
        done = cli("dedupe", "--jsonl", "--groups", stdin=given)
        assert [(row["id"], len(row["duplicates"])) for row in map(json.loads, done.out.splitlines())] == [(1, 1)]

    @pytest.mark.parametrize(("texts", "code", "out"), [("stone\nrain\n", 0, ""), ("stone\nonset\n", 1, "onset\n")])
    def test_check(self, cli, fake, texts: str, code: int, out: str):
        done = cli("dedupe", "--check", stdin=texts)
        assert (done.code, done.out) == (code, out)

    @pytest.mark.parametrize(("threshold", "rows"), [("1", 3), ("0.85", 2), ("0", 1)])
    def test_threshold(self, cli, fake, threshold: str, rows: int):
        out = cli("dedupe", "--threshold", threshold, stdin="stone\nonset\nstone an\nrain or air\n").out
        assert out.count("\n") == rows

    def test_it_is_resumed(self, cli, fake, tmp_path: Path):
        source, target = tmp_path / "rows.jsonl", tmp_path / "unique.jsonl"
        source.write_text(jsonl(ROWS))
        command = ["dedupe", "-i", str(source), "-o", str(target)]
        cli(*command)
        whole = target.read_text()
        assert whole.count("\n") == 3
        fake.embed = None  # nothing is asked again
        assert cli(*command, "--resume").code == 0
        assert target.read_text() == whole
        assert cli(*command, "--resume", "--threshold", "0.5").code == 2

    def test_from_python(self, fake):
        with api.open("dedupe") as session:
            found = [result.fields["duplicate_of"] for result in session.answer(["stone", "onset", "rain"])]
        assert found == [None, 1, None]
