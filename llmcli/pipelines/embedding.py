"""Sentence embeddings: one unit vector a text, of the last hidden states of its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch

from llmcli.errors import GenerationError
from llmcli.pipelines.base import HeadModel
from llmcli.pipelines.protocol import Embedding
from llmcli.pipelines.tokens import Encoder

Pooling = Literal["mean", "cls"]


class EmbeddingModel(HeadModel):
    """An encoder without a head. ``pooling``: the mean over all tokens, or the first token's state."""

    def __init__(self, model: Any, encoder: Encoder, *, pooling: Pooling = "mean", **options: Any) -> None:
        super().__init__(model, encoder, **options)
        self._pooling = pooling
        self.embed(["a"])  # one that reads pictures or sound too is refused here, before any row

    def embed(self, texts: Sequence[str]) -> list[Embedding]:
        """See Model."""
        rows = [self.encoder.sequence(text) for text in texts]
        pad = self.encoder.tokenizer.pad_token_id or 0

        def work(batch: list[list[int]]) -> list[Embedding]:
            return embed(self.model, batch, pad=pad, pooling=self._pooling)

        return self.batched(rows, [len(row) for row in rows], work)


@torch.inference_mode()
def embed(model: Any, rows: Sequence[Sequence[int]], *, pad: int, pooling: Pooling = "mean") -> list[Embedding]:
    """The vectors of rows of token ids, none of them empty: (rows, width), each of length 1.

    Method: mean pooling over the attention mask, as Reimers and Gurevych, "Sentence-BERT" (EMNLP 2019).
    Raises GenerationError for one that is not finite.
    """
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows], device=model.device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=model.device)
    states = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
    if pooling == "cls":
        pooled = states[:, 0]
    else:
        pooled = states.masked_fill(mask[:, :, None] == 0, 0.0).sum(1) / mask.sum(1, keepdim=True)
    unit = torch.nn.functional.normalize(pooled, dim=-1).cpu()
    if not bool(unit.isfinite().all()):
        raise GenerationError("the vector is not finite", code="non-finite", hint="try --dtype float32")
    return [Embedding(vector, len(row)) for vector, row in zip(unit.tolist(), rows, strict=True)]
