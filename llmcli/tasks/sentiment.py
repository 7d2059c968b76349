"""Label the sentiment of texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from typer import Option

from llmcli import labelling
from llmcli.options import InputOptions, ModelOptions, OutputOptions, Request, request

FIELDS, OPTIONAL, WINDOW = labelling.FIELDS, labelling.OPTIONAL, labelling.WINDOW
answer = labelling.answer


@dataclass(frozen=True)
class Options:
    """The task's own options."""

    all_scores: Annotated[
        bool, Option("--all-scores", help="Give the probability of every label.", rich_help_panel="Sentiment")
    ] = False
    threshold: Annotated[
        float | None,
        Option(min=0.0, max=1.0, help="Say 'uncertain' where the best label's score is lower.",
               rich_help_panel="Sentiment", show_default=False),
    ] = None  # fmt: skip
    grep: Annotated[
        str | None,
        Option(help="Print the input rows with this label ('negative' or 'negative>0.9'), as grep does.",
               rich_help_panel="Sentiment", show_default=False),
    ] = None  # fmt: skip


def command(source: InputOptions, own: Options, model: ModelOptions, output: OutputOptions) -> Request:
    """Label texts positive or negative, with a score from 0 to 1.

    The score is a probability over the labels. A text-classification checkpoint (--model FOLDER) brings its
    own labels.

    Example: llmcli sentiment "I loved every minute of it"

    Example: llmcli sentiment --lines -i reviews.txt --json

    Example: tail -f app.log | llmcli sentiment --lines --grep 'negative>0.9'
    """
    return request("sentiment", source=source, model=model, output=output, own=own)
