"""Labels chosen by the likelihood of their words: nothing is sampled, nothing is parsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import Pipeline

from llmcli.pipelines import Choice
from llmcli.pipelines.prefix import PrefixCache
from llmcli.pipelines.stopping import check_finite
from llmcli.pipelines.tokens import Batch, Encoded, Encoder

Words = Mapping[str, Sequence[tuple[int, ...]]]


class ChoicePipeline(Pipeline):  # type: ignore[misc]
    """One call takes one :class:`Batch` and gives a :class:`Choice` a row."""

    def __init__(self, *, encoder: Encoder, prefixes: PrefixCache, **kwargs: Any) -> None:
        super().__init__(device=kwargs["model"].device, **kwargs)
        self._encoder = encoder
        self._prefixes = prefixes

    def _sanitize_parameters(
        self, words: Words | None = None, multi: bool = False, **_: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        return {"words": words or {}}, {}, {"words": words or {}, "multi": multi}

    def preprocess(self, batch: Batch, *, words: Words) -> dict[str, Any]:
        """Right-pad each row once for each distinct beginning of a word.

        A word of one token needs no row of its own: its score is read where the bare row ends.
        """
        tails = sorted({word[:-1] for group in words.values() for word in group})
        rows = [(row, tail) for row in batch.rows for tail in tails]
        width = max(len(row.row) + len(tail) for row, tail in rows)
        prefix = batch.rows[0].prefix
        ids, mask = [], []
        for row, tail in rows:
            gap = width - len(row.row) - len(tail)
            ids.append([*row.row, *tail, *[0] * gap])
            mask.append([1] * (width - gap) + [0] * gap)
        return {
            "input_ids": torch.tensor(ids),
            "mask": torch.tensor(mask),
            "starts": [len(row.row) - 1 for row, _ in rows],
            "tails": tails,
            "prefix": prefix,
            "lengths": [len(row) for row in batch.rows],
        }

    def _hidden(self, inputs: dict[str, Any]) -> torch.Tensor:
        """Last hidden states of the rows, (rows, width, hidden)."""
        ids, mask, prefix = inputs["input_ids"], inputs["mask"], tuple(inputs["prefix"])
        past = torch.ones(len(ids), len(prefix), dtype=mask.dtype, device=mask.device)
        found: torch.Tensor = self.model.base_model(
            input_ids=ids,
            attention_mask=torch.cat([past, mask], dim=1),
            past_key_values=self._prefixes.expand(prefix, len(ids)),
            use_cache=True,
        ).last_hidden_state
        return found

    def read(self, row: Encoded) -> tuple[torch.Tensor, Any]:
        """Read one prompt: its hidden states behind the prefix, (1, width, hidden), and the cache that holds it."""
        cache = self._prefixes.expand(row.prefix, 1)
        return self.go_on([list(row.row)], cache, read=len(row.prefix)), cache

    def go_on(self, rows: Sequence[Sequence[int]], cache: Any, *, read: int) -> torch.Tensor:
        """Read on behind ``read`` tokens that the cache holds: (rows, width, hidden); shorter rows are padded."""
        width = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=self.device)
        mask = torch.ones(len(rows), read + width, dtype=torch.long, device=self.device)
        found: torch.Tensor = self.model.base_model(
            input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True
        ).last_hidden_state
        return found

    def log_p(self, hidden: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of the next token, (…, vocabulary)."""
        logits: torch.Tensor = self.model.get_output_embeddings()(hidden).float()
        cap = getattr(self.model.config, "final_logit_softcapping", None)
        if cap:
            logits = torch.tanh(logits / cap) * cap
        return logits.log_softmax(-1)

    def likelihood(self, batch: Batch, tails: Sequence[int]) -> list[float]:
        """Mean log-probability of the last ``tails`` tokens of each row."""
        inputs = self._ensure_tensor_on_device(self.preprocess(batch, words={"": [(0,)]}), device=self.device)
        scores = []
        with torch.inference_mode():
            hidden = self._hidden(inputs)
            for row, item, tail in zip(hidden, batch.rows, tails, strict=True):
                end = len(item.row)
                log_p = self.log_p(row[end - tail - 1 : end - 1])
                target = torch.tensor(item.row[end - tail :], device=log_p.device)
                scores.append(float(log_p.gather(1, target[:, None]).mean()))
        return scores

    def _forward(self, inputs: dict[str, Any]) -> dict[str, Any]:
        ids, hidden = inputs["input_ids"], self._hidden(inputs)
        span = max(len(tail) for tail in inputs["tails"]) + 1
        places = torch.tensor(inputs["starts"], device=ids.device)[:, None] + torch.arange(span, device=ids.device)
        places = places.clamp(max=hidden.shape[1] - 1)
        picked = hidden[torch.arange(len(ids), device=ids.device)[:, None], places]
        return {"log_p": self.log_p(picked), "tails": inputs["tails"], "lengths": inputs["lengths"]}

    def postprocess(self, outputs: dict[str, Any], *, words: Words, multi: bool = False) -> list[Choice]:
        """Sum the words of a label, then, unless several labels may hold, normalise over the labels."""
        log_p, tails = outputs["log_p"], outputs["tails"]
        check_finite(log_p)
        choices = []
        for index, length in enumerate(outputs["lengths"]):
            block = log_p[index * len(tails) : (index + 1) * len(tails)]
            log_likelihoods = torch.stack(
                [
                    torch.stack([_log_likelihood(block[tails.index(word[:-1])], word) for word in group]).logsumexp(0)
                    for group in words.values()
                ]
            )
            scores = log_likelihoods.exp() if multi else log_likelihoods.softmax(0)
            choices.append(Choice(dict(zip(words, scores.tolist(), strict=True)), length))
        return choices


def _log_likelihood(log_p: torch.Tensor, word: tuple[int, ...]) -> torch.Tensor:
    return torch.stack([log_p[place, token] for place, token in enumerate(word)]).sum()
