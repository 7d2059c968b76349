"""Why an answer: each word or sentence of the text is left out in turn, and the score compared.

Method: occlusion, Li, Monroe and Jurafsky, "Understanding Neural Networks through Representation Erasure" (2016).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llmcli.run.fields import Field
from llmcli.run.records import Record, Result, failed

if TYPE_CHECKING:
    from llmcli.config.run_config import AnyConfig
    from llmcli.pipelines.protocol import Emit, Model
    from llmcli.run.task import Answer
    from llmcli.text.painted import Span

Score = Callable[[Result, Result], float]
NOTICE = (
    "explained by occlusion: each part is left out in turn; its effect is how far the score falls without it. "
    "It tells what this model's score hangs on, not whether it is right, nor what parts do together"
)
EXPLANATION = Field(
    "explanation", "object", "what the score hangs on", option="explain",
    parts=(
        Field("method", "string", "`occlusion`"),
        Field("parts", "array of objects", "the words, or sentences, of the text", parts=(
            Field("text", "string", "the part"),
            Field("start", "integer", "the character of the text where it begins, from 0"),
            Field("end", "integer", "the character behind it"),
            Field("effect", "number", "by how much the score falls without it; the whole score where another answer is "
                  "given"),
        )),
    ),
)  # fmt: skip
FOREMOST = 5
"""Parts that a line of text names: those of the largest effect."""
FAINT = 0.0005
"""An effect below this is none that four decimals show."""


def of_labels(answer: Answer[Any]) -> Answer[Any]:
    """A task that puts labels on texts: how far the label's score falls without each word, or sentence."""

    def bare(config: AnyConfig) -> AnyConfig:
        """All scores, and nothing is held back."""
        return replace(config, options=replace(config.options, all_scores=True, threshold=None, grep=None))

    def score(whole: Result, part: Result) -> float:
        scores: Mapping[str, float] = whole.fields["scores"]
        return float(part.fields["scores"][max(scores, key=lambda name: scores[name])])

    return _explained(answer, bare=bare, score=score, by_word=True)


def of_spans(answer: Answer[Any]) -> Answer[Any]:
    """A task that marks an answer: how far its score falls without each sentence; to 0 where another is given."""

    def score(whole: Result, part: Result) -> float:
        return float(part.fields["score"]) if part.fields["text"] == whole.fields["text"] else 0.0

    return _explained(answer, bare=lambda config: config, score=score, by_word=False)


def _explained(
    answer: Answer[Any], *, bare: Callable[[AnyConfig], AnyConfig], score: Score, by_word: bool
) -> Answer[Any]:
    """The answer, which explains itself where ``options.explain`` says so.

    ``bare``: the run without what decides only how a result is shown. ``score``: of two bare results, of the whole text
    and of a part of it, how sure the second one is of what the first one says.
    """

    def work(model: Model, config: AnyConfig, records: Sequence[Record], *, emit: Emit | None = None) -> list[Result]:
        results = answer(model, config, records, emit=emit)
        if not config.options.explain:
            return results
        from llmcli.text import parts

        def explain(result: Result, record: Record) -> Result:
            found = parts.parts(record.text, by_word=by_word)
            texts = [parts.without(record.text, part) for part in found]
            if not found or not all(text.strip() for text in texts):  # of one part nothing would be left
                return _with(result, [], ())
            variants = [replace(record, text=text, shifts=()) for text in [record.text, *texts]]
            whole, *others = answer(model, bare(config), variants)
            if error := next((each.error for each in (whole, *others) if each.error), None):
                return failed(record, error, model=config.model.name)
            sure = score(whole, whole)
            return _with(result, [
                {"text": record.text[part.start : part.end], "start": part.start, "end": part.end,
                 "effect": sure - score(whole, other)} for part, other in zip(found, others, strict=True)
            ], (whole, *others))  # fmt: skip

        pairs = zip(results, records, strict=True)
        return [result if result.error else explain(result, record) for result, record in pairs]

    return work


def _with(result: Result, listed: list[dict[str, Any]], read: Sequence[Result]) -> Result:
    """The result with its explanation. ``read``: what was answered besides, whose tokens count too."""
    fields = {**result.fields, "explanation": {"method": "occlusion", "parts": listed}}
    return replace(result, fields=fields, notices=(*result.notices, NOTICE),
                   input_tokens=sum(each.input_tokens for each in (result, *read)),
                   output_tokens=sum(each.output_tokens for each in (result, *read)))  # fmt: skip


def line(result: Result) -> list[str]:
    """The parts of the largest effect, for a line of text: ``loved=+0.4213``."""
    listed = result.fields.get("explanation", {}).get("parts", [])
    foremost = sorted(listed, key=lambda part: -abs(part["effect"]))[:FOREMOST]
    return [f"{' '.join(part['text'].split())}={part['effect']:+.4f}" for part in foremost
            if abs(part["effect"]) >= FAINT]  # fmt: skip


def painted(result: Result) -> list[Span]:
    """The text of a row, what speaks for the answer green, what speaks against it red; of one part without colour."""
    if "explanation" not in result.fields:
        return []
    from llmcli.text.painted import Span, tone, visible

    listed = result.fields["explanation"]["parts"]
    text = result.record.text if result.record else ""
    most = max((abs(part["effect"]) for part in listed), default=0.0)
    spans, at = [], 0
    for part in listed:
        if part["start"] > at:
            spans.append(Span(text[at : part["start"]]))
        spans.append(Span(part["text"], tone(part["effect"] / most) if most >= FAINT else None))
        at = part["end"]
    spans += [Span(text[at:])] if at < len(text) else []
    return [Span(visible(span.text), span.fill) for span in spans]


def draws(options: Any) -> bool:
    """Whether ``-o NAME.svg`` is a picture."""
    return bool(options.explain)
