"""Sequence classification checkpoints, through transformers' own text-classification pipeline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import TextClassificationPipeline

from llmcli import batching
from llmcli.errors import GenerationError, ModelError
from llmcli.pipelines import Choice, Completion, Emit
from llmcli.pipelines.causal import ROWS, TOKENS
from llmcli.pipelines.tokens import Encoder
from llmcli.prompts import Rendered
from llmcli.schemas import Generation


class ClassificationModel:
    """Implements :class:`llmcli.pipelines.Model` for a checkpoint with a classification head."""

    def __init__(self, model: Any, encoder: Encoder, *, window: int, batch_size: int | None = None) -> None:
        special = encoder.tokenizer.num_special_tokens_to_add(pair=False)
        self.context_window = window
        self._special = special
        self._encoder = encoder
        self._budget = batching.Budget(batch_size or ROWS, TOKENS)
        self._pipeline = TextClassificationPipeline(model=model, tokenizer=encoder.tokenizer, device=model.device)

    def count(self, text: str) -> int:
        """See Model."""
        return len(self._encoder.ids(text))

    def truncate(self, text: str, tokens: int) -> str:
        """See Model."""
        return self._encoder.truncate(text, tokens)

    def size(self, prompt: Rendered) -> int:
        """See Model."""
        return self.count(prompt.row) + int(self._special)

    def choose(self, prompts: Sequence[Rendered], labels: Mapping[str, Sequence[str]]) -> list[Choice]:
        """See Model: the labels are the checkpoint's own."""
        lengths = [self.size(prompt) for prompt in prompts]
        items = list(zip([prompt.row for prompt in prompts], lengths, strict=True))
        return batching.run(items, lengths, self._work, budget=self._budget)

    def _work(self, batch: list[tuple[str, int]]) -> list[Choice]:
        rows = self._pipeline(
            [text for text, _ in batch], top_k=None, function_to_apply="softmax", batch_size=len(batch)
        )
        if len(rows) != len(batch):
            raise GenerationError("the pipeline lost rows", code="row-loss")
        choices = []
        for row, (_, length) in zip(rows, batch, strict=True):
            scores = {str(item["label"]): float(item["score"]) for item in row}
            if not all(map(math.isfinite, scores.values())):
                raise GenerationError("the model's scores are not finite", code="non-finite")
            choices.append(Choice(scores, length))
        return choices

    def complete(
        self, prompts: Sequence[Rendered], generation: Generation, *, emit: Emit | None = None
    ) -> list[list[Completion]]:
        """A classifier makes no text."""
        raise _refused("generate text")

    def likelihood(self, prompts: Sequence[Rendered], answers: Sequence[str]) -> list[float]:
        """A classifier makes no text."""
        raise _refused("generate text")

    def ending(self, text: str) -> float:
        """A classifier makes no text."""
        raise _refused("generate text")

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A classifier is not used for embeddings."""
        raise _refused("summarize")


def _refused(what: str) -> ModelError:
    return ModelError(f"this model is a classifier and cannot {what}", code="wrong-task",
                      hint="use it with sentiment, or give another --model")  # fmt: skip
