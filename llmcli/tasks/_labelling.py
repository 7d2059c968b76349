"""Put labels on texts: what the tasks sentiment and classify share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from llmcli.config import offered
from llmcli.errors import UsageError
from llmcli.run.fields import Field
from llmcli.run.task import Answer, Routes, Task
from llmcli.tasks import _explaining

if TYPE_CHECKING:
    from typer import Option

    from llmcli.config.run_config import RunConfig, RunOptions
    from llmcli.pipelines.protocol import Emit, Model
    from llmcli.run.records import Record, Result

FIELDS = (
    Field("label", "string", "the likeliest label; `uncertain` where its score is below `--threshold`"),
    Field("score", "number or null", "the probability of the likeliest label; null where a server gives none"),
    Field("scored_by", "string", "how it scored ([servers.md](servers.md))", when="by a server"),
    Field("scores", "object of numbers", "the probability of each label", option="all_scores"),
    _explaining.EXPLANATION,
)


@dataclass(frozen=True)
class Options:
    """The options of tasks that put labels on texts."""

    all_scores: Annotated[
        bool, Option("--all-scores", help="Give the probability of every label.", rich_help_panel="Labels")
    ] = False
    threshold: Annotated[
        float | None,
        Option(min=0.0, max=1.0, help="Say 'uncertain' where the best label's score is lower.",
               rich_help_panel="Labels", show_default=False),
    ] = None  # fmt: skip
    explain: Annotated[
        bool,
        Option("--explain", help="Say which words (of a long text: sentences) the score hangs on: each is left out in "
               "turn, so it takes as many texts. With -o NAME.svg a picture.", rich_help_panel="Labels"),
    ] = False  # fmt: skip
    grep: Annotated[
        str | None,
        Option(help="Print the input rows with this label ('negative' or 'negative>0.9'), as grep does.",
               rich_help_panel="Labels", show_default=False, autocompletion=offered.labels),
    ] = None  # fmt: skip
    abstain: Annotated[
        float | None,
        Option(min=0.0, max=1.0, help="Put rows whose best score is lower into a file of their own: --unsure.",
               rich_help_panel="Labels", show_default=False),
    ] = None  # fmt: skip
    unsure: Annotated[
        Path | None,
        Option(help="Where --abstain puts the unsure rows: results, or in text format the rows themselves.",
               rich_help_panel="Labels", show_default="OUTPUT.unsure.ENDING"),
    ] = None  # fmt: skip


L = TypeVar("L", bound=Options)


def prepare(config: RunConfig[L]) -> RunConfig[L]:
    """Give the unsure rows a place. Raises UsageError where --abstain has none of its own, or --grep is no pattern."""
    options, output = config.options, config.output.output
    if options.grep is not None:
        from llmcli.data import grep

        grep.parse(options.grep)  # refused before the model is loaded
    if options.explain and config.model.source.server is not None:
        raise UsageError("--explain needs scores, which a server does not give", hint="give another --model")
    labels = [label.name for label in config.settings.labels or []]
    if repeated := {name for name in labels if labels.count(name) > 1}:
        raise UsageError(f"a label is given twice: {min(repeated)}")
    if options.abstain is None:
        if options.unsure:
            raise UsageError("--unsure needs --abstain", hint="give --abstain 0.8")
        return config
    unsure = options.unsure or (output.with_name(f"{output.stem}.unsure{output.suffix}") if output else None)
    if unsure is None:
        raise UsageError("--abstain needs a file for the unsure rows", hint="give --unsure FILE")
    return replace(config, options=replace(options, unsure=unsure))


def routes(run: RunOptions[L]) -> Routes:
    """--grep drops the rows that do not match, --abstain sets the unsure ones aside."""
    options = run.options
    pattern = None
    if options.grep is not None:
        from llmcli.data import grep

        pattern = grep.parse(options.grep)
    least = options.abstain
    return Routes(
        drops=lambda result: pattern is not None and not pattern.matches(_held(_checked(result, options))),
        sets_aside=lambda result: least is not None and float(_checked(result, options).fields["score"]) < least,
        aside=Path(options.unsure) if least is not None and options.unsure else None,
        seeks=pattern is not None,
        texts=pattern is not None,
        rows=pattern is not None,
    )


def _checked(result: Result, options: L) -> Result:
    """The result. Raises UsageError where it lacks what an option needs: an earlier run asked for no score."""
    if result.fields["score"] is None:
        from llmcli.tasks import _label_answers

        _label_answers.check_scored(options, result.fields["scored_by"])
    return result


def _held(result: Result) -> Mapping[str, float]:
    """The labels that hold, and their scores. One that a server gives without a score holds."""
    fields = result.fields
    held: Mapping[str, float] = fields["labels"] if "labels" in fields else {fields["label"]: fields["score"]}
    return {label: 1.0 if score is None else score for label, score in held.items()}


def text(result: Result, options: L) -> str:
    """``label<TAB>score``, and the scores that were asked for; commas between several labels, and their scores.

    ``-`` stands for a score that a server does not give.
    """
    held = result.fields.get("labels") or {result.fields["label"]: result.fields["score"]}
    scores = [f"{label}={score:.4f}" for label, score in result.fields.get("scores", {}).items()]
    sure = ",".join("-" if score is None else f"{score:.4f}" for score in held.values())
    return "\t".join([",".join(held), sure, *scores, *_explaining.line(result)])


def answer(
    model: Model, config: RunConfig[L], records: Sequence[Record], *, emit: Emit | None = None, multi: bool = False
) -> list[Result]:
    """See :func:`llmcli.tasks._label_answers.answer`: a worker's client does without it."""
    from llmcli.tasks import _label_answers

    return _label_answers.answer(model, config, records, multi=multi)


def task(name: str, *, help: str, options: type[L], answer: Answer[L]) -> Task[L]:
    """A task that puts labels on texts."""
    return Task(
        name=name, help=help, options=options, prepare=prepare, routes=routes, text=text, fields=FIELDS,
        answer=_explaining.of_labels(answer), window=128, writes=False, labels=True, one_line=True,
        painted=_explaining.painted, draws=_explaining.draws,
    )  # fmt: skip
