"""JSONL: a JSON object a line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from llmcli.config.run_config import RunOptions
from llmcli.data.formats.fields import Pick
from llmcli.data.formats.plain import decoded, numbered
from llmcli.data.lines import LineReader
from llmcli.errors import InputError
from llmcli.run.records import Record


class Jsonl:
    """See Format."""

    def __init__(self, run: RunOptions[Any]) -> None:
        self.columns: list[str] = []
        self._pick = Pick(run)

    def prepare(self, lines: LineReader, *, name: str) -> None:
        """See Format: objects of any fields fit."""

    def rows(self, lines: LineReader, *, name: str) -> Iterator[Record]:
        """See Format; blank lines are no rows."""
        for empty, raw in numbered(lines, name=name):
            if raw is None or raw.strip():
                yield decoded(empty, raw, lambda empty, text: self._pick(empty, parse(text)))


def parse(text: str) -> dict[str, Any]:
    """A JSON object, strictly: no NaN, no number beyond floats, no repeated keys, no bottomless nesting.

    Raises InputError.
    """
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        message = error.msg[0].lower() + error.msg[1:]
        raise InputError(f"{message} at column {error.colno}; row skipped", code="bad-json") from error
    except RecursionError as error:
        raise InputError("nested too deeply; row skipped", code="bad-json") from error
    except ValueError as error:  # a number of thousands of digits
        raise InputError(f"{str(error)[:80]}; row skipped", code="bad-json") from error
    if not isinstance(value, dict):
        raise InputError("the row is not an object; row skipped", code="bad-json")
    return value


def _refuse(constant: str) -> None:
    raise InputError(f"{constant} is not JSON; row skipped", code="bad-json")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise InputError("a number is larger than any float; row skipped", code="bad-json")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InputError("a key is given twice; row skipped", code="bad-json")
    return found
