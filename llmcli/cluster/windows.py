"""Windows of rows as Parquet files: what a cluster is given to answer, and what it gives back.

A window is what one process would work on together: so its answers are the same wherever, and however often, it is
worked on. It is found by a key of its rows' keys.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmcli.run import keys, runner
from llmcli.run.journal import Journal
from llmcli.run.records import Record
from llmcli.run.seen import Seen
from llmcli.tasks import _packing

KEY, PLACE, ROWS, ANSWERS = "key", "place", "rows", "answers"
"""Columns: a window's key, its place in the input, its rows or their answers as JSON."""
DOUBLED, AT_MOST = 32, 8192
"""A file is one window at first, twice as many after so many files, and never more than so many rows."""
KEPT = 16
"""Windows of which one line of the journal is made."""


@dataclass(frozen=True)
class Planned:
    """What there is to do: windows, rows in them, and a digest of the windows' keys."""

    windows: int
    rows: int
    digest: str


def plan(
    records: Iterator[Record], folder: Path, *, journal: Journal, size: int, seed: int | None,
    row_fields: Sequence[str],
) -> Planned:  # fmt: skip
    """Write the windows of all rows that the journal lacks, and that can be answered."""
    seen, waiting, files = Seen(), list[dict[str, Any]](), 0
    windows = rows = 0
    whole = hashlib.blake2b(digest_size=16)
    seed = journal.seed if seed is None else seed
    for place, window in enumerate(runner.windows(records, size=lambda: size)):
        packed = {}
        for record in window:
            key = keys.key(record, seen, row_fields)
            if record.error is None and journal.find(key, record) is None:
                packed[key] = _packing.pack_record(replace(record, seed=runner.row_seed(seed, key)))
        if not packed:
            continue
        windows, rows = windows + 1, rows + len(packed)
        digest = hashlib.blake2b("\0".join(packed).encode(), digest_size=16).hexdigest()
        whole.update(f"{place}:{digest}".encode())
        waiting.append({KEY: digest, PLACE: place, ROWS: json.dumps(packed, default=str)})
        if len(waiting) >= min(1 << files // DOUBLED, max(AT_MOST // size, 1)):
            files = _write(waiting, folder, files)
    if waiting:
        _write(waiting, folder, files)
    return Planned(windows, rows, whole.hexdigest())


def _write(waiting: list[dict[str, Any]], folder: Path, files: int) -> int:
    """Write a file of the windows that wait; how many files there are then."""
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(waiting), folder / f"{files:07}.parquet")
    waiting.clear()
    return files + 1


def answered(folder: Path) -> int:
    """How many windows have answers."""
    return sum(parquet.num_rows for parquet in map(_metadata, folder.glob("*.parquet")) if parquet is not None)


def _metadata(path: Path) -> Any:
    """What a file says of itself; None for one that is not whole."""
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_metadata(path)
    except (OSError, pyarrow.ArrowInvalid):
        return None


def harvest(folder: Path, journal: Journal) -> None:
    """Put all answers into the journal, in the input's order as far as files are in it."""
    from pyarrow import parquet

    def first(path: Path) -> int:
        return int(parquet.read_table(path, columns=[PLACE])[PLACE][0].as_py())

    waiting: dict[str, Any] = {}
    whole = (path for path in folder.glob("*.parquet") if (found := _metadata(path)) and found.num_rows)
    for path in sorted(whole, key=first):
        rows = sorted(parquet.read_table(path).to_pylist(), key=lambda row: int(row[PLACE]))
        for number, row in enumerate(rows, 1):
            answers: Mapping[str, Any] = json.loads(row[ANSWERS])
            waiting |= answers
            if number % KEPT == 0:
                journal.keep(waiting)
                waiting = {}
    journal.keep(waiting)
