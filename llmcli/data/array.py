"""``-o NAME.npy``: the vectors of all rows as one array, as NumPy reads it; a row that failed is NaN."""

from __future__ import annotations

import array
import io
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

from llmcli.config.run_config import RunOptions, plain, real
from llmcli.data.inputs import partial
from llmcli.data.sinks import reported
from llmcli.errors import UsageError, shown
from llmcli.run.records import Result
from llmcli.run.task import Task


class Array:
    """A file of (rows, width) float32: its rows are written as they come, their number at the end.

    ``NAME.partial`` until it is whole. Raises UsageError for a task or a target that it cannot be, OutputError.
    """

    format = "npy"
    shows_errors = True

    def __init__(self, run: RunOptions[Any], task: Task[Any], target: Path) -> None:
        if not task.array:
            raise UsageError(f"{shown(target)}: {task.name} gives no vectors", hint="give a name of another ending")
        if not plain(target):
            raise UsageError(f"{shown(target)}: an array needs a file", hint="give -o NAME.npy, or --json")
        if run.output.json or run.output.merge:
            raise UsageError(f"{shown(target)}: --json and --merge give no array", hint="give -o NAME.jsonl")
        self._field, self._target = task.array, real(target)
        self._partial = partial(self._target)
        self._stream: BinaryIO | None = None
        self._rows = self._width = 0

    def open(self) -> None:
        """Make ready to write."""
        with reported(self._target):
            self._partial.unlink(missing_ok=True)
            opened = os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            self._stream = os.fdopen(opened, "wb")

    def write(self, result: Result) -> None:
        """Add a row. How wide rows are, the first one that is no error tells."""
        vector = None if result.error else result.fields[self._field]
        with reported(self._target):
            if vector is not None and not self._width:
                self._width = len(vector)
                self._head()
                for _ in range(self._rows):
                    self._put([float("nan")] * self._width)
            self._rows += 1
            if self._width:
                self._put(vector or [float("nan")] * self._width)

    def emit(self, piece: str) -> None:
        """Nothing: a vector has no pieces."""

    def close(self, *, whole: bool) -> None:
        """Nothing more comes. Where nothing was put, nothing is left."""
        if self._stream is None:
            return
        with reported(self._target):
            if whole:
                self._stream.seek(0)
                self._head()
                self._stream.flush()
                os.fsync(self._stream.fileno())
            self._stream.close()
            if whole:
                self._partial.replace(self._target)
            elif not self._width:
                self._partial.unlink()

    def _head(self) -> None:
        """The header; as long for any number of rows, which NumPy leaves room for."""
        from numpy.lib import format as npy

        head = io.BytesIO()
        shape = (self._rows, self._width)
        npy.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": shape})
        assert self._stream is not None  # opened before
        self._stream.write(head.getvalue())

    def _put(self, vector: list[float]) -> None:
        assert self._stream is not None  # opened before
        numbers = array.array("f", vector)
        if sys.byteorder == "big":
            numbers.byteswap()
        self._stream.write(numbers.tobytes())
