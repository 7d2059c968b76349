"""Put labels on texts: what the tasks sentiment and classify share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from llmcli.config import offered
from llmcli.data import grep
from llmcli.errors import ROW_ERRORS, LlmcliError, UsageError, nearest
from llmcli.run.fields import Field
from llmcli.run.records import Record, Result, failed
from llmcli.run.task import Answer, Routes, Task
from llmcli.tasks import _calibration, _explaining, _label_prompts
from llmcli.text import chunking, prompts
from llmcli.text.prompts import Rendered

if TYPE_CHECKING:
    from typer import Option

    from llmcli.config.run_config import RunConfig, RunOptions
    from llmcli.pipelines.protocol import Choice, Emit, Model

READ_AT_ONCE = 512
"""Tokens of a text: longer texts are judged in chunks, weighted by their tokens."""
SPECIAL = 4
"""Special tokens around a text, or a text and its hypothesis."""
UNCERTAIN = "uncertain"
"""In place of a label whose score is below --threshold."""
HELD = 0.5
"""The score from which a label holds, where several may."""

FIELDS = (
    Field("label", "string", f"the likeliest label; `{UNCERTAIN}` where its score is below `--threshold`"),
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
    pattern = grep.parse(options.grep) if options.grep is not None else None
    least = options.abstain
    return Routes(
        drops=lambda result: pattern is not None and not pattern.matches(_held(_checked(result, options))),
        sets_aside=lambda result: least is not None and float(_checked(result, options).fields["score"]) < least,
        aside=Path(options.unsure) if least is not None and options.unsure else None,
        seeks=pattern is not None,
        texts=pattern is not None,
    )


def _checked(result: Result, options: L) -> Result:
    """The result. Raises UsageError where it lacks what an option needs: an earlier run asked for no score."""
    if result.fields["score"] is None:
        _check_scored(options, result.fields["scored_by"])
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
    """One result a record: ``label``, ``score`` and, where asked for, ``scores``; several may hold with ``multi``."""
    prompt, chat, words = (_label_prompts.scored_prompt(config), _label_prompts.chat_prompt(config),
                           _label_prompts.words(config))  # fmt: skip
    longest = max((word for group in words.values() for word in group), key=len)
    overhead = model.size(prompts.render(prompt, "") if config.model.facts.instructed else Rendered(row=longest))
    room = model.context_window - overhead - SPECIAL
    budget = room if config.model.facts.reads_whole else min(room, READ_AT_ONCE)
    fitted: dict[int, chunking.Fitted | LlmcliError] = {}
    pieces: list[Rendered] = []
    for index, record in enumerate(records):
        try:
            fit = chunking.fit(record.text, budget=budget, on_long=config.settings.on_long or "chunk", model=model)
        except ROW_ERRORS as error:
            fitted[index] = error
            continue
        fitted[index] = fit
        pieces += [_label_prompts.rendered(prompt, piece, config, chat=chat) for piece in fit.pieces]
    choices = model.choose(pieces, words, multi=multi)
    _check_grep(config, choices)
    prior: dict[str, float] | None = None
    if config.model.facts.instructed and choices and choices[0].likely and choices[0].scores:
        neutral = [_label_prompts.rendered(prompt, text, config, chat=chat) for text in config.settings.neutral or []]
        prior = _calibration.prior(model, neutral, words, multi=multi)
    read_on = iter(choices)
    results = []
    for index, record in enumerate(records):
        found = fitted[index]
        if isinstance(found, LlmcliError):
            results.append(failed(record, found, model=config.model.name))
        else:
            read = [next(read_on) for _ in found.pieces]
            results.append(_result(record, read, found, config=config, prior=prior, multi=multi))
    return results


def _check_grep(config: RunConfig[L], choices: Sequence[Choice]) -> None:
    """Raise UsageError where --grep looks for a label that the model does not give."""
    for choice in choices:
        if choice.label:
            _check_scored(config.options, choice.scored_by)
    if config.options.grep is None or not choices:
        return
    labels = choices[0].scores or {label.name: 0.0 for label in config.settings.labels or []}
    wanted, known = grep.parse(config.options.grep).label, [*labels, UNCERTAIN]
    if wanted not in known:
        raise UsageError(f"--grep: no label {wanted!r}", hint=nearest(wanted, known, what="labels"))


def _check_scored(options: L, by: str) -> None:
    """Raise UsageError for an option that needs scores, where a server gives labels alone."""
    needing = {"--all-scores": options.all_scores, "--threshold": options.threshold is not None,
               "--abstain": options.abstain is not None,
               "--grep with a score": any(sign in (options.grep or "") for sign in "<>")}  # fmt: skip
    for name, given in needing.items():
        if given:
            raise UsageError(f"{name}: the server gives labels without scores (scored_by: {by})",
                             hint="without it there are labels")  # fmt: skip


def _result(
    record: Record, choices: list[Choice], fit: chunking.Fitted, *, config: RunConfig[L],
    prior: Mapping[str, float] | None, multi: bool,
) -> Result:  # fmt: skip
    tokens, by = sum(choice.input_tokens for choice in choices), choices[0].scored_by
    if any(choice.label for choice in choices):
        return _unscored(record, choices, fit, config=config)
    read = [
        (dict(choice.scores) if prior is None
         else _calibration.calibrate(choice.scores, config=config, prior=prior, multi=multi), choice.input_tokens or 1)
        for choice in choices
    ]  # fmt: skip
    total = sum(size for _, size in read)
    scores = {label: sum(found[label] * size for found, size in read) / total for label in read[0][0]}
    label = max(scores, key=lambda name: scores[name])
    fields: dict[str, Any] = {"label": label, "score": scores[label]} | ({"scored_by": by} if by else {})
    threshold = config.options.threshold
    least = threshold if threshold is not None else HELD if multi else 0.0
    if scores[label] < least:
        fields["label"] = UNCERTAIN
    if multi:
        held = sorted((name for name in scores if scores[name] >= least), key=lambda name: -scores[name])
        fields["labels"] = {name: scores[name] for name in held}
    if config.options.all_scores:
        fields["scores"] = scores
    return Result(record.id, fields, model=config.model.name, input_tokens=tokens, chunks=len(choices),
                  truncated=fit.truncated, record=record)  # fmt: skip


def _unscored(record: Record, choices: list[Choice], fit: chunking.Fitted, *, config: RunConfig[L]) -> Result:
    """The label that most pieces of a text have, the first of them that is as frequent: there is no score."""
    labels = [choice.label or max(choice.scores, key=choice.scores.__getitem__) for choice in choices]
    by = next(choice.scored_by for choice in choices if choice.label)
    fields = {"label": max(labels, key=labels.count), "score": None, "scored_by": by}
    return Result(record.id, fields, model=config.model.name, input_tokens=sum(one.input_tokens for one in choices),
                  chunks=len(choices), truncated=fit.truncated, record=record)  # fmt: skip


def task(name: str, *, help: str, options: type[L], answer: Answer[L]) -> Task[L]:
    """A task that puts labels on texts."""
    return Task(
        name=name, help=help, options=options, prepare=prepare, routes=routes, text=text, fields=FIELDS,
        answer=_explaining.of_labels(answer), window=128, writes=False, labels=True, one_line=True,
        painted=_explaining.painted, draws=_explaining.draws,
    )  # fmt: skip
