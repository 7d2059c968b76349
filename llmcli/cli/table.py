"""Tables: aligned and with a header on a terminal, tab-separated values elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence

from llmcli.errors import one_line
from llmcli.reports import put

GAP = "  "


def show(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on standard output; no control character of a cell reaches it.

    A terminal has a line for each row: where columns do not fit, the widest but the first are cut.
    """
    clean = [[one_line(cell) for cell in row] for row in rows]
    if sys.stdout is not None and sys.stdout.isatty():
        lines = _aligned([list(header), *clean], shutil.get_terminal_size().columns)
    else:
        lines = map("\t".join, clean)
    for line in lines:
        put(line.rstrip())


def _aligned(rows: Sequence[Sequence[str]], columns: int) -> Iterator[str]:
    from rich.cells import cell_len, set_cell_size

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    room = columns - len(GAP) * (len(widths) - 1)
    while sum(widths) > room and (widest := max(widths[1:])) > 1:
        widths[widths.index(widest, 1)] -= 1
    for row in rows:
        cells = [cell if cell_len(cell) <= width else set_cell_size(cell, width - 1) + "…"
                 for cell, width in zip(row, widths, strict=True)]  # fmt: skip
        yield GAP.join(set_cell_size(cell, width) for cell, width in zip(cells, widths, strict=True))
