"""Label the sentiment of texts."""

from __future__ import annotations

from llmcli.tasks import _labelling

TASK = _labelling.task(
    "sentiment",
    help="""Label texts positive or negative, with a score from 0 to 1.

    The score is a probability over the labels. A text-classification checkpoint (--model FOLDER) brings its
    own labels.

    Example: llmcli sentiment "I loved every minute of it"

    Example: llmcli sentiment --lines -i reviews.txt --json

    Example: tail -f app.log | llmcli sentiment --lines --grep 'negative>0.9'
    """,
    options=_labelling.Options,
    answer=_labelling.answer,
)
