"""Answer a question from a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from llmcli.errors import UsageError
from llmcli.run.fields import Field
from llmcli.run.task import Task
from llmcli.tasks import _explaining

if TYPE_CHECKING:
    from typer import Option

    from llmcli.config.run_config import RunConfig
    from llmcli.pipelines.protocol import Emit, Model
    from llmcli.run.records import Record, Result

NO_ANSWER = "no answer"
"""What text mode prints where a text holds none."""
ASKS_BY_TEXT = ("text", "lines")
"""Formats whose rows bring no question of their own."""


@dataclass(frozen=True)
class Options:
    """The task's own options."""

    question: Annotated[
        str | None,
        Option(help="The question, where it is not the argument.", rich_help_panel="Question", show_default=False),
    ] = None
    free: Annotated[
        bool, Option("--free", help="Answer in the model's own words, which may be wrong or not in the text.",
                     rich_help_panel="Question")
    ] = False  # fmt: skip
    thorough: Annotated[
        bool, Option("--thorough", help="Read all of a long text, not only what shares most words with the question.",
                     rich_help_panel="Question")
    ] = False  # fmt: skip
    explain: Annotated[
        bool,
        Option("--explain", help="Say which sentences the answer hangs on: each is left out in turn, so it takes as "
               "many texts. With -o NAME.svg a picture.", rich_help_panel="Question"),
    ] = False  # fmt: skip
    threshold: Annotated[
        float | None,
        Option(min=0.0, max=1.0, help="Say that there is no answer where the score is lower.",
               rich_help_panel="Question", show_default=False),
    ] = None  # fmt: skip


def prepare(config: RunConfig[Options]) -> RunConfig[Options]:
    """The argument is the question; rows hold their text in ``context``. Raises UsageError for two or none."""
    source, options = config.source, config.options
    if source.text is not None and config.origins.get("options.question") == "flag":
        raise UsageError("two questions", hint="give the question as the argument or with --question")
    if options.threshold is not None and (options.free or config.model.source.server is not None):
        raise UsageError(f"{'--free' if options.free else 'a server'} has no score for --threshold")
    if options.explain and (options.free or not config.model.facts.marks_spans):
        raise UsageError("--explain needs a score, which an answer in the model's own words has not",
                         hint="leave out --free" if options.free else "give a causal --model")  # fmt: skip
    question = source.text if source.text is not None else options.question
    if question is None and config.format in ASKS_BY_TEXT:
        raise UsageError("no question", hint='llmcli answer "QUESTION" < FILE')
    source = replace(source, text=None, field=source.field or "context")
    return replace(config, source=source, options=replace(options, question=question))


def text(result: Result, options: Options) -> str:
    """The answer, or that there is none."""
    return "\t".join([str(result.fields["text"]) or NO_ANSWER, *_explaining.line(result)])


def context(result: Result) -> str:
    """The sentence around an answer."""
    return str(result.fields["sentence"])


def answer(
    model: Model, config: RunConfig[Options], records: Sequence[Record], *, emit: Emit | None = None
) -> list[Result]:
    """See :func:`llmcli.tasks._windows.answer`: a worker's client does without it."""
    from llmcli.tasks import _windows

    return _windows.answer(model, config, records)


TASK = Task(
    name="answer",
    help="""Answer a question from a text, in the text's own words; TEXT is the question, the text is piped or a file.

    Rows hold the text in the field "context", or the one that --field names, and their own question in "question".
    With --json: the score, where the answer stands in the text (characters from 0) and its sentence.

    Example: llmcli answer "When does it end?" < contract.txt

    Example: llmcli answer -i questions.jsonl --json
    """,
    options=Options,
    answer=_explaining.of_spans(answer),
    prepare=prepare,
    fields=(
        Field("text", "string", "the answer, word for word; empty where the text has none"),
        Field("score", "number or null", "the probability that it answers the question; null with `--free`"),
        Field(
            "start", "integer or null", "the character of the text where it begins, from 0; null where there is none"
        ),
        Field("end", "integer or null", "the character behind it"),
        Field("sentence", "string", "the sentence that it stands in; empty where there is none"),
        _explaining.EXPLANATION,
    ),
    painted=_explaining.painted,
    draws=_explaining.draws,
    row_fields=("question",),
    window=16,
    text=text,
    context=context,
)
