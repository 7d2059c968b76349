"""Vectors of texts: what the tasks embed, similar and dedupe share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from llmcli.errors import ROW_ERRORS, LlmcliError
from llmcli.run.records import Record, Result, failed
from llmcli.text import chunking
from llmcli.text.prompts import Rendered

if TYPE_CHECKING:
    from llmcli.config.run_config import RunConfig
    from llmcli.pipelines.protocol import Embedding, Model

OptionsT = TypeVar("OptionsT")
READ_AT_ONCE = 512
"""Tokens of a text: longer ones are read in chunks."""
WINDOW = 128


@dataclass(frozen=True)
class Embedded:
    """What was read of a text: the vector of each of its chunks."""

    chunks: list[Embedding]
    truncated: bool

    @property
    def tokens(self) -> int:
        """Tokens that were read."""
        return sum(chunk.input_tokens for chunk in self.chunks)

    @property
    def vector(self) -> list[float]:
        """The mean of the chunks' vectors, weighted by their tokens, as a unit vector."""
        if len(self.chunks) == 1:
            return list(self.chunks[0].vector)
        columns = zip(*(chunk.vector for chunk in self.chunks), strict=True)
        weights = [chunk.input_tokens for chunk in self.chunks]
        mean = [dot(column, weights) for column in columns]
        length = math.hypot(*mean) or 1.0
        return [value / length for value in mean]


def read(model: Model, config: RunConfig[OptionsT], texts: Sequence[str]) -> list[Embedded | LlmcliError]:
    """The vectors of each text, or why it has none."""
    budget = min(model.context_window - model.size(Rendered(row="")), READ_AT_ONCE)
    fitted: list[chunking.Fitted | LlmcliError] = []
    for text in texts:
        try:
            on_long = config.settings.on_long or "chunk"
            fitted.append(chunking.fit(text, budget=budget, on_long=on_long, model=model))
        except ROW_ERRORS as error:
            fitted.append(error)
    made = iter(model.embed([piece for fit in fitted if isinstance(fit, chunking.Fitted) for piece in fit.pieces]))
    return [
        Embedded([next(made) for _ in fit.pieces], fit.truncated) if isinstance(fit, chunking.Fitted) else fit
        for fit in fitted
    ]


def results(
    records: Sequence[Record], read: Sequence[Embedded | LlmcliError],
    fields: Callable[[Record, Embedded], dict[str, Any]], *, model: str,
) -> list[Result]:  # fmt: skip
    """One result a record, with the ``fields`` that are made of what was read of it."""
    return [
        failed(record, found, model=model) if isinstance(found, LlmcliError) else
        Result(record.id, fields(record, found), model=model, input_tokens=found.tokens, chunks=len(found.chunks),
               truncated=found.truncated, record=record)
        for record, found in zip(records, read, strict=True)
    ]  # fmt: skip


def dot(one: Sequence[float], other: Sequence[float]) -> float:
    """The product of two vectors."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def by_line(config: RunConfig[OptionsT]) -> RunConfig[OptionsT]:
    """Rows are lines where a single text would be the only row: nobody said what they are."""
    if config.format != "text" or config.several or "options.format" in config.origins:
        return config
    return replace(config, source=replace(config.source, format="lines"))


def texts(records: Sequence[Record]) -> list[str]:
    """The texts of records."""
    return [record.text for record in records]
