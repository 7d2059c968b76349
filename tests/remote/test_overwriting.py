"""--requests and --responses beside other files and options: nothing is overwritten, nothing silently ignored."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

ROWS = "".join(json.dumps({"id": f"r{place}", "text": f"row {place}?"}) + "\n" for place in range(3))
RUN = ["generate", "-m", "qwen", "-i", "rows.jsonl"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with rows and responses, in which all paths of a command line begin."""
    monkeypatch.chdir(tmp_path)
    for name in ("rows.jsonl", "resp.jsonl", "req-2.jsonl"):
        tmp_path.joinpath(name).write_text(ROWS)
    tmp_path.joinpath("link.jsonl").symlink_to("rows.jsonl")
    tmp_path.joinpath("taken.jsonl.partial").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "arguments, err",
    [
        (["--requests", "rows.jsonl"], "rows.jsonl is both input and output"),
        (["--requests", "link.jsonl"], "rows.jsonl is both input and output"),
        (["--requests", "resp.jsonl", "--responses", "resp.jsonl"], "resp.jsonl is both input and output"),
        (["-o", "resp.jsonl", "--responses", "resp.jsonl"], "resp.jsonl is both input and output"),
        (["-i", "req-2.jsonl", "--requests", "req.jsonl"], "req-2.jsonl is both input and output"),
        (["-o", "out.jsonl", "--requests", "out.jsonl"], "two results would be written there"),
        (["-o", "out.jsonl", "--requests", "out.jsonl.journal"], "two results would be written there"),
        (["--requests", "taken.jsonl"], "in the way"),
        (["--requests", "req.jsonl.gz"], "the output is not compressed"),
        (["--requests", "req.jsonl", "--shard", "1/2", "-o", "shards"], "--requests is for all rows"),
        (["--requests", "req.jsonl", "--cluster", "auto", "-o", "out.jsonl"], "--requests is for all rows"),
    ],
)
def test_refusals(cli, here: Path, arguments: list[str], err: str):
    before = {path: path.read_bytes() for path in here.iterdir() if path.is_file()}
    done = cli(*RUN, *arguments)
    assert (done.code, err in done.err, done.err.count("\n")) == (2, True, 1), done.err
    assert {path: path.read_bytes() for path in here.iterdir() if path in before} == before
    assert not here.joinpath("req.jsonl").exists()


def test_too_many_bad_rows_halt_it(cli, here: Path):
    done = cli("generate", "-m", "m", "--lines", "--requests", "req.jsonl", "--max-errors", "2", stdin="a\n\n\n\nb\n")
    assert (done.code, "halted after 2 failed rows" in done.err) == (5, True), done.err
    assert not here.joinpath("req.jsonl").exists()


@pytest.mark.parametrize("name", ["pipe", "."])
def test_responses_are_in_plain_files(cli, here: Path, name: str):
    os.mkfifo(here / "pipe")
    done = cli(*RUN, "--responses", name)
    assert (done.code, "no plain file" in done.err, done.err.count("\n")) == (3, True, 1), done.err


def test_shards_read_responses(cli, here: Path):
    cli(*RUN, "--requests", "new.jsonl")
    lines = [json.loads(line) for line in here.joinpath("new.jsonl").read_text().splitlines()]
    body = {"choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}]}
    here.joinpath("resp.jsonl").write_text("".join(
        json.dumps({"custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}}) + "\n"
        for line in lines))  # fmt: skip
    for shard in ("1/2", "2/2"):
        assert cli(*RUN, "--responses", "resp.jsonl", "--shard", shard, "-o", "shards").code == 0
    assert cli("merge", "shards", "-o", "out.jsonl").code == 0
    assert [json.loads(line)["text"] for line in here.joinpath("out.jsonl").read_text().splitlines()] == ["Yes."] * 3


class TestTranslate:
    RUN = ("translate", "-f", "en", "-t", "fr", "-m", "qwen")

    def test_what_is_remembered_is_not_asked_for(self, cli, here: Path):
        here.joinpath("memory.tsv").write_text("Hello\tBonjour\n")
        done = cli(*self.RUN, "--lines", "--memory", "memory.tsv", "--requests", "req.jsonl", stdin="Hello\n")
        assert (done.code, "0 requests in" in done.err, here.joinpath("req.jsonl").read_text()) == (0, True, "")

    def test_no_input_is_an_error(self, cli, here: Path):
        done = cli(*self.RUN, "--jsonl", "--requests", "req.jsonl", "-i", "/dev/null")
        assert (done.code, "error[empty]" in done.err, here.joinpath("req.jsonl").exists()) == (3, True, False)

    def test_what_asks_no_model_has_no_requests(self, cli):
        done = cli(*self.RUN, "--detect", "--requests", "req.jsonl", "Hello")
        assert (done.code, "this asks no model anything" in done.err) == (2, True)
