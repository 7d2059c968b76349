"""Label the sentiment of texts."""

from __future__ import annotations

from llmcli.run.options import ModelOptions, request
from llmcli.run.request import InputOptions, OutputOptions, Request
from llmcli.tasks import _labelling

FIELDS, OPTIONAL, WINDOW = _labelling.FIELDS, _labelling.OPTIONAL, _labelling.WINDOW
Options = _labelling.Options
answer = _labelling.answer


def command(source: InputOptions, own: Options, model: ModelOptions, output: OutputOptions) -> Request:
    """Label texts positive or negative, with a score from 0 to 1.

    The score is a probability over the labels. A text-classification checkpoint (--model FOLDER) brings its
    own labels.

    Example: llmcli sentiment "I loved every minute of it"

    Example: llmcli sentiment --lines -i reviews.txt --json

    Example: tail -f app.log | llmcli sentiment --lines --grep 'negative>0.9'
    """
    own = _labelling.routed(own, source, output)
    return request("sentiment", source=source, model=model, output=output, own=own)
