"""Rows in, rows out: formats, bad rows, resume, signals, memory."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, strategies

from llmcli.data.formats import jsonl
from llmcli.data.lines import LINE_CAP, LineReader
from tests.support.fuzz import bounded

COMMON = ["model", "input_tokens", "output_tokens", "finish_reason", "chunks", "truncated"]


def rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def scoreless(text: str) -> str:
    return re.sub(r"0\.\d{4,6}", "P", text)


TABLES = {
    "plain": (["--csv"], "id,text\n7,good\n8,bad\n",
              "id,text,label,score,status,error\n7,good,positive,P,ok,\n8,bad,negative,P,ok,\n"),
    "no id": (["--csv"], "text\ngood\n", "text,label,score,status,error\ngood,positive,P,ok,\n"),
    "BOM and CRLF": (["--csv"], "\ufefftext,n\r\ngood,1\r\n",
                     "text,n,label,score,status,error\ngood,1,positive,P,ok,\n"),
    "quotes": (["--csv"], 'text,n\n"good,\n""very""",1\n',
               'text,n,label,score,status,error\n"good,\n""very""",1,positive,P,ok,\n'),
    "semicolons": (["--csv"], "n;text\n1;good, yes\n",
                   "n;text;label;score;status;error\n1;good, yes;positive;P;ok;\n"),
    "tabs": (["--format", "tsv"], "n\ttext\n1\tgood\n",
             "n\ttext\tlabel\tscore\tstatus\terror\n1\tgood\tpositive\tP\tok\t\n"),
    "a field": (["--csv", "--field", "body"], "body,text\ngood,x\n",
                "body,text,label,score,status,error\ngood,x,positive,P,ok,\n"),
    "a taken name": (["--csv"], "text,label\ngood,mine\n",
                     "text,label,sentiment_label,score,status,error\ngood,mine,positive,P,ok,\n"),
    "a stray quote": (["--csv"], 'text,n\n"bad thing,1\ngood,2\n',
                      "text,n,label,score,status,error\n"
                      '"""bad thing",1,,,error,bad-csv: unexpected end of data; row skipped\n'
                      "good,2,positive,P,ok,\n"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "stdin", "out"), TABLES.values(), ids=TABLES)
def test_tables(cli, fake, arguments, stdin, out):
    assert scoreless(cli("sentiment", *arguments, stdin=stdin).out) == out


OBJECTS = {
    "jsonl gives json": (["--jsonl"], '{"text": "good"}\n', {"id": 1, "label": "positive"}),
    "own id": (["--jsonl"], '{"id": "a", "text": "good"}\n', {"id": "a"}),
    "custom_id": (["--jsonl"], '{"custom_id": "req-1", "text": "good"}\n', {"id": "req-1"}),
    "id field": (["--jsonl", "--id-field", "n"], '{"n": 5, "text": "good"}\n', {"id": 5}),
    "field": (["--jsonl", "--field", "body"], '{"body": "good"}\n', {"label": "positive"}),
    "merge": (["--jsonl", "--merge"], '{"text": "good", "label": "x", "n": [1]}\n',
              {"label": "positive", "input_label": "x", "n": [1], "text": "good"}),
    "blank lines": (["--jsonl"], '\n{"text": "good"}\n\n', {"id": 2}),
    "csv as json": (["--csv", "--json"], "text\ngood\n", {"label": "positive"}),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "stdin", "values"), OBJECTS.values(), ids=OBJECTS)
def test_objects(cli, fake, arguments, stdin, values):
    (row,) = rows(cli("sentiment", *arguments, stdin=stdin).out)
    assert values.items() <= row.items()


BAD = {
    "broken": (b'{"text": "x', "bad-json"),
    "deep": (b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "bad-json"),
    "NaN": (b'{"text": "x", "n": NaN}', "bad-json"),
    "missing": (b'{"body": "x"}', "missing-field"),
    "wrong type": (b'{"text": 5}', "bad-field"),
    "surrogate": (b'{"text": "\\ud800"}', "bad-utf8"),
    "empty": (b'{"text": ""}', "empty"),
    "a number beyond floats": (b'{"text": "good", "n": 1e400}', "bad-json"),
    "a surrogate in an id": (b'{"id": "\\ud83d", "text": "good"}', "bad-utf8"),
    "a surrogate in a field": (b'{"text": "good", "a": [{"b": "\\ud83d"}]}', "bad-utf8"),
    "a surrogate in a key": (b'{"text": "good", "\\ud83d": 1}', "bad-utf8"),
    "a surrogate in a bad row": (b'{"text": "", "id": "\\ud83e", "\\ud83d": "\\ud83d"}', "empty"),
    "nested": (b'{"text": "good", "n": ' + b"[" * 200 + b"]" * 200 + b"}", "bad-json"),
    "too long a line": (b'{"text": "' + b"x" * LINE_CAP + b'"}', "line-too-long"),
    "too long a text": (b'{"text": "' + b"word " * 5000 + b'"}', "too-long"),
}


