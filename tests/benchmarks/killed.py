"""Training that is killed at random moments, and resumed: ``python -m tests.benchmarks.killed [--runs 30]``.

Trains an adapter on a tiny checkpoint once without a stop; then again and again, each time ended by SIGKILL at a random
moment (a third of the runs twice) and gone on with ``--resume``. Prints whether the weights are the same bytes.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support import tiny

WORDS = (["cat", "dog", "bridge", "river", "sleeps"], ["rain", "sun", "tea", "morning", "noon"])
OPTIONS = ["--method", "lora", "--rate", "0.003", "--epochs", "12", "--batch", "8", "-q"]


def main() -> None:
    """Print a line a run, and how many gave the same bytes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=30)
    runs = parser.parse_args().runs
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "base").mkdir()
        tiny.llama(folder / "base")
        (folder / "rows.jsonl").write_text("".join(rows(draw)))
        begin = time.monotonic()
        expected = train(folder, "whole")
        assert expected is not None
        seconds, same = time.monotonic() - begin, 0
        for run in range(runs):
            moments = [draw.uniform(0.15, 0.85) * seconds for _ in range(1 + (run % 3 == 0))]
            output = f"run{run}"
            killed = sum(train(folder, output, kill=moment) is None for moment in moments)
            found = train(folder, output)
            same += found == expected
            print(f"run {run}: killed {killed} times, {'same' if found == expected else 'OTHER'} bytes", flush=True)
        print(f"{same} of {runs} runs gave the same bytes; a whole run takes {seconds:.0f} s")


def rows(draw: random.Random) -> list[str]:
    """Rows whose label their words tell."""
    found = []
    for place in range(120):
        text = " ".join([*draw.choices(WORDS[place % 2], k=5), str(place)])
        found.append(json.dumps({"id": place, "text": text, "label": "ab"[place % 2]}) + "\n")
    return found


def train(folder: Path, output: str, *, kill: float | None = None) -> bytes | None:
    """The bytes of the adapter; None where it was killed before it was written."""
    target = folder / output
    if target.exists():
        return (target / "adapter_model.safetensors").read_bytes()
    process = subprocess.Popen(
        [sys.executable, "-m", "llmcli", "train", "classify", "rows.jsonl", "-m", "base", "-o", output, "--resume",
         *OPTIONS], cwd=folder, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        code = process.wait(timeout=kill)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None
    assert code == 0, code
    return (target / "adapter_model.safetensors").read_bytes()


if __name__ == "__main__":
    main()
