"""Make vectors of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmcli.run.fields import Field
from llmcli.run.records import Record, Result
from llmcli.run.task import Task
from llmcli.tasks import _vectors

if TYPE_CHECKING:
    from llmcli.config.run_config import RunConfig
    from llmcli.pipelines.protocol import Emit, Model

DIGITS = 6
"""Decimals of a number: what batches of another size could change is beyond them."""


@dataclass(frozen=True)
class Options:
    """The task has no options of its own."""


def answer(
    model: Model, config: RunConfig[Options], records: Sequence[Record], *, emit: Emit | None = None
) -> list[Result]:
    """One result a record: ``embedding``, a unit vector."""

    def fields(record: Record, found: _vectors.Embedded) -> dict[str, Any]:
        return {"embedding": [round(value, DIGITS) for value in found.vector]}

    read = _vectors.read(model, config, _vectors.texts(records))
    return _vectors.results(records, read, fields, model=config.model.name)


def text(result: Result, options: Options) -> str:
    """The numbers, with blanks between."""
    return " ".join(f"{value:.6f}" for value in result.fields["embedding"])


TASK = Task(
    name="embed",
    help="""Make a vector of each text, by which texts can be compared; -o NAME.npy makes one array of all.

    A vector has length 1: the cosine of two is their product. Any encoder works by --model, and a causal model too: its
    vector is the mean of its last hidden states.

    Example: llmcli embed -i rows.jsonl -o vectors.npy

    Example: llmcli embed --lines --json < titles.txt
    """,
    options=Options,
    answer=answer,
    text=text,
    fields=(Field("embedding", "array of numbers", "the vector, of length 1"),),
    array="embedding",
    window=_vectors.WINDOW,
    writes=False,
    one_line=True,
)
