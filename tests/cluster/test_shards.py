"""--shard and merge: the parts of a run, put together, are the file that one process writes."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcli.config import cluster
from llmcli.config.cluster import Shard
from llmcli.errors import UsageError
from llmcli.run.records import Record
from llmcli.run.sharding import part

ROWS = [{"id": f"r{number}", "text": f"{'good' if number % 3 else 'bad'} {number % 40}"} for number in range(60)]
MORE = ["{broken", '{"id": "e", "text": ""}', '{"text": "good"}', '{"text": "good"}']
JSONL = "\n".join([*map(json.dumps, ROWS), *MORE])
CSV = "id,text,note\n" + "".join(f'{row["id"]},"{row["text"]}, ""so""",x\n' for row in ROWS) + "r99,,\nshort\n"
FORMATS: dict[str, tuple[str, str, list[str]]] = {
    "jsonl": ("in.jsonl", JSONL, []),
    "jsonl with the rows' fields": ("in.jsonl", JSONL, ["--merge"]),
    "jsonl with unique ids": ("in.jsonl", JSONL + "\n" + json.dumps(ROWS[3]), ["--id-field", "id"]),
    "a template": ("in.jsonl", JSONL, ["--template", "{text} ({id})"]),
    "json": ("in.json", json.dumps(ROWS), []),
    "csv": ("in.csv", CSV, []),
    "csv without a header": ("in.csv", CSV, ["--columns", "id, text, note"]),
    "csv with semicolons": ("in.csv", CSV.replace(",", ";"), []),
    "tsv": ("in.tsv", CSV.replace(",", "\t"), []),
    "tsv without quotes": ("in.tsv", CSV.replace(",", "\t"), ["--quoting", "none"]),
    "lines": ("in.txt", "good\n\nbad\ngood\nfine\n", ["--lines"]),
    "lines as json": ("in.txt", "good\n\nbad\ngood\nfine\n", ["--lines", "--json"]),
    "grep": ("in.csv", CSV, ["--grep", "negative"]),
}


@pytest.fixture(autouse=True)
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows a line of the journal."""
    from llmcli.tasks import sentiment

    monkeypatch.setattr(sentiment, "TASK", replace(sentiment.TASK, window=4))


def shards(cli: Any, folder: Path, *arguments: str, of: int, numbers: Any = None) -> list[int]:
    """The exit codes of all shards, or of some."""
    return [cli(*arguments, "-o", str(folder), "--shard", f"{number}/{of}").code
            for number in numbers or range(1, of + 1)]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "options"), FORMATS.values(), ids=FORMATS)
def test_merged_shards_are_the_file_of_one_process(cli, fake, tmp_path: Path, name: str, content: str, options: Any):
    source, one, merged = tmp_path / name, tmp_path / f"one-{name}", tmp_path / f"merged-{name}"
    source.write_text(content)
    arguments = ["sentiment", "-i", str(source), *options]
    alone = cli(*arguments, "-o", str(one))
    shards(cli, tmp_path / "out", *arguments, of=3)
    done = cli("merge", str(tmp_path / "out"), "-i", str(source), "-o", str(merged))
    assert merged.read_bytes() == one.read_bytes(), done.err
    assert done.code == alone.code
    errors, others = ([line for line in run.err.splitlines() if "error[" in line] for run in (done, alone))
    assert errors == others


OTHERS: dict[str, tuple[list[str], str]] = {
    "vectors": (["embed", "--jsonl"], "npy"),
    "duplicates": (["dedupe", "--jsonl"], "jsonl"),
    "the nearest": (["similar", "good 7", "--jsonl"], "jsonl"),
    "summaries": (["summarize", "--jsonl"], "jsonl"),
    "unsure ones": (["sentiment", "--jsonl", "--abstain", "0.9", "--unsure", "unsure.jsonl"], "jsonl"),
}


@pytest.mark.parametrize(("arguments", "ending"), OTHERS.values(), ids=OTHERS)
def test_every_task(cli, fake, tmp_path: Path, monkeypatch, arguments: list[str], ending: str):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join(map(json.dumps, ROWS)))
    cli(*arguments, "-i", "in.jsonl", "-o", f"one.{ending}")
    unsure = Path("unsure.jsonl").read_bytes() if "--unsure" in arguments else b""
    shards(cli, tmp_path / "out", *arguments, "-i", "in.jsonl", of=3)
    done = cli("merge", "out", "-o", f"merged.{ending}")
    assert Path(f"merged.{ending}").read_bytes() == Path(f"one.{ending}").read_bytes(), done.err
    assert unsure == (Path("unsure.jsonl").read_bytes() if unsure else b"")


def test_a_folder_of_documents(cli, fake, tmp_path: Path):
    source = tmp_path / "docs"
    source.mkdir()
    for number in range(6):
        (source / f"{number}.md").write_text(f"# Title\n\nA cat sleeps, {number} times.\n")
    arguments = ["translate", "-t", "fr", "-f", "en", "-i", str(source)]
    cli(*arguments, "-o", str(tmp_path / "one"))
    shards(cli, tmp_path / "out", *arguments, of=3)
    done = cli("merge", str(tmp_path / "out"), "-o", f"{tmp_path / 'merged'}/")
    written = {path.name: path.read_text() for path in (tmp_path / "merged").glob("*.md")}
    assert written == {path.name: path.read_text() for path in (tmp_path / "one").glob("*.md")}, done.err
    assert len(written) == 6


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Rows of which two are equal in all."""
    path = tmp_path / "many.jsonl"
    rows = [{"id": number, "text": f"good day {number}"} for number in range(200)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[7]]))
    return path


