"""How a table is written, seen from its beginning: what stands between columns, and what quotes mean."""

from __future__ import annotations

import csv
import re

_QUOTED = re.compile(r'"(?:[^"]|"")*"')
MARKS = ",;\t|"
"""What may stand between two columns, the likeliest first."""


def delimiter(header: str) -> str:
    """What stands between the columns of a header: the mark that is most frequent outside quotes."""
    return max(MARKS, key=_QUOTED.sub("", header).count)


def literal(sample: bytes, *, whole: bool, delimiter: str, columns: int) -> bool:
    """Whether quotes are characters like others in a table of so many columns, as in TSV files they often are.

    ``sample`` begins with a row that holds quotes, and ends anywhere unless it is ``whole``.
    """
    lines = sample.decode("utf-8", "surrogateescape").split("\n")
    lines = [line.removesuffix("\r") for line in (lines if whole or len(lines) == 1 else lines[:-1])]
    fitting = all(line.count(delimiter) == columns - 1 for line in lines if line)
    try:
        rows = list(csv.reader([f"{line}\n" for line in lines], delimiter=delimiter, strict=True))
    except csv.Error as error:
        # A cell that the sample's end cuts may end behind it.
        return whole or fitting or "unexpected end" not in str(error)
    if any(len(row) != columns for row in rows if row):
        return fitting
    return fitting and not any(_spreadsheet(line.split(delimiter)) for line in lines)


def _spreadsheet(cells: list[str]) -> bool:
    """Whether cells are quoted as a spreadsheet does it: with quotes doubled, or for the sake of a comma."""
    return any(cell.startswith('"') and ('""' in cell or "," in cell) for cell in cells)