def test_bad_rows_do_not_touch_their_neighbours(cli, fake):
    lines = [b'{"id": "a", "text": "good"}', *(raw for raw, _ in BAD.values()), b'{"id": "z", "text": "bad"}']
    done = cli("sentiment", "--jsonl", "--merge", "--on-long", "error", stdin=b"\n".join(lines) + b"\n")
    found = rows(done.out)
    assert [row.get("error", {}).get("code") for row in found] == [None, *(code for _, code in BAD.values()), None]
    assert (found[0]["id"], found[-1]["id"]) == ("a", "z")
    assert done.code == 5
    assert done.err.count("\n") == len(BAD) + 1


def test_bad_rows_of_a_table(cli, fake):
    lines = [b"id,text", b"a,good", b"b", b"c,x\xff", b"d,", b"a,good", b"e," + b"x" * LINE_CAP, b'f,"x"y',
             b"g," + b"word " * 5000, b"z,bad"]  # fmt: skip
    done = cli("sentiment", "--csv", "--id-field", "id", "--on-long", "error", stdin=b"\n".join(lines) + b"\n")
    found = list(csv.DictReader(io.StringIO(done.out)))
    codes = [row["error"].partition(":")[0] for row in found]
    assert codes == ["", "bad-csv", "bad-utf8", "empty", "duplicate-id", "line-too-long", "bad-csv", "too-long", ""]
    assert (found[0]["label"], found[-1]["label"], done.code) == ("positive", "negative", 5)


USAGE = {
    "two formats": (["--csv", "--jsonl"], "two input formats"),
    "resume without output": (["--lines", "--resume"], "need --output"),
    "long delimiter": (["--csv", "--delimiter", "ab"], "one character"),
    "no such column": (["--csv", "--field", "body"], "no column 'body'"),
}


@pytest.mark.parametrize(("arguments", "message"), USAGE.values(), ids=USAGE)
def test_usage(cli, fake, arguments, message):
    done = cli("sentiment", *arguments, stdin="text\ngood\n")
    assert message in done.err
    assert done.code in (2, 3)


def test_formats_by_ending(cli, fake, tmp_path: Path):
    (tmp_path / "in.tsv").write_text("text\tn\ngood\t1\n")
    out = tmp_path / "out.tsv"
    assert cli("sentiment", "-i", str(tmp_path / "in.tsv"), "-o", str(out)).code == 0
    assert scoreless(out.read_text()) == "text\tn\tlabel\tscore\tstatus\terror\ngood\t1\tpositive\tP\tok\t\n"
    assert cli("sentiment", "-i", str(out), "-o", str(out)).code == 2


def test_a_folder_by_pattern_into_one_file(cli, fake, tmp_path: Path):
    for name in ("a.txt", "b.md", "c.txt"):
        (tmp_path / name).write_text("good")
    out = tmp_path / "out.jsonl"
    assert cli("sentiment", "-i", str(tmp_path), "--pattern", "*.txt", "-o", str(out)).code == 0
    assert [row["id"] for row in rows(out.read_text())] == ["a.txt", "c.txt"]


def test_max_errors_halts(cli, fake, tmp_path: Path):
    done = cli("sentiment", "--lines", "--max-errors", "2", "-o", str(tmp_path / "x"), stdin="good\n\n\nbad\n")
    assert (done.code, "halted after 2" in done.err, (tmp_path / "x").exists()) == (5, True, False)