def dying(monkeypatch: pytest.MonkeyPatch, fake: Any, windows: int) -> None:
    """Let a run break off after so many windows."""
    choose, calls = type(fake).choose, iter(range(windows))

    def breaking(prompts: Any, labels: Any, *, multi: bool = False) -> Any:
        if next(calls, None) is None:
            raise ZeroDivisionError
        return choose(fake, prompts, labels, multi=multi)

    monkeypatch.setattr(fake, "choose", breaking)


def test_twenty_shards_some_cut_off_some_twice_one_lost(cli, fake, tmp_path: Path, many: Path):
    out, merged = tmp_path / "out", tmp_path / "merged.jsonl"
    arguments = ["sentiment", "-i", str(many), "-q"]
    cli(*arguments, "-o", str(tmp_path / "one.jsonl"))
    with pytest.MonkeyPatch.context() as patch:
        dying(patch, fake, 1)
        assert shards(cli, out, *arguments, of=20, numbers=[4]) == [1]
    with pytest.MonkeyPatch.context() as patch:
        dying(patch, fake, 2)
        assert shards(cli, out, *arguments, of=20, numbers=[11]) == [1]
    others = [number for number in range(1, 21) if number not in (4, 11, 17)]
    assert shards(cli, out, *arguments, of=20, numbers=[*others, 2, 19]) == [0] * 19
    done = cli("merge", str(out), "-i", str(many), "-o", str(merged))
    assert (done.code, merged.exists()) == (5, False)
    assert "error[missing]" in done.err
    assert "shards: 17/20 has no journal, 4/20 did not come to its end, 11/20 did not come to its end" in done.err
    partial = cli("merge", str(out), "-i", str(many), "-o", str(merged), "--partial", "-q")
    rows = [json.loads(line) for line in merged.read_text().splitlines()]
    assert ([row["id"] for row in rows], partial.code) == ([*range(200), 7], 5)
    missing = [row for row in rows if row["status"] == "error"]
    assert {row["error"]["code"] for row in missing} == {"missing"}
    assert f"{len(missing)} rows have no answer: ids {missing[0]['id']}, " in done.err
    asked = len(fake.prompts)
    assert shards(cli, out, *arguments, "--resume", of=20, numbers=[4, 11, 17]) == [0, 0, 0]
    assert len(fake.prompts) - asked == len(missing)
    assert cli("merge", str(out), "-i", str(many), "-o", str(merged)).code == 0
    assert merged.read_bytes() == (tmp_path / "one.jsonl").read_bytes()


