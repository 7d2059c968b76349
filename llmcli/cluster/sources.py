"""Inputs that are no local rows: Parquet, and files of object stores, which are copied once to be read twice."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmcli.config.run_config import RunOptions
from llmcli.errors import InputError

PARQUET = ".parquet"
_REMOTE = re.compile(r"([a-z][a-z0-9+]+):/+(.+)")
"""A URI whose slashes a path has folded."""


def local(run: RunOptions[Any], folder: Path) -> RunOptions[Any]:
    """The run on local files of rows: what is Parquet, or remote, is copied into a folder. Raises InputError."""
    paths = [_local(path, folder / str(number)) for number, path in enumerate(run.source.input)]
    return replace(run, source=replace(run.source, input=paths))


def _local(path: Path, folder: Path) -> Path:
    remote = _REMOTE.fullmatch(str(path))
    if remote is None and path.suffix.lower() != PARQUET:
        return path
    name = path.name if path.suffix.lower() != PARQUET else f"{path.name}.jsonl"
    target = folder / name
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{name}.partial")
    try:
        with _opened(f"{remote[1]}://{remote[2]}" if remote else str(path.absolute())) as stream:
            if path.suffix.lower() == PARQUET:
                with partial.open("w", encoding="utf-8") as rows:
                    rows.writelines(_rows(stream))
            else:
                with partial.open("wb") as copy:
                    shutil.copyfileobj(stream, copy, 1 << 20)
    except (OSError, ValueError) as error:  # pyarrow's are of these kinds
        reason = str(error).split("\n")[0][:200]
        raise InputError(f"{path}: {reason}", code="unreadable") from error
    partial.replace(target)
    return target


def _opened(uri: str) -> Any:
    from pyarrow import fs

    system, place = fs.FileSystem.from_uri(uri)
    return system.open_input_file(place)


def _rows(stream: Any) -> Iterator[str]:
    """The rows of a Parquet file as lines of JSON; a number that JSON lacks is null, a date its text."""
    from pyarrow import parquet

    for batch in parquet.ParquetFile(stream).iter_batches(1024):
        for row in batch.to_pylist():
            yield json.dumps(_plain(row), ensure_ascii=False, default=str) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
