"""The fields of a result, declared once: ``llmcli schema`` and the tables of docs/formats.md are made of this.

Those of every result are here; a task declares its own beside itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")


@dataclass(frozen=True)
class Field:
    """A field of a JSON object.

    ``type``: JSON types, with ``or`` between: ``string``, ``number or null``, ``array of strings``, ``object of
    numbers``. ``when``: the condition, in words, under which the field is there; empty: always. ``option``: the task's
    option that adds it, and makes it a column of a table. ``parts``: the fields of an object, or of an array's objects.
    ``choices``: all values that it can have.
    """

    name: str
    type: str
    meaning: str
    when: str = ""
    option: str = ""
    parts: tuple[Field, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def condition(self) -> str:
        """When it is there, in words; empty: always."""
        return self.when or (f"with `--{self.option.replace('_', '-')}`" if self.option else "")

    @property
    def text(self) -> str:
        """Its condition and its meaning."""
        return ": ".join(filter(None, [self.condition, self.meaning]))

    def schema(self) -> dict[str, Any]:
        """Its JSON Schema."""
        made: dict[str, Any] = {"type": "", "description": _LINK.sub(r"\1", self.text).replace("`", "")}
        types = []
        for kind in self.type.split(" or "):
            outer, _, inner = kind.partition(" of ")
            types.append(outer)
            if outer == "array":
                made["items"] = obj(self.parts) if self.parts else {"type": inner.removesuffix("s")}
            elif outer == "object":
                made |= obj(self.parts) if self.parts else {"additionalProperties": {"type": inner.removesuffix("s")}}
        if self.choices:
            made["enum"] = [*self.choices]
        return made | {"type": types if len(types) > 1 else types[0]}


def obj(fields: Sequence[Field]) -> dict[str, Any]:
    """The JSON Schema of an object: it may have other fields too."""
    return {
        "type": "object",
        "properties": {field.name: field.schema() for field in fields},
        "required": [field.name for field in fields if not field.condition],
    }


ID = Field(
    "id", "string or integer", "the row's own id, else the number of its line; of a file its name, of a single text 1"
)
FILE = Field(
    "file", "string", "the file that the row is from, as it was given; `-` is standard input",
    when="where the input may be several files",
)  # fmt: skip
FIRST = (ID, FILE, Field("status", "string", "`ok`", choices=("ok",)))
"""What stands before the task's own fields."""
COST = Field(
    "cost", "object", "what the call cost", when="with `--cost`, of a single text",
    parts=(
        Field("input_tokens", "integer", "tokens that the model read"),
        Field("output_tokens", "integer", "tokens that it wrote"),
        Field("seconds", "number", "of the whole call"),
        Field("peak_memory", "integer or null", "bytes of the process that worked, since it began"),
        Field("energy_joules", "object of numbers or null",
              "by counters that this process may read (`package-0`, `gpu-0`)"),
    ),
)  # fmt: skip
LAST = (
    COST,
    Field("model", "string", "the model's name; empty where none was asked"),
    Field("input_tokens", "integer", "tokens that the model read for the row"),
    Field("output_tokens", "integer", "tokens that it wrote; 0 where labels were scored or sentences picked"),
    Field("finish_reason", "string", "`stop`: the text is complete; `length`: cut at `--max-new-tokens`",
          choices=("stop", "length")),
    Field("chunks", "integer", "in how many pieces the text was read"),
    Field("truncated", "boolean", "whether a part of the text was not read (`--on-long truncate`)"),
)  # fmt: skip
"""What stands behind them."""
ERROR = (
    Field("id", "string or integer", "as above, as far as it is known"),
    FILE,
    Field("line", "integer or null", "its line in the input; null where a row is a file"),
    Field("status", "string", "`error`", choices=("error",)),
    Field("error", "object", "what is wrong", parts=(
        Field("code", "string", "a short name, see [exit-codes.md](exit-codes.md)"),
        Field("message", "string", "a sentence; its words may change, and it never holds the row's text"),
        Field("retryable", "boolean", "whether the same row may succeed another time: `--retry-failed`"),
    )),
)  # fmt: skip
"""The fields of a row that has no answer."""