def test_a_longer_and_reordered_input_asks_only_for_what_is_new(cli, fake, tmp_path: Path, many: Path):
    out = tmp_path / "out"
    shards(cli, out, "sentiment", "-i", str(many), "-q", of=4)
    rows = [*many.read_text().splitlines(), *(json.dumps({"id": 900 + n, "text": f"new {n}"}) for n in range(9))]
    random.Random(3).shuffle(rows)
    many.write_text("\n".join(rows))
    early = cli("merge", str(out))
    assert ("9 rows have no answer" in early.err, "all shards are done" in early.err) == (True, True)
    asked = len(fake.prompts)
    shards(cli, out, "sentiment", "-i", str(many), "-q", "--resume", of=4)
    assert len(fake.prompts) - asked == 9
    cli("sentiment", "-i", str(many), "-q", "-o", str(tmp_path / "one.jsonl"))
    assert cli("merge", str(out)).out == (tmp_path / "one.jsonl").read_text()


@pytest.mark.parametrize("reordered", [False, True])
def test_what_was_tried_again_counts(cli, fake, tmp_path: Path, many: Path, monkeypatch, reordered: bool):
    from llmcli.errors import GenerationError

    out, choose = tmp_path / "out", type(fake).choose

    def failing(prompts: Any, labels: Any, *, multi: bool = False) -> Any:
        if any(prompt.row.endswith(("3", "day 7")) or "3\n" in prompt.row for prompt in prompts):
            raise GenerationError("no")
        return choose(fake, prompts, labels, multi=multi)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake, "choose", failing)
        assert set(shards(cli, out, "sentiment", "-i", str(many), "-q", of=2)) == {5}
    if reordered:
        many.write_text("".join(reversed(many.read_text().splitlines(keepends=True))))
    assert set(shards(cli, out, "sentiment", "-i", str(many), "-q", "--retry-failed", of=2)) == {0}
    cli("sentiment", "-i", str(many), "-q", "-o", str(tmp_path / "one.jsonl"))
    done = cli("merge", str(out))
    assert (done.out, done.code) == ((tmp_path / "one.jsonl").read_text(), 0), done.err


def test_a_journal_that_is_another_ones_copy_gives_double_answers(cli, fake, tmp_path: Path, many: Path):
    out = tmp_path / "out"
    shards(cli, out, "sentiment", "-i", str(many), "-q", of=2)
    first, second = (out / f"{Shard(number, 2).name}.jsonl.journal" for number in (1, 2))
    lines = second.read_bytes().splitlines(keepends=True)
    second.write_bytes(b"".join([*lines[:-1], *first.read_bytes().splitlines(keepends=True)[1:]]))
    done = cli("merge", str(out))
    assert (done.code, "error[double]: " in done.err) == (5, True)
    assert "rows have more than one answer: ids " in done.err
    shutil.copy(first, second)
    assert "error[missing]" in cli("merge", str(out)).err


def test_answers_without_a_row_are_counted(cli, fake, tmp_path: Path, many: Path):
    shards(cli, tmp_path / "out", "sentiment", "-i", str(many), "-q", of=2)
    many.write_text("".join(many.read_text().splitlines(keepends=True)[30:]))  # of two that are equal one is left
    done = cli("merge", str(tmp_path / "out"), "-o", str(tmp_path / "m.jsonl"))
    assert (done.code, "30 answers belong to no row of the input" in done.err) == (0, True), done.err


def test_other_settings_and_another_number_are_refused(cli, fake, tmp_path: Path, many: Path):
    out = tmp_path / "out"
    arguments = ["classify", "-i", str(many), "-q"]
    shards(cli, out, *arguments, "--labels", "a,b", of=2, numbers=[1])
    other = cli(*arguments, "--labels", "a,b", "-o", str(out), "--shard", "1/3")
    assert (other.code, "holds parts of 2, and not of 3" in other.err) == (2, True)
    shards(cli, out, *arguments, "--labels", "a,c", of=2, numbers=[2])
    done = cli("merge", str(out))
    assert (done.code, "shards 1 and 2 were made with different settings: labels" in done.err) == (2, True)


