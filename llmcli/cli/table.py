"""Tables: aligned and with a header on a terminal, tab-separated values elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from llmcli.errors import one_line


def show(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on standard output. Control characters in cells are not."""
    clean = [[one_line(cell) for cell in row] for row in rows]
    if sys.stdout is None or not sys.stdout.isatty():
        for row in clean:
            print("\t".join(row).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(header):
        table.add_column(name, no_wrap=place == 0, overflow="fold")
    for row in clean:
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table)
