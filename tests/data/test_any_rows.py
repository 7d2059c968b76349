"""Any rows through read, answer and write: an output row for each input row, valid output, a documented exit code."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from hypothesis import given, strategies

from tests.support.fuzz import bounded

BOUNDED = bounded(40)
CODES = (0, 3, 5)
SCALARS = strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | strategies.text(
    strategies.characters(), max_size=8
)  # fmt: skip
VALUES = strategies.recursive(
    SCALARS,
    lambda inner: (
        strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
CELL = strategies.text(strategies.characters(codec="utf-8"), max_size=6)
PIECES = strategies.sampled_from([b"good", b'"', b",", b"\t", b"\n", b"\r", b"\xff", b"\0", b" ", b"a"])
NAMES = strategies.sampled_from(
    ["id", "custom_id", "text", "label", "input_label", "status", "error", "messages", "file"]
)
OBJECTS = strategies.dictionaries(NAMES | strategies.text(max_size=3), VALUES, max_size=5)
MOSTLY_GOOD = OBJECTS | strategies.fixed_dictionaries({"text": strategies.just("good")})


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


@BOUNDED
@given(rows=strategies.lists(MOSTLY_GOOD, min_size=1, max_size=5), merge=strategies.booleans())
def test_objects(cli, fake, rows: list[dict[str, Any]], merge: bool):
    """Written as Python writes them: with NaN, with lone surrogates."""
    done = cli("sentiment", "--jsonl", *(["--merge"] if merge else []), stdin="\n".join(map(json.dumps, rows)))
    found = [strict(line) for line in done.out.encode().decode().split("\n")[:-1]]
    assert (done.code in CODES, len(found)) == (True, len(rows)), done.err
    assert all(row["status"] == "ok" or row["error"]["code"] for row in found)
    assert "error[internal]" not in done.err


@BOUNDED
@given(rows=strategies.lists(MOSTLY_GOOD, min_size=1, max_size=5))
def test_objects_of_an_array(cli, fake, rows: list[dict[str, Any]]):
    done = cli("sentiment", "--format", "json", stdin=json.dumps(rows, indent=1))
    assert (done.code in CODES, len(done.out.split("\n")) - 1) == (True, len(rows)), done.err


@BOUNDED
@given(lines=strategies.lists(strategies.binary(max_size=12), min_size=1, max_size=6),
       arguments=strategies.sampled_from([[], ["--json"], ["--all-scores"]]))  # fmt: skip
def test_lines_of_any_bytes(cli, fake, lines: list[bytes], arguments: list[str]):
    raw = b"good\n" + b"\n".join(line.replace(b"\n", b" ") for line in lines) + b"\n"
    done = cli("sentiment", "--lines", *arguments, stdin=raw)
    assert (done.code in CODES, done.out.count("\n")) == (True, len(lines) + 1), done.err


@BOUNDED
@given(cells=strategies.lists(CELL, min_size=2, max_size=8), delimiter=strategies.sampled_from([",", ";", "\t"]))
def test_tables_of_any_cells(cli, fake, cells: list[str], delimiter: str):
    """A table that is quoted throughout comes back cell by cell, with the task's columns behind."""
    rows = [["good", cell] for cell in cells]
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([["text", "n"], *rows])
    done = cli("sentiment", "--csv", stdin=out.getvalue())
    assert done.code in CODES, done.err
    found = list(csv.reader(io.StringIO(done.out, newline=""), delimiter=delimiter, strict=True))
    assert found[0] == ["text", "n", "label", "score", "status", "error"]
    assert [row[:2] for row in found[1:] if row[4] == "ok"] == [row for row in rows if "\0" not in row[1]]


@BOUNDED
@given(raw=strategies.lists(PIECES, max_size=40), format=strategies.sampled_from(["csv", "tsv"]))
def test_tables_of_any_bytes(cli, fake, raw: list[bytes], format: str):
    done = cli("sentiment", "--format", format, stdin=b"n\ttext\n" + b"".join(raw))
    assert done.code in CODES, done.err
    assert "error[internal]" not in done.err
    widths = {len(row) for row in csv.reader(io.StringIO(done.out, newline=""), delimiter="\t", strict=True)}
    assert widths <= {6}
