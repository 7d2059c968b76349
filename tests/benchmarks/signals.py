"""Signals at random times: ``python -m tests.benchmarks.signals [--count N] [--seed N]``.

INT and TERM, alone or two in a row, through every phase of three calls: the help, one text, and a batch with an output
on a tiny checkpoint. Whatever a signal does not end must have ended before it, with the right output.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.support import tiny

NUMBERS = (signal.SIGINT, signal.SIGTERM)
BEGUN = b", in main\n"
"""What stands in a traceback once the program has begun: before, Python starts and finds it, and INT shows one."""
LINE = b"llmcli: "


def main() -> None:
    """Print how often each call ended in which way; exit 1 where it ended in a wrong one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tiny.BUILDERS["distilbert"](folder / "model")
        (folder / "in").write_text("a good day\n" * 300)
        options = ["--no-worker", "-m", str(folder / "model")]
        calls = {
            "help": ["--help"],
            "text": ["sentiment", "a good day", *options],
            "batch": [
                "sentiment",
                "--lines",
                "-i",
                str(folder / "in"),
                "-o",
                str(folder / "out"),
                "--no-resume",
                *options,
            ],
        }
        wrong = 0
        for label, call in calls.items():
            whole, seconds = _whole(call)
            ends: Counter[str] = Counter()
            for _ in range(given.count // len(calls)):
                ends[_end(call, chance, seconds, whole)] += 1
            wrong += sum(count for end, count in ends.items() if end.startswith("WRONG"))
            print(f"{label}, {seconds:.1f} s: " + ", ".join(f"{end} {count}" for end, count in sorted(ends.items())))
    sys.exit(wrong > 0)


def _start(call: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "llmcli", *call],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _whole(call: list[str]) -> tuple[bytes, float]:
    """What a call prints that nobody disturbs, and how long it takes."""
    start = time.monotonic()
    out, err = _start(call).communicate()
    assert b"rror" not in err, err
    return out, time.monotonic() - start


def _end(call: list[str], chance: random.Random, seconds: float, whole: bytes) -> str:
    """How a call ended that got one signal or two."""
    process = _start(call)
    sent = []
    wait = chance.uniform(0, seconds * 1.1)
    for _ in range(chance.choice((1, 1, 2))):
        time.sleep(wait)
        if process.poll() is None:
            sent.append(chance.choice(NUMBERS))
            process.send_signal(sent[-1])
        wait = chance.uniform(0, 0.05)
    out, err = process.communicate(timeout=60)
    if not all(line.startswith(LINE) for line in err.splitlines()):
        return "before main()" if BEGUN not in err else f"WRONG {err[-300:]!r}"
    if -process.returncode in sent:
        return "died"
    if process.returncode == 0 and out == whole:
        return "whole, at its very end" if sent else "whole"
    return f"WRONG {process.returncode}, {sent}, {err!r}"


if __name__ == "__main__":
    main()
