"""All of the speed benchmarks in one run: ``python -m tests.benchmarks DATA_FOLDER [--draw FILE.svg]``.

Whole calls, rows and tokens a second with their answers' quality, and memory; llmcli beside the script that a user
would write, and beside CTranslate2 and llama-cpp-python where they are installed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from tests.benchmarks import drawing, memory, peers, speed, warm


def main() -> None:
    """Print the tables, and draw them where a file is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    speed.arguments(parser)
    parser.add_argument("--draw", type=Path, help="an SVG file")
    given = parser.parse_args()
    for name, there in (("CTranslate2", peers.ctranslate2()), ("llama-cpp-python", peers.llama())):
        print(f"{name}: {'measured' if there else 'not installed, skipped'}")
    times = warm.measure(given.rounds)
    memory.main()
    found = speed.measure(given.folder, rounds=given.rounds, count=given.rows, only=given.only)
    if given.draw:
        given.draw.write_text(drawing.svg([calls(times), *works(found)]), "utf-8")


def calls(times: dict[str, float]) -> tuple[str, list[drawing.Bar]]:
    """Seconds of whole calls."""
    names = {"script": "script", "cold": "llmcli, cold", "warm": "llmcli, warm"}
    bars = [(label, times[name], f"{times[name]:.2f} s") for name, label in names.items()]
    return "sentiment of one text, seconds (shorter is better)", bars


def works(found: Sequence[speed.Speed]) -> list[tuple[str, list[drawing.Bar]]]:
    """What each contestant does a second."""
    return [
        (
            f"{work}, {unit} a second (longer is better)",
            [(row.contestant, row.speed, f"{row.speed:.1f}") for row in rows],
        )
        for (work, unit), rows in groupby(found, key=lambda row: (row.work, row.unit))
    ]


if __name__ == "__main__":
    main()
