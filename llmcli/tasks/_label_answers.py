"""Answers of tasks that put labels on texts: prompts, chunks, scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmcli.data import grep
from llmcli.errors import ROW_ERRORS, LlmcliError, UsageError, nearest
from llmcli.run.records import Record, Result, failed
from llmcli.tasks import _calibration, _label_prompts
from llmcli.text import chunking, prompts
from llmcli.text.prompts import Rendered

if TYPE_CHECKING:
    from llmcli.config.run_config import AnyConfig
    from llmcli.pipelines.protocol import Choice, Model

READ_AT_ONCE = 512
"""Tokens of a text: longer texts are judged in chunks, weighted by their tokens."""
SPECIAL = 4
"""Special tokens around a text, or a text and its hypothesis."""
UNCERTAIN = "uncertain"
"""In place of a label whose score is below --threshold."""
HELD = 0.5
"""The score from which a label holds, where several may."""


def answer(model: Model, config: AnyConfig, records: Sequence[Record], *, multi: bool = False) -> list[Result]:
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


def _check_grep(config: AnyConfig, choices: Sequence[Choice]) -> None:
    """Raise UsageError where --grep looks for a label that the model does not give."""
    for choice in choices:
        if choice.label:
            check_scored(config.options, choice.scored_by)
    if config.options.grep is None or not choices:
        return
    labels = choices[0].scores or {label.name: 0.0 for label in config.settings.labels or []}
    wanted, known = grep.parse(config.options.grep).label, [*labels, UNCERTAIN]
    if wanted not in known:
        raise UsageError(f"--grep: no label {wanted!r}", hint=nearest(wanted, known, what="labels"))


def check_scored(options: Any, by: str) -> None:
    """Raise UsageError for an option that needs scores, where a server gives labels alone."""
    needing = {"--all-scores": options.all_scores, "--threshold": options.threshold is not None,
               "--abstain": options.abstain is not None,
               "--grep with a score": any(sign in (options.grep or "") for sign in "<>")}  # fmt: skip
    for name, given in needing.items():
        if given:
            raise UsageError(f"{name}: the server gives labels without scores (scored_by: {by})",
                             hint="without it there are labels")  # fmt: skip


def _result(
    record: Record, choices: list[Choice], fit: chunking.Fitted, *, config: AnyConfig,
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


def _unscored(record: Record, choices: list[Choice], fit: chunking.Fitted, *, config: AnyConfig) -> Result:
    """The label that most pieces of a text have, the first of them that is as frequent: there is no score."""
    labels = [choice.label or max(choice.scores, key=choice.scores.__getitem__) for choice in choices]
    by = next(choice.scored_by for choice in choices if choice.label)
    fields = {"label": max(labels, key=labels.count), "score": None, "scored_by": by}
    return Result(record.id, fields, model=config.model.name, input_tokens=sum(one.input_tokens for one in choices),
                  chunks=len(choices), truncated=fit.truncated, record=record)  # fmt: skip