class TestResume:
    @pytest.fixture
    def batch(self, cli, fake, tmp_path: Path, monkeypatch):
        """Run a batch of four rows a window; the model dies at the row ``dies``."""
        from llmcli.tasks import sentiment

        monkeypatch.setattr(sentiment, "TASK", replace(sentiment.TASK, window=4))
        source, self.out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"

        def run(texts: list[str], *arguments: str):
            source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
            fake.prompts.clear()
            return cli("sentiment", "-i", str(source), "-o", str(self.out), *arguments)

        return run

    def cut(self, batch, texts: list[str], fake, monkeypatch) -> None:
        """A run that stops after its first window."""
        choose = fake.choose
        calls = iter([choose])
        with monkeypatch.context() as patch:
            patch.setattr(fake, "choose", lambda *a, **k: next(calls, _interrupt)(*a, **k))
            with pytest.raises(KeyboardInterrupt):
                _without_dying(patch, lambda: batch(texts))

    TEXTS = tuple(f"good {i}" for i in range(10))

    def test_goes_on(self, batch, fake, monkeypatch):
        self.cut(batch, [*self.TEXTS], fake, monkeypatch)
        assert not self.out.exists()
        refused = batch([*self.TEXTS])
        assert (refused.code, "--resume goes on" in refused.err) == (2, True)
        assert batch([*self.TEXTS], "--resume").code == 0
        assert len(fake.prompts) == 6
        assert [row["id"] for row in rows(self.out.read_text())] == [*range(1, 11)]

    def test_reordered_and_extended(self, batch, fake, monkeypatch):
        self.cut(batch, [*self.TEXTS], fake, monkeypatch)
        changed = [*reversed(self.TEXTS), "bad", "good 0"]
        assert batch(changed, "--resume").code == 0
        assert len(fake.prompts) == 8
        labels = [row["label"] for row in rows(self.out.read_text())]
        assert labels == ["positive"] * 10 + ["negative", "positive"]

    def test_a_finished_run_has_nothing_to_do(self, batch, fake):
        batch([*self.TEXTS])
        before = self.out.read_bytes()
        assert batch([*self.TEXTS], "--resume").code == 0
        assert (fake.prompts, self.out.read_bytes()) == ([], before)

    def test_changed_settings_are_refused(self, batch, fake, monkeypatch):
        self.cut(batch, [*self.TEXTS], fake, monkeypatch)
        done = batch([*self.TEXTS], "--resume", "--threshold", "0.7")
        assert (done.code, "options.threshold" in done.err) == (2, True)
        assert batch([*self.TEXTS], "--no-resume", "--threshold", "0.7").code == 0
        assert len(fake.prompts) == 10

    def test_a_torn_line_is_cut(self, batch, fake, monkeypatch):
        self.cut(batch, [*self.TEXTS], fake, monkeypatch)
        place = self.out.with_name("out.jsonl.journal")
        place.write_bytes(place.read_bytes()[:-40])
        assert batch([*self.TEXTS], "--resume").code == 0
        assert (len(fake.prompts), len(rows(self.out.read_text()))) == (10, 10)

    def test_retry_failed(self, batch, fake):
        fake.context_window = 2000
        long = "word " * 3000
        assert batch(["good", long], "--on-long", "error").code == 5
        assert batch(["good", long], "--on-long", "error", "--resume").code == 5
        assert fake.prompts == []
        fake.context_window = 100_000
        assert batch(["good", long], "--on-long", "error", "--retry-failed").code == 5  # 512 tokens at once, ever
        assert batch(["good", "bad"], "--on-long", "error", "--retry-failed").code == 0
        assert len(fake.prompts) == 1

    def test_one_run_at_a_time(self, batch, fake):
        batch(["good"])
        with self.out.with_name("out.jsonl.journal").open("ab") as held:
            import fcntl

            fcntl.flock(held, fcntl.LOCK_EX)
            done = batch(["good"])
        assert (done.code, "error[locked]" in done.err) == (2, True)

    def test_a_strangers_file_is_left_alone(self, batch, fake):
        place = self.out.with_name("out.jsonl.journal")
        place.write_text("my diary\n")
        assert batch(["good"]).code == 2
        assert place.read_text() == "my diary\n"

    def test_a_hundred_kills(self, batch, fake, tmp_path: Path):
        """Each run dies by SIGKILL at a random call; at the end the file is that of a run left alone."""
        texts = [f"{'good' if i % 3 else 'bad'} {i}" for i in range(40)] + ["", "good 1"]
        assert batch(texts).code == 5
        whole = self.out.read_bytes()
        draw = random.Random(11)
        for _ in range(100):
            self.out.unlink()
            self.out.with_name("out.jsonl.journal").unlink()
            for _ in range(3):
                _killed(draw.randrange(1000, 16_000), lambda: batch(texts, "--resume"))
            if not self.out.exists():
                assert batch(texts, "--resume").code == 5
            assert self.out.read_bytes() == whole


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def _without_dying(patch, run) -> None:
    def die(number: int) -> None:
        raise KeyboardInterrupt

    patch.setattr("llmcli.cli.main.die", die)
    run()


def _killed(calls: int, run) -> None:
    """Run in a child that kills itself after so many function calls."""
    child = os.fork()
    if child == 0:
        left = [calls]

        def count(*_: object) -> None:
            left[0] -= 1
            if left[0] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.setprofile(count)
            run()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def test_sampled_rows_have_seeds_of_their_own(cli, tiny_causal: Path, tmp_path: Path):
    """The same seed gives the same text, whatever stands beside the row; equal rows differ."""
    arguments = ["generate", "-m", str(tiny_causal), "--lines", "--json", "--raw", "--temperature", "1", "--seed", "5",
                 "--max-new-tokens", "8"]  # fmt: skip
    many = [row["text"] for row in rows(cli(*arguments, stdin="a\nb\nb\n").out)]
    alone = [row["text"] for row in rows(cli(*arguments, stdin="b\n").out)]
    assert (many[1], len(set(many))) == (alone[0], 3)


