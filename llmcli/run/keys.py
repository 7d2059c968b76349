"""What finds a row again: in a journal, among the rows of a changed input, in another process."""

from __future__ import annotations

from collections.abc import Sequence

from llmcli.run.records import Record, spoken
from llmcli.run.seen import Seen


def digest(record: Record, row_fields: Sequence[str] = ()) -> str:
    """32 hexadecimal digits of its id, if it has one, and its text: the same wherever the row stands.

    ``row_fields`` are the fields of a row that decide its answer besides the text.
    """
    import hashlib
    import json

    own = f"{type(record.id).__name__}:{record.id}" if record.named else ""
    said = spoken(record.fields)
    parts = [own, record.text, *(str(record.fields.get(name, "")) for name in row_fields)]
    parts += [] if said is None else [json.dumps(said, default=str)]
    parts += [f"error {record.error.code}"] if record.error else []
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def key(record: Record, seen: Seen, row_fields: Sequence[str] = ()) -> str:
    """Its digest, and which of its equals it is."""
    found = digest(record, row_fields)
    return f"{found}:{seen.count(found)}"