@pytest.mark.parametrize("name", ["shard-00001-of-00002.jsonl", "shard-00002-of-00002.jsonl.journal", "shards.json"])
def test_a_merge_is_not_written_over_a_shard(cli, fake, tmp_path: Path, many: Path, name: str):
    folder = tmp_path / "out"
    shards(cli, folder, "sentiment", "-i", str(many), of=2)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    done = cli("merge", str(folder), "-o", str(folder / name))
    assert (done.code, done.out, done.err.count("\n"), "a file of the shards" in done.err) == (2, "", 1, True), done.err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert cli("merge", str(folder), "-o", str(folder / "merged.jsonl")).code == 0


def test_a_refused_shard_leaves_the_folder_as_it_says(cli, fake, tmp_path: Path, many: Path):
    """What shards.json says is what the finished ones were made with."""
    folder = tmp_path / "out"
    shards(cli, folder, "sentiment", "-i", str(many), of=2)
    before = (folder / "shards.json").read_bytes()
    done = cli("sentiment", "-i", str(many), "-o", str(folder), "--shard", "1/2", "--all-scores", "--resume")
    assert (done.code, (folder / "shards.json").read_bytes()) == (2, before), done.err


def test_more_shards_than_rows_and_no_row_at_all(cli, fake, tmp_path: Path):
    source = tmp_path / "in.txt"
    source.write_text("good\n")
    assert set(shards(cli, tmp_path / "out", "sentiment", "--lines", "-i", str(source), of=5)) == {0}
    assert cli("merge", str(tmp_path / "out")).out == "positive\t0.9863\n"
    source.write_text("")
    assert shards(cli, tmp_path / "none", "sentiment", "--lines", "-i", str(source), of=2) == [3, 3]


REFUSED: dict[str, tuple[list[str], str]] = {
    "no folder": (["sentiment", "--lines", "--shard", "1/2"], "give -o FOLDER"),
    "standard output": (["sentiment", "--lines", "-o", "-", "--shard", "1/2"], "give -o FOLDER"),
    "a file": (["sentiment", "--lines", "-o", "{file}", "--shard", "1/2"], "give -o FOLDER"),
    "one text": (["sentiment", "-o", "out", "--shard", "1/2"], "the input is one text"),
    "part 0": (["sentiment", "--lines", "-o", "out", "--shard", "0/2"], "numbered from 1 to 2"),
    "part 3 of 2": (["sentiment", "--lines", "-o", "out", "--shard", "3/2"], "numbered from 1 to 2"),
    "no number": (["sentiment", "--lines", "-o", "out", "--shard", "some"], "is not I/N"),
    "auto, and nothing says which": (["sentiment", "--lines", "-o", "out", "--shard", "auto"], "is set"),
    "no journal": (["translate", "--detect", "--lines", "-o", "{out}", "--shard", "1/2"], "are for one process"),
    "a memory": (
        ["translate", "-t", "fr", "--memory", "m.tsv", "--lines", "-o", "out", "--shard", "1/2"],
        "are for one process",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_in_parts(cli, fake, tmp_path: Path, monkeypatch, arguments: list[str], message: str):
    for launcher in cluster.LAUNCHERS:
        monkeypatch.delenv(launcher.rank, raising=False)
    (tmp_path / "file").write_text("mine")
    given = [item.format(file=tmp_path / "file", out=tmp_path / "out") for item in arguments]
    done = cli(*given, stdin="good")
    assert (done.code, message in done.err) == (2, True), done.err
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_without_shards(cli, tmp_path: Path):
    assert cli("merge", str(tmp_path)).code == 3
    (tmp_path / "shards.json").write_text("{}")
    assert cli("merge", str(tmp_path)).code == 3


ARRAY = {"ID": "7", "COUNT": "4", "MIN": "1", "MAX": "10", "STEP": "3"}
SLURM = {f"SLURM_ARRAY_TASK_{name}": value for name, value in ARRAY.items()} | {"SLURM_PROCID": "0"}
ENVIRONMENTS: dict[str, tuple[dict[str, str], str]] = {
    "Slurm array": (SLURM, "3/4"),
    "Slurm array with gaps": (SLURM | {"SLURM_ARRAY_TASK_COUNT": "2"}, "without a gap"),
    "Slurm steps": ({"SLURM_PROCID": "0", "SLURM_NTASKS": "3"}, "1/3"),
    "Kubernetes": ({"JOB_COMPLETION_INDEX": "19", "JOB_COMPLETIONS": "20"}, "20/20"),
    "Kubernetes without a count": ({"JOB_COMPLETION_INDEX": "19"}, "set JOB_COMPLETIONS to N"),
    "Open MPI in Slurm": ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "SLURM_PROCID": "0"}, "2/2"),
    "MPI": ({"PMI_RANK": "0", "PMI_SIZE": "2"}, "1/2"),
    "torchrun": ({"RANK": "2", "WORLD_SIZE": "4"}, "3/4"),
    "a rank too high": ({"RANK": "4", "WORLD_SIZE": "4"}, "without a gap"),
    "no number": ({"RANK": "x", "WORLD_SIZE": "4"}, "RANK is no number"),
}


