"""From a row's fields to its record."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmcli.config.run_config import RunOptions
from llmcli.errors import InputError
from llmcli.reports import say
from llmcli.run.records import Record, bad, messages
from llmcli.run.seen import Seen

IDS = ("id", "custom_id")
"""Fields that hold a row's id where none is named."""
MISSING = object()
_PLACE = re.compile(r"\{([^{}]+)\}")


class Pick:
    """Picks text and id out of a row's fields, and checks them; one for all files of a run.

    The ids of a field that is named must be unique. Others may repeat, which is said once.
    """

    def __init__(self, run: RunOptions[Any]) -> None:
        self._text, self._named = run.source.text_field, run.source.field is not None
        self._template = run.source.template
        self._ids = IDS if run.source.id_field is None else tuple(filter(None, [run.source.id_field]))
        self._unique = bool(run.source.id_field)
        self._quiet = run.output.quiet
        self._seen = Seen() if self._unique or not self._quiet else None

    def __call__(self, empty: Record, fields: Mapping[str, Any]) -> Record:
        """The record of a row, or its error record."""
        record = self.identified(empty, fields)
        try:
            self._check(record, fields)
            return replace(record, text=self._picked(fields))
        except InputError as error:
            return bad(record, error)

    def identified(self, empty: Record, fields: Mapping[str, Any]) -> Record:
        """The row's fields and its id, as far as it has one; nothing is checked."""
        found = self._id(fields)
        usable = isinstance(found, str | int) and not isinstance(found, bool) and found != ""
        return replace(empty, fields=fields, **({"id": found, "named": True} if usable else {}))

    def _id(self, fields: Mapping[str, Any]) -> Any:
        return next((value for name in self._ids if (value := lookup(fields, name)) is not MISSING), None)

    def _check(self, record: Record, fields: Mapping[str, Any]) -> None:
        """Raise InputError for a row's id that cannot be used."""
        if not record.named:
            if self._id(fields) not in (None, ""):
                raise InputError("the id is neither text nor a whole number", code="bad-id")
            if self._unique:
                raise InputError(f"the field {self._ids[0]!r} is missing", code="missing-field")
        elif self._seen is not None and self._seen.count(f"{type(record.id).__name__}:{record.id}") > 1:
            if self._unique:
                raise InputError(f"the id in {self._ids[0]!r} was seen before; row skipped", code="duplicate-id")
            self._seen = None
            if not self._quiet:
                say(f"llmcli: {record.where}: an id that was seen before; --id-field makes such rows errors")

    def _picked(self, fields: Mapping[str, Any]) -> str:
        """The row's text: of a template, its field, or what the user says last in its messages. Raises InputError."""
        if self._template is not None:
            return _PLACE.sub(lambda match: _part(fields, match[1]), self._template)
        text = lookup(fields, self._text)
        if text is MISSING and not self._named and (said := messages(fields)):
            return next(message["content"] for message in reversed(said) if message["role"] == "user")
        if text is MISSING:
            raise InputError(f"the field {self._text!r} is missing", code="missing-field", hint="see --field")
        if not isinstance(text, str):
            raise InputError(f"the field {self._text!r} is not text", code="bad-field")
        return text


def _part(fields: Mapping[str, Any], name: str) -> str:
    """What stands in a template for a field: text as it is, other values as JSON. Raises InputError."""
    value = lookup(fields, name)
    if value is MISSING:
        raise InputError(f"the field {name!r} is missing", code="missing-field", hint="see --template")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def lookup(fields: Mapping[str, Any], name: str) -> Any:
    """The field of this name, else what ``a.b.0`` leads to within others; MISSING where there is none."""
    if name in fields:
        return fields[name]
    value: Any = fields
    for part in name.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and len(part) < 9 and int(part) < len(value):
            value = value[int(part)]
        else:
            return MISSING
    return value