@bounded(25)
@given(
    texts=strategies.lists(strategies.text(strategies.characters(codec="utf-8", exclude_characters="\n\r\0"),
                                           max_size=30), min_size=1, max_size=12),
    size=strategies.integers(1, 8),
)  # fmt: skip
def test_any_texts_in_any_batches(texts: list[str], size: int, tiny_model):
    from llmcli.run.records import Record

    records = [Record(id=i, text=text) for i, text in enumerate(texts)]
    session = tiny_model(size)
    together = list(session.answer(records))
    apart = [result for record in records for result in session.answer([record])]
    assert [result.id for result in together] == [*range(len(texts))]
    for a, b in zip(together, apart, strict=True):
        assert a.status == b.status
        assert a.fields.get("score", 0) == pytest.approx(b.fields.get("score", 0), abs=1e-5)


@pytest.fixture(scope="module")
def tiny_model(tiny_causal: Path):
    from llmcli import api

    return lambda size: api.open("sentiment", model=str(tiny_causal), batch_size=str(size))


def test_lines_of_an_open_pipe_are_read_as_they_come():
    read, write = os.pipe()
    lines = LineReader(read)
    os.write(write, b"one\ntw")
    assert (lines.readline(), lines.waiting()) == ((b"one\n", False), True)
    os.write(write, b"o\nthree")
    assert (lines.readline(), lines.waiting()) == ((b"two\n", False), True)
    os.close(write)
    assert (lines.readline(), lines.readline()) == ((b"three", False), (b"", False))
    os.close(read)


def test_a_lone_row_of_an_open_pipe_is_answered_at_once(tiny_causal: Path):
    with subprocess.Popen(
        [sys.executable, "-m", "llmcli", "sentiment", "--lines", "-m", str(tiny_causal)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as running:  # fmt: skip
        assert running.stdin is not None
        assert running.stdout is not None
        for _ in range(2):
            running.stdin.write(b"a row\n")
            running.stdin.flush()
            assert running.stdout.readline().count(b"\t") == 1
        running.send_signal(signal.SIGTERM)
        running.wait(timeout=60)
    assert running.returncode == -signal.SIGTERM


@pytest.mark.parametrize("room", [500, 40_000])
def test_a_full_disk_keeps_whole_rows(tiny_causal: Path, tmp_path: Path, room: int):
    """No file may grow beyond ``room`` bytes: exit 10, whole rows, and a resumed run that ends well."""
    (tmp_path / "in.txt").write_text("a row\n" * 160)
    command = [sys.executable, "-m", "llmcli", "sentiment", "--lines", "--json", "-m", str(tiny_causal),
               "-i", str(tmp_path / "in.txt"), "-o", str(tmp_path / "out")]  # fmt: skip
    full = subprocess.run(command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, -1)),
                          capture_output=True, check=False)  # fmt: skip
    assert full.returncode == 10, full.stderr
    left = [*tmp_path.glob("out.*")]
    assert left
    assert all(not file.stat().st_size or file.read_bytes().endswith(b"\n") for file in left)
    assert subprocess.run([*command, "--resume"], capture_output=True, check=False).returncode == 0
    assert len(rows((tmp_path / "out").read_text())) == 160


def test_journal_place(tmp_path: Path):
    from llmcli.config.options import InputOptions, OutputOptions
    from llmcli.config.run_config import RunOptions

    def place(format: Any, output: Path | None) -> Path | None:
        return RunOptions("x", InputOptions(format=format), OutputOptions(output=output), None).journal

    assert place("lines", tmp_path / "a.txt") == tmp_path / "a.txt.journal"
    assert place("text", tmp_path / "a.txt") is None
    assert place("lines", None) is None


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', "[1]", '"x"', "1", '{"n": ' + "9" * 5000 + "}"])
def test_json_that_is_refused(text: str):
    from llmcli.errors import InputError

    with pytest.raises(InputError, match="row skipped"):
        jsonl.parse(text)


def test_a_text_on_which_the_model_fails_fails_alone(cli, fake, monkeypatch):
    """What a library raises at one row ends no batch; of a single text it is the error."""
    choose = type(fake).choose

    def failing(prompts: Any, labels: Any, *, multi: bool = False) -> Any:
        if any("cursed" in prompt.row for prompt in prompts):
            torch.nn.Linear(2, 3)(torch.zeros(5))
        return choose(fake, prompts, labels, multi=multi)

    monkeypatch.setattr(fake, "choose", failing)
    done = cli("sentiment", "--lines", "--json", stdin="good\ncursed\nbad\n")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert (done.code, [row["status"] for row in rows]) == (5, ["ok", "error", "ok"]), done.err
    assert rows[1]["error"]["code"] == "bad-model"
    alone = cli("sentiment", "cursed")
    assert (alone.code, alone.out, alone.err.count("\n")) == (4, "", 1), alone.err
