"""The picture of the quality page's table: ``python -m tests.support.quality_picture`` makes it anew."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from tests.benchmarks import drawing
from tests.benchmarks.drawing import Bar

DOCS = Path(__file__).parents[2] / "docs"
PICTURE = DOCS / "pictures" / "quality.svg"
HEADER = "| rows | number | model | way | score |\n|---|---|---|---|---|\n"


def drawn() -> str:
    """The scores of the table, a group of bars for each set of rows."""
    table = (DOCS / "quality.md").read_text("utf-8").split(HEADER, 1)[1].split("\n\n", 1)[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    groups = groupby(cells, lambda cell: f"{cell[0]}: {cell[4].split()[0]}")
    return drawing.svg([(title, [_bar(cell) for cell in group]) for title, group in groups])


def _bar(cells: list[str]) -> Bar:
    _, _, model, way, score = cells
    _, value, interval = score.split(" ", 2)
    return f"{model}, {way}" if way != "–" else model, float(value), f"{value} {interval}"


if __name__ == "__main__":
    PICTURE.write_text(drawn(), encoding="utf-8")
