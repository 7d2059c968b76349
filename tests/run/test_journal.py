"""The journal: what is damaged is noticed, what failed before is no new failure, a path may be spelled otherwise."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from llmcli.config.options import OutputOptions
from llmcli.errors import UsageError
from llmcli.run.journal import MAGIC, Journal
from llmcli.run.records import Record, Result

RESUME = OutputOptions(resume=True)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A journal of eight rows, two a line, of a run that was cut off."""
    path = tmp_path / "out.journal"
    with Journal(path, output=OutputOptions(), fingerprint={"task": "x"}) as journal:
        for line in range(4):
            keys = [f"{line}a", f"{line}b"]
            journal.add(keys, [Result(1, {"label": f"good {key}"}) for key in keys])
    return path


def kept(path: Path) -> dict[str, str]:
    """The rows that a resumed run takes over."""
    with Journal(path, output=RESUME, fingerprint={"task": "x"}) as journal:
        found = {
            f"{line}{row}": journal.find(f"{line}{row}", Record(id=1, text="")) for line in range(4) for row in "ab"
        }
        return {key: result.fields["label"] for key, result in found.items() if result}


def test_whole(place: Path):
    assert kept(place) == {f"{line}{row}": f"good {line}{row}" for line in range(4) for row in "ab"}


def test_any_flipped_bit_is_noticed(place: Path, capsys):
    """A damaged line drops its own rows, or two lines' where it ended; a damaged head is refused."""
    raw = place.read_bytes()
    head = raw.index(b"\n")
    draw = random.Random(5)
    for bit in [*draw.sample(range(len(raw) * 8), 150), head * 8, (len(raw) - 1) * 8 + 1]:
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        place.write_bytes(flipped)
        if bit // 8 <= head:
            with pytest.raises(UsageError):
                kept(place)
            assert place.read_bytes() == flipped
        else:
            rows = kept(place)
            assert all(label == f"good {key}" for key, label in rows.items())
            assert 4 <= len(rows) < 8
            assert "damaged" in capsys.readouterr().err or not bytes(flipped).endswith(b"\n")


def test_a_damaged_journal_is_still_a_guard(place: Path):
    lines = place.read_bytes().splitlines(keepends=True)
    place.write_bytes(lines[0] + b"".join(b"x" + line for line in lines[1:]))
    with pytest.raises(UsageError, match="unfinished"):
        Journal(place, output=OutputOptions(), fingerprint={"task": "x"}).__enter__()


HEADS = {
    "damaged": (MAGIC + b"0123456789abcdef {}\n", "damaged"),
    "of an older version": (b'{"fingerprint": {}, "seed": 1}\n', "older"),
    "a stranger's": (b"my diary\n", "in the way"),
    "a stranger's without an end": (b"my diary", "in the way"),
}


@pytest.mark.parametrize(("content", "message"), HEADS.values(), ids=HEADS)
def test_heads(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "out.journal"
    path.write_bytes(content)
    for output in (OutputOptions(), RESUME):
        with pytest.raises(UsageError, match=message):
            Journal(path, output=output, fingerprint={}).__enter__()
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", MAGIC[:5], MAGIC + b"0123"])
def test_a_torn_head_is_nothing(tmp_path: Path, content: bytes):
    path = tmp_path / "out.journal"
    path.write_bytes(content)
    with Journal(path, output=RESUME, fingerprint={}) as journal:
        assert journal.finished == 0


def test_where_nothing_is_done_nothing_is_left(tmp_path: Path):
    with (
        pytest.raises(ZeroDivisionError),
        Journal(tmp_path / "new" / ".llmcli.journal", output=RESUME, fingerprint={}) as journal,
    ):
        assert 1 / len(journal._fingerprint)
    assert [*tmp_path.iterdir()] == []


def test_what_failed_before_does_not_halt_again(cli, fake, tmp_path: Path, monkeypatch):
    from llmcli.tasks import sentiment

    monkeypatch.setattr(sentiment, "TASK", replace(sentiment.TASK, window=2))
    source, out = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("good\n\n\nbad\n\ngood\n")
    arguments = ["sentiment", "--lines", "-i", str(source), "-o", str(out), "--max-errors", "2"]
    assert cli(*arguments).code == 5
    assert not out.exists()
    assert cli(*arguments, "--resume").code == 5
    assert [json.loads(row)["status"][0] for row in out.read_text().splitlines()] == [*"oeeoeo"]
    halted = cli(*arguments, "--retry-failed")
    assert (halted.code, "halted after 2" in halted.err) == (5, True)


def test_paths_are_compared_by_what_they_are(cli, fake, tiny_causal: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("good")
    (tmp_path / "model").symlink_to(tiny_causal)
    assert cli("sentiment", "-m", "./model", "-i", "docs", "-i", "docs/a.txt", "-o", "out.jsonl").code == 0
    fake.prompts.clear()
    done = cli("sentiment", "-m", str(tiny_causal), "-i", str(tmp_path / "docs"), "-i", "./docs/a.txt",
               "-o", str(tmp_path / "docs" / ".." / "out.jsonl"), "--resume")  # fmt: skip
    assert (done.code, fake.prompts) == (0, []), done.err


def test_a_full_disk_for_temporary_files():
    """No file may grow beyond a megabyte: the index of ids is refused in one line."""
    code = (
        "import resource; from llmcli.run.seen import Seen; from llmcli.errors import OutputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, -1)); seen = Seen()\n"
        "try:\n for number in range(1_000_000): seen.count(str(number))\n"
        "except OutputError as error: print(error.line())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.startswith("llmcli: error[write]: a temporary file: ")


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT"])
def test_a_full_disk_elsewhere(cli, fake, monkeypatch, code: str):
    import errno

    def fill(*_: object, **__: object) -> None:
        raise OSError(getattr(errno, code), "No space left on device", "/cache/model")

    monkeypatch.setattr(fake, "choose", fill)
    done = cli("sentiment", "good")
    assert (done.code, done.err.count("\n"), "/cache/model: No space" in done.err) == (10, 1, True)