@pytest.mark.parametrize(("environment", "expected"), ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_auto(environment: dict[str, str], expected: str):
    try:
        found = str(cluster.chosen("auto", environment))
    except UsageError as error:
        found = error.line()
    assert expected in found


def test_the_variables_that_were_read_are_named(cli, fake, tmp_path: Path, monkeypatch):
    for launcher in cluster.LAUNCHERS:
        monkeypatch.delenv(launcher.rank, raising=False)
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "1")
    monkeypatch.setenv("JOB_COMPLETIONS", "2")
    done = cli("sentiment", "--lines", "-o", str(tmp_path / "out"), "--shard", "auto", stdin="good\nbad\n")
    assert "llmcli: shard 2/2, by JOB_COMPLETION_INDEX and JOB_COMPLETIONS of a Kubernetes indexed job" in done.err
    assert (tmp_path / "out" / "shard-00002-of-00002").exists()


RECORDS = st.lists(st.tuples(st.sampled_from("abcd"), st.none() | st.integers(0, 3), st.booleans()), min_size=1)


@settings(deadline=None)
@given(rows=RECORDS, of=st.integers(1, 7))
def test_shards_part_the_rows(rows: list[tuple[str, int | None, bool]], of: int):
    records = [Record(number if own is None else own, text, line=number, named=own is not None, last=last)
               for number, (text, own, last) in enumerate(rows)]  # fmt: skip
    parts = [[*part(iter(records), Shard(number, of), ())] for number in range(1, of + 1)]
    assert sorted(record.line for one in parts for record in one) == [*range(len(rows))]
    for one in parts:
        assert [record.line for record in one] == sorted(record.line for record in one)
        # Nothing that could be worked on is held back while input is awaited.
        for record, following in zip(one, [*one[1:], None], strict=False):
            end = following.line if following else len(records)
            assert record.last == any(other.last for other in records[record.line : end])
    again = random.Random(1).sample(records, len(records))
    assert {record.line for record in part(iter(again), Shard(1, of), ())} == {record.line for record in parts[0]}


def test_merge_imports_nothing_heavy(cli, fake, tmp_path: Path, many: Path):
    """Typer itself imports pydantic, to parse the command line."""
    shards(cli, tmp_path / "out", "sentiment", "-i", str(many), "-q", of=2)
    code = (
        "import sys; from pathlib import Path; from llmcli.cli import merge\n"
        f"merge.command({{'folder': Path({str(tmp_path / 'out')!r}), 'output': Path({str(tmp_path / 'm.jsonl')!r})}})\n"
        "print([name for name in ('torch', 'transformers', 'pydantic', 'ray', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n", done.stderr
    assert (tmp_path / "m.jsonl").exists()
