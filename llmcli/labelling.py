"""Put labels on texts: what the tasks sentiment and classify share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Option

from llmcli import chunking, prompts
from llmcli.errors import ROW_ERRORS, LlmcliError, UsageError
from llmcli.pipelines import Choice, Emit, Model
from llmcli.prompts import Rendered
from llmcli.records import Record, Result, failed

if TYPE_CHECKING:
    from llmcli.config import RunConfig
    from llmcli.schemas import Prompt

READ_AT_ONCE = 512
"""Tokens of a text: longer texts are judged in chunks, weighted by their tokens."""
SPECIAL = 4
"""Special tokens around a text, or a text and its hypothesis."""
HYPOTHESIS = "This example is {label}."
FIELDS = ("label", "score")
OPTIONAL = {"all_scores": "scores"}
"""Fields that an option adds."""
WINDOW = 128


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
    grep: Annotated[
        str | None,
        Option(help="Print the input rows with this label ('negative' or 'negative>0.9'), as grep does.",
               rich_help_panel="Labels", show_default=False),
    ] = None  # fmt: skip


def answer(model: Model, config: RunConfig, records: Sequence[Record], *, emit: Emit | None = None) -> list[Result]:
    """One result a record: ``label``, ``score`` and, where asked for, ``scores``."""
    prompt, words = prompts.of(config), _words(config)
    prior = _prior(model, config, prompt, words)
    longest = max((word for group in words.values() for word in group), key=len)
    overhead = model.size(prompts.render(prompt, "") if config.model.pipeline == "causal" else Rendered(row=longest))
    budget = min(model.context_window - overhead - SPECIAL, READ_AT_ONCE)
    fitted: dict[int, chunking.Fitted | LlmcliError] = {}
    pieces: list[Rendered] = []
    for index, record in enumerate(records):
        try:
            fit = chunking.fit(record.text, budget=budget, on_long=config.settings.on_long or "chunk", model=model)
        except ROW_ERRORS as error:
            fitted[index] = error
            continue
        fitted[index] = fit
        pieces += [_rendered(prompt, piece, config) for piece in fit.pieces]
    choices = iter(model.choose(pieces, words))
    results = []
    for index, record in enumerate(records):
        found = fitted[index]
        if isinstance(found, LlmcliError):
            results.append(failed(record, found, model=config.model.name))
        else:
            read = [next(choices) for _ in found.pieces]
            results.append(_result(record, read, found, config=config, prior=prior))
    return results


def _words(config: RunConfig) -> dict[str, list[str]]:
    """What stands for each label: words that may follow the prompt, or a hypothesis for a zero-shot model."""
    labels = config.settings.labels
    if not labels:
        raise UsageError("no labels", hint="give --labels a,b,c")
    if config.model.pipeline == "zero-shot":
        hypothesis = config.settings.hypothesis or HYPOTHESIS
        return {label.name: [hypothesis.replace("{label}", label.name)] for label in labels}
    gap = "" if prompts.of(config).style == "chat" else " "
    return {label.name: [gap + word for word in label.words or [label.name]] for label in labels}


def _rendered(prompt: Prompt, text: str, config: RunConfig) -> Rendered:
    if config.model.pipeline != "causal":
        return Rendered(row=text)
    return prompts.render(prompt, text.strip())


def _prior(model: Model, config: RunConfig, prompt: Prompt, words: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """What the prompt alone prefers: each label's mean log-probability over texts without content."""
    neutral = config.settings.neutral or []
    if config.model.pipeline != "causal" or not neutral:
        return dict.fromkeys(words, 0.0)
    read = model.choose([_rendered(prompt, text, config) for text in neutral], words)
    return {name: sum(math.log(max(choice.scores[name], 1e-30)) for choice in read) / len(read) for name in words}


def calibrate(scores: Mapping[str, float], *, config: RunConfig, prior: Mapping[str, float]) -> dict[str, float]:
    """Probabilities without the prompt's own preference, with each label's bias, at the label temperature.

    Method: Zhao et al., "Calibrate Before Use" (ICML 2021). A bias is a preference that was measured beforehand.
    """
    if config.model.pipeline != "causal":
        return dict(scores)
    bias = {label.name: label.bias - prior[label.name] for label in config.settings.labels or []}
    heat = config.settings.label_temperature or 1.0
    weights = {name: math.exp((math.log(max(p, 1e-30)) + bias[name]) / heat) for name, p in scores.items()}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _result(
    record: Record, choices: list[Choice], fit: chunking.Fitted, *, config: RunConfig, prior: Mapping[str, float]
) -> Result:
    tokens = sum(choice.input_tokens for choice in choices)
    read = [(calibrate(choice.scores, config=config, prior=prior), choice.input_tokens) for choice in choices]
    scores = {label: sum(found[label] * size for found, size in read) / tokens for label in read[0][0]}
    label = max(scores, key=lambda name: scores[name])
    fields: dict[str, object] = {"label": label, "score": scores[label]}
    if scores[label] < float(config.option("threshold", 0.0)):
        fields["label"] = "uncertain"
    if config.option("all_scores"):
        fields["scores"] = scores
    return Result(record.id, fields, model=config.model.name, input_tokens=tokens, chunks=len(choices),
                  truncated=fit.truncated, record=record)  # fmt: skip
