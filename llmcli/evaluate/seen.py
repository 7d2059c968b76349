"""``rows.jsonl`` of a trained model: on which side of the split each row stood."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from llmcli.errors import ModelError, UsageError, shown
from llmcli.evaluate.rows import Row
from llmcli.run.records import Record, spoken

NAME = "rows.jsonl"
TEST = "test"
"""The side whose rows a model has not seen, in training or in being chosen."""


def content(record: Record) -> str:
    """What a row says, without case, marks and white space: rows of equal content are the same row."""
    parts = (record.text, record.fields.get("question"), spoken(record.fields))
    said = " ".join(str(part) for part in parts if part is not None)
    text = unicodedata.normalize("NFKC", said).casefold()
    return " ".join(re.findall(r"\w+", text)) or text


def digest(record: Record) -> str:
    """A row's content in short."""
    return hashlib.blake2b(content(record).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def sides(folder: Path) -> dict[str, str]:
    """The side of each row, by its digest; none where the folder holds no trained model. Raises ModelError."""
    path = folder / NAME
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return {}
    try:
        rows = [json.loads(line) for line in lines if line]
        return {str(row["digest"]): str(row["side"]) for row in rows}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{shown(path)}: damaged", code="bad-model") from error


def unseen(rows: Sequence[Row], folders: Iterable[tuple[str, Path]], *, drop: bool) -> list[Row]:
    """The rows, where no model has seen any; those that none has seen, where the others are to be dropped.

    ``folders``: the models' names and folders. Raises UsageError for rows that a model has seen.
    """
    left = list(rows)
    for name, folder in folders:
        known = sides(folder)
        fresh = [row for row in left if known.get(digest(row.record), TEST) == TEST]
        if len(fresh) < len(left) and not drop:
            raise UsageError(f"{name} has seen {len(left) - len(fresh)} of these {len(left)} rows in training",
                             code="leaked", hint="--drop-seen leaves them out")  # fmt: skip
        left = fresh
    if not left:
        raise UsageError("all rows were seen in training", code="leaked", hint="give other rows")
    return left
