"""Sequence classification checkpoints, through transformers' own text-classification pipeline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import TextClassificationPipeline

from llmcli.errors import GenerationError, ModelError
from llmcli.pipelines.base import HeadModel
from llmcli.pipelines.protocol import Choice
from llmcli.pipelines.stopping import not_finite
from llmcli.text.prompts import Rendered

Pair = dict[str, str]


class ClassificationModel(HeadModel):
    """A checkpoint with a classification head: the labels are its own."""

    def __init__(self, model: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(model, *arguments, **options)
        if model.config.num_labels < 2:
            raise ModelError("its head gives one number, not labels", code="no-head", hint="give a classifier")
        tokenizer = self.encoder.tokenizer
        self._pipeline = TextClassificationPipeline(model=model, tokenizer=tokenizer, device=model.device)

    def choose(
        self, prompts: Sequence[Rendered], labels: Mapping[str, Sequence[str]], *, multi: bool = False
    ) -> list[Choice]:
        """See Model."""
        items = [({"text": prompt.row}, self.size(prompt)) for prompt in prompts]
        several = multi or self.model.config.problem_type == "multi_label_classification"
        found = self.scores(items, function="sigmoid" if several else "softmax")
        return [Choice(scores, length) for scores, (_, length) in zip(found, items, strict=True)]

    def scores(self, items: Sequence[tuple[Pair, int]], *, function: str) -> list[dict[str, float]]:
        """The score of each label of the head, for texts (or pairs) of known length."""

        def work(batch: list[tuple[Pair, int]]) -> list[dict[str, float]]:
            rows = self._pipeline(
                [pair for pair, _ in batch],
                top_k=None,
                function_to_apply=function,
                batch_size=len(batch),
                split_special_tokens=True,
            )
            if len(rows) != len(batch):
                raise GenerationError("the pipeline lost rows", code="row-loss")
            return [_finite({str(item["label"]): float(item["score"]) for item in row}) for row in rows]

        return self.batched(items, [length for _, length in items], work)


def _finite(scores: dict[str, float]) -> dict[str, float]:
    if not all(map(math.isfinite, scores.values())):
        raise not_finite()
    return scores
