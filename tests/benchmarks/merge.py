"""What it costs to merge shards: seconds and peak memory over many rows.

``python -m tests.benchmarks.merge ROWS... [--again]`` writes journals of 20 shards with so many rows, without a model,
and merges them. ``--again``: as if each shard had been cut off in its middle and resumed, so that half of the answers
are found by an index.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from llmcli.cluster import shards
from llmcli.config.cluster import ClusterOptions, Shard, number_of
from llmcli.config.options import InputOptions, OutputOptions
from llmcli.config.run_config import RunOptions
from llmcli.run import keys
from llmcli.run.journal import Journal
from llmcli.run.records import Record, Result
from llmcli.tasks import sentiment

OF, WINDOW = 20, 32
FIELDS = {"label": "positive", "score": 0.987654, "scores": {"positive": 0.987654, "negative": 0.012346}}


def prepare(folder: Path, rows: int, *, again: bool) -> None:
    """An input, and a folder of shards that have answered it."""
    source, out = InputOptions(input=[folder / "in.jsonl"], format="jsonl"), folder / "out"
    options = sentiment.TASK.options()
    paths = {}
    for number in range(1, OF + 1):
        shard = Shard(number, OF)
        paths[number] = out / f"{shard.name}.jsonl"
        run = RunOptions("sentiment", source, OutputOptions(output=paths[number], quiet=True), options,
                         cluster=ClusterOptions(shard=str(shard)))  # fmt: skip
        if number == 1:
            (folder / "in.jsonl").touch()
        shards.claim(run, shard)
        shards.note(run, shard)
    journals = {number: _open(path) for number, path in paths.items()}
    waiting: dict[int, list[str]] = {number: [] for number in paths}
    with (folder / "in.jsonl").open("w") as stream:
        for number in range(rows):
            if again and number == rows // 2:
                for place, journal in journals.items():
                    journal.__exit__(None)
                    journals[place] = _open(paths[place], resume=True)
            row = {"id": f"row-{number}", "text": f"the text of the row of number {number}"}
            stream.write(json.dumps(row) + "\n")
            digest = keys.digest(Record(row["id"], row["text"], named=True))
            place = number_of(digest, OF)
            waiting[place].append(f"{digest}:1")
            if len(waiting[place]) == WINDOW:
                _keep(journals[place], waiting[place])
    for place, journal in journals.items():
        _keep(journal, waiting[place])
        journal.complete()
        journal.__exit__(None)


def _open(path: Path, *, resume: bool = False) -> Journal:
    output = OutputOptions(resume=True if resume else None, quiet=True)
    journal = Journal(path.with_name(path.name + ".journal"), output=output, fingerprint={"task": "sentiment"})
    return journal.__enter__()


def _keep(journal: Journal, waiting: list[str]) -> None:
    results = [Result(key, FIELDS, model="gemma-3-270m", input_tokens=20) for key in waiting]
    journal.add(waiting, results)
    waiting.clear()


def main(arguments: list[str]) -> None:
    """Print a line for each number of rows."""
    os.fsync = lambda fd: None  # the journals are only made ready here
    for rows in (int(text) for text in arguments if text != "--again"):
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
            folder = Path(name)
            prepare(folder, rows, again="--again" in arguments)
            command = [
                sys.executable,
                "-m",
                "llmcli",
                "merge",
                str(folder / "out"),
                "-o",
                str(folder / "m.jsonl"),
                "-q",
            ]
            start = time.monotonic()
            process = subprocess.Popen(command)
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.monotonic() - start
            journals = sum(path.stat().st_size for path in (folder / "out").glob("*.journal"))
            assert status == 0, "it was not merged"
            print(f"{rows:,} rows: exit code {os.waitstatus_to_exitcode(status)}, {seconds:.1f} s, "
                  f"{used.ru_utime + used.ru_stime:.1f} s of CPU, {rows / seconds:,.0f} rows/s, "
                  f"peak {used.ru_maxrss / 1024:.0f} MB, journals {journals / 1e6:,.0f} MB", flush=True)  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
