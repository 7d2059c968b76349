"""Rows that say what is right: a label, a reference, answers, or a completion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from llmcli.config.run_config import RunOptions
from llmcli.data import inputs, readers
from llmcli.data.formats.fields import MISSING, lookup
from llmcli.errors import InputError, UsageError, shown
from llmcli.run.records import Record, bad

FIELDS: dict[str, tuple[str, ...]] = {
    "classify": ("label",),
    "sentiment": ("label",),
    "translate": ("reference",),
    "summarize": ("reference",),
    "answer": ("answers", "answer"),
    "generate": ("completion", "reference"),
}
"""The fields that hold what is right, by task: the first that a row has."""
ROWS_OF_TEXT = ("text", "lines")
"""Formats whose rows have no fields."""


@dataclass(frozen=True)
class Row:
    """A row, and what is right: any of ``gold``. An empty text is right where a question has no answer."""

    record: Record
    gold: tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """Rows that can be used, and those that cannot, each with its error."""

    usable: list[Row]
    broken: list[Record]

    @property
    def read(self) -> int:
        """All rows that were read."""
        return len(self.usable) + len(self.broken)


def read(run: RunOptions[Any], label_field: str | None) -> Rows:
    """The labelled rows of a run's input.

    Raises UsageError where the input's rows have no fields, InputError where none can be used: then its message lists
    the columns that there are.
    """
    if run.format in ROWS_OF_TEXT:
        raise UsageError("labelled rows have fields", hint="give a .jsonl, .json, .csv or .tsv file, or --format")
    names = FIELDS[run.task] if label_field is None else (label_field,)
    usable: list[Row] = []
    broken: list[Record] = []
    files, one = inputs.listed(run), FIELDS[run.task] == ("label",)
    for record in readers.read(run, files):
        row = labelled(record, names, prompted=run.task == "generate" and run.source.field is None, one=one)
        if isinstance(row, Row):
            usable.append(row)
        else:
            broken.append(row)
    if not usable:
        raise _nothing(broken, names)
    return Rows(usable, broken)


def labelled(record: Record, names: tuple[str, ...], *, prompted: bool = False, one: bool = False) -> Row | Record:
    """The row of a record; or the record with its error.

    ``prompted``: its text may be the field ``prompt``. ``one``: what is right is one text, and not an empty one.
    """
    if prompted:
        record = _prompted(record)
    if record.error is not None:
        return record
    try:
        row = _row(record, names)
        if one and (len(row.gold) != 1 or not row.gold[0]):
            raise InputError("a row has one label", code="bad-field")
        return row
    except InputError as error:
        return bad(record, error)


def _prompted(record: Record) -> Record:
    text = record.fields.get("prompt")
    missing = record.error is not None and record.error.code == "missing-field"
    return replace(record, text=text, error=None) if missing and isinstance(text, str) and text.strip() else record


def _row(record: Record, names: tuple[str, ...]) -> Row:
    value = next((found for name in names if (found := lookup(record.fields, name)) is not MISSING), MISSING)
    if value is MISSING and (spoken := _spoken(record)) is not None:
        return spoken
    if value is MISSING:
        raise InputError(f"the field {names[0]!r} is missing", code="missing-field", hint="see --label-field")
    return Row(record, tuple(_texts(value, names[0])))


def _spoken(record: Record) -> Row | None:
    """Of a chat whose last word is the assistant's, that is right, and what stands before is asked."""
    said = record.fields.get("messages")
    if not isinstance(said, list) or len(said) < 2 or not isinstance(said[-1], Mapping):
        return None
    last = said[-1].get("content")
    if said[-1].get("role") != "assistant" or not isinstance(last, str):
        return None
    return Row(replace(record, fields={**record.fields, "messages": said[:-1]}), (last,))


def _texts(value: Any, name: str) -> Iterator[str]:
    """What is right: a text, a whole number, or several; SQuAD's ``{"text": […]}`` too. Raises InputError."""
    if isinstance(value, Mapping):
        value = value.get("text")
    if isinstance(value, list):
        if not value:
            yield ""  # a question without an answer
        for one in value:
            yield from _texts(one, name) if isinstance(one, str | Mapping) else _texts(None, name)
    elif isinstance(value, str):
        yield value.strip()
    elif isinstance(value, int):
        yield str(value)
    else:
        raise InputError(f"the field {name!r} is neither text nor a list of texts", code="bad-field")


def _nothing(broken: list[Record], names: tuple[str, ...]) -> InputError:
    """Why there is no row: a column that is missing everywhere is named, beside those that there are."""
    if not broken:
        return InputError("the input is empty", code="empty")
    error = broken[0].error
    assert error is not None  # it is broken
    columns = list(dict.fromkeys(name for record in broken[:100] for name in record.fields))
    listed = ", ".join(shown(name) for name in columns[:12]) or "none"
    message = f"no row can be used: {error.message}"
    if error.code == "missing-field":
        message += f"; the columns are: {listed}"
    return InputError(message, code=error.code, hint="see --field and --label-field", where=broken[0].where)


def labels(rows: Iterable[Row]) -> list[str]:
    """The labels of rows, sorted."""
    return sorted({row.gold[0] for row in rows})
