"""The options of commands that write text. Typer is named by annotations alone, and not imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

if TYPE_CHECKING:
    from typer import Option

GENERATION = "Generation"
"""Their panel of the help."""


@dataclass(frozen=True)
class GenerationOptions:
    """The generation config, under transformers' own names."""

    max_new_tokens: Annotated[
        int | None, Option(min=1, help="The most tokens to make.", rich_help_panel=GENERATION,
                           show_default=False)
    ] = None  # fmt: skip
    temperature: Annotated[
        float | None, Option(min=0.0, help="Sampling temperature; 0 is greedy.", rich_help_panel=GENERATION,
                             show_default=False)
    ] = None  # fmt: skip
    top_p: Annotated[
        float | None, Option(min=0.0, max=1.0, help="Sample from the likeliest tokens of this total "
                             "probability.", rich_help_panel=GENERATION, show_default=False)
    ] = None  # fmt: skip
    top_k: Annotated[
        int | None, Option(min=0, help="Sample from this many likeliest tokens; 0: all.",
                           rich_help_panel=GENERATION, show_default=False)
    ] = None  # fmt: skip
    num_beams: Annotated[
        int | None, Option(min=1, help="Beams of beam search; 1: none.", rich_help_panel=GENERATION,
                           show_default=False)
    ] = None  # fmt: skip
    repetition_penalty: Annotated[
        float | None, Option(min=0.01, help="Above 1: repeat less.", rich_help_panel=GENERATION,
                             show_default=False)
    ] = None  # fmt: skip
    stop: Annotated[
        list[str], Option(help="End before this text; repeatable.", rich_help_panel=GENERATION,
                          show_default=False)
    ] = field(default_factory=list)  # fmt: skip
    seed: Annotated[
        int | None, Option(min=0, help="Sampling seed: the same seed gives the same text.",
                           rich_help_panel=GENERATION, show_default=False)
    ] = None  # fmt: skip
