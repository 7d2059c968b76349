"""Extractive question answering: the span of a context that answers a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForQuestionAnswering, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from llmcli.errors import GenerationError, ModelError
from llmcli.pipelines.base import HeadModel
from llmcli.pipelines.completion import pad_id
from llmcli.pipelines.protocol import Span
from llmcli.pipelines.stopping import not_finite
from llmcli.pipelines.tokens import Encoder
from llmcli.text.prompts import Rendered

OVERLAP = 128
"""Tokens that neighbouring windows share, as in the BERT authors' code for SQuAD."""
LONGEST = 30
"""The most tokens of an answer, as there."""
BEST = 20
"""Spans kept a window: the best of a document is among its windows' best."""


@dataclass(frozen=True)
class Window:
    """A question and a piece of its context. ``offsets``: each token's place in the context, None outside it."""

    ids: tuple[int, ...]
    types: tuple[int, ...]
    offsets: tuple[tuple[int, int] | None, ...]


@dataclass(frozen=True)
class Read:
    """What a window holds: its best spans as (logit, start, end), the logsumexp of all spans, and no answer's logit."""

    best: tuple[tuple[float, int, int], ...]
    total: float
    null: float


class QuestionAnsweringPipeline(Pipeline):  # type: ignore[misc]
    """One call takes a tuple of :class:`Window` and gives a :class:`Read` each."""

    def __init__(self, *, model: Any, tokenizer: Any, **kwargs: Any) -> None:
        super().__init__(model=model, tokenizer=tokenizer, **kwargs | {"device": model.device})

    def _sanitize_parameters(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        return {}, {}, {}

    def preprocess(self, windows: tuple[Window, ...]) -> dict[str, Any]:
        """Right-pad: tensors of (windows, width)."""
        width = max(len(window.ids) for window in windows)
        inputs = {
            "input_ids": [[*w.ids, *[pad_id(self.tokenizer)] * (width - len(w.ids))] for w in windows],
            "attention_mask": [[1] * len(w.ids) + [0] * (width - len(w.ids)) for w in windows],
            "token_type_ids": [[*w.types, *[0] * (width - len(w.ids))] for w in windows],
        }
        if "token_type_ids" not in self.tokenizer.model_input_names:
            del inputs["token_type_ids"]
        return {name: torch.tensor(rows) for name, rows in inputs.items()} | {"windows": windows}

    def _forward(self, inputs: dict[str, Any]) -> dict[str, Any]:
        windows = inputs.pop("windows")
        made = self.model(**inputs)
        return {"start": made.start_logits.float(), "end": made.end_logits.float(), "windows": windows}

    def postprocess(self, outputs: dict[str, Any]) -> list[Read]:
        """A span's logit is its start's and its end's; no answer's is that of the first token alone."""
        if not bool(torch.isfinite(outputs["start"]).all() and torch.isfinite(outputs["end"]).all()):
            raise not_finite()
        return [_read(*row) for row in zip(outputs["start"], outputs["end"], outputs["windows"], strict=True)]


# transformers refuses the name of the pipeline that it had.
PIPELINE_REGISTRY.register_pipeline(
    "extractive-question-answering", pipeline_class=QuestionAnsweringPipeline, pt_model=AutoModelForQuestionAnswering
)


def _read(start: torch.Tensor, end: torch.Tensor, window: Window) -> Read:
    places = [place for place, offset in enumerate(window.offsets) if offset is not None]
    first, last = places[0], places[-1] + 1
    logits = start[first:last, None] + end[None, first:last]
    allowed = torch.ones_like(logits, dtype=torch.bool).triu() & ~torch.ones_like(logits, dtype=torch.bool).triu(
        LONGEST
    )
    logits = logits.masked_fill(~allowed, float("-inf")).flatten()
    best = logits.topk(min(BEST, int(allowed.sum())))
    spans = []
    for logit, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        begin, finish = (window.offsets[first + index] for index in divmod(place, last - first))
        assert begin is not None  # the context's tokens stand together
        assert finish is not None
        spans.append((logit, begin[0], finish[1]))
    return Read(tuple(spans), float(logits.logsumexp(0)), float(start[0] + end[0]))


class QuestionAnsweringModel(HeadModel):
    """A checkpoint with a span head; a long context is read in windows that overlap."""

    def __init__(self, model: Any, encoder: Encoder, **options: Any) -> None:
        super().__init__(model, encoder, **options)
        if not encoder.tokenizer.is_fast:
            raise ModelError("its tokenizer does not tell where tokens stand in the text", code="bad-model")
        self._pipeline = QuestionAnsweringPipeline(model=model, tokenizer=encoder.tokenizer)

    def spans(
        self, pairs: Sequence[tuple[str, str]], *, prompts: Sequence[Rendered] = (), ending: str = ""
    ) -> list[Span]:
        """See Model."""
        read = [self._windows(question, context) for question, context in pairs]
        items = [window for windows in read for window in windows]

        def work(batch: list[Window]) -> list[Read]:
            found: list[Read] = self._pipeline(tuple(batch))
            return found

        found = iter(self.batched(items, [len(window.ids) for window in items], work))
        return [
            _best(context, windows, [next(found) for _ in windows])
            for (_, context), windows in zip(pairs, read, strict=True)
        ]

    def _windows(self, question: str, context: str) -> list[Window]:
        room = self.context_window - len(self.encoder.sequence(question, ""))
        if room < 8:
            raise GenerationError("the question fills the context window", code="too-long", hint="ask a shorter one")
        made = self.encoder.tokens(
            self.encoder.inert(question), self.encoder.inert(context, same_length=True), split_special_tokens=True,
            truncation="only_second", max_length=self.context_window,
            stride=min(OVERLAP, room // 2), return_overflowing_tokens=True, return_offsets_mapping=True,
            return_token_type_ids=True,
        )  # fmt: skip
        windows = []
        for place, ids in enumerate(made["input_ids"]):
            offsets = tuple(
                tuple(offset) if part == 1 else None
                for offset, part in zip(made["offset_mapping"][place], made.sequence_ids(place), strict=True)
            )
            windows.append(Window(tuple(ids), tuple(made["token_type_ids"][place]), offsets))
        return [window for window in windows if any(window.offsets)]


def _best(context: str, windows: list[Window], read: list[Read]) -> Span:
    """The best span of all windows. No answer counts where every window has none: by its least logit."""
    tokens = sum(len(window.ids) for window in windows)
    if not read:
        return Span("", 0, 0, 0.0, 1.0, tokens, 0)
    null = min(found.null for found in read)
    total = float(torch.tensor([null, *(found.total for found in read)]).logsumexp(0))
    logit, start, end = max(span for found in read for span in found.best)
    score, none = (float(torch.tensor(value - total).exp()) for value in (logit, null))
    return Span(context[start:end], start, end, score, none, tokens, len(windows))
