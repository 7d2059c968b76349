"""A causal language model: completion, choice and embedding over one set of weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch

from llmcli import reports
from llmcli.config.schemas import Generation
from llmcli.errors import ModelError
from llmcli.pipelines import batching, embedding, scores
from llmcli.pipelines.base import HeadModel
from llmcli.pipelines.batching import Budget
from llmcli.pipelines.choice import Choices
from llmcli.pipelines.completion import Completions
from llmcli.pipelines.extraction import Extraction
from llmcli.pipelines.fast import known
from llmcli.pipelines.fast.prefix import Kept, reader
from llmcli.pipelines.protocol import Choice, Completion, Embedding, Emit, Span
from llmcli.pipelines.reading import PlainReader, Reader
from llmcli.pipelines.tokens import Encoded, Encoder
from llmcli.reports import READING, WRITING
from llmcli.text.prompts import Rendered

R = TypeVar("R")


class CausalModel(HeadModel):
    """All that a model can do. ``plain``: without any shortcut."""

    def __init__(self, model: Any, encoder: Encoder, *, window: int, batch_size: int | None = None,
                 prefixes: Kept | None = None, plain: bool = False) -> None:  # fmt: skip
        super().__init__(model, encoder, window=window, batch_size=batch_size)
        if model.config.model_type in known.KEEPS_STATE:
            raise ModelError(f"transformers mixes the texts of {model.config.model_type} up", code="bad-model",
                             hint="give another --model")  # fmt: skip
        self._prefixes = None if plain else reader(model, prefixes)
        self._reader: Reader = self._prefixes or PlainReader(model)
        self._completions = Completions(model, encoder, self._prefixes)
        self._choices = Choices(self._reader)
        self._extraction = Extraction(encoder, self._reader)

    def size(self, prompt: Rendered) -> int:
        """See Model."""
        return len(self.encoder.prompt(prompt))

    def complete(
        self, prompts: Sequence[Rendered], generation: Generation, *, emit: Emit | None = None
    ) -> list[list[Completion]]:
        """See Model. Sampled rows run one by one, each from its own seed: no row depends on its neighbours."""
        budget = Budget(1, self._budget.tokens) if generation.sampled or emit else self._budget
        asked = self._completions.asked(generation, emit)
        encoded = [self.encoder.prompt(prompt) for prompt in prompts]
        if len(encoded) == 1 and self._prefixes is not None:
            encoded = [self._prefixes.resumed(encoded[0])]

        def work(batch: list[Encoded]) -> list[list[Completion]]:
            return self._completions(batch, asked)

        found = self._batches(encoded, work, budget=budget, stage=WRITING,
                              padded=self._completions.padded(asked))  # fmt: skip
        if self._prefixes is not None:
            self._prefixes.forget()
        return found

    def choose(
        self, prompts: Sequence[Rendered], labels: Mapping[str, Sequence[str]], *, multi: bool = False
    ) -> list[Choice]:
        """See Model."""
        words = {name: [tuple(self.encoder.ids(word)) for word in group] for name, group in labels.items()}
        encoded = [self.encoder.prompt(prompt) for prompt in prompts]

        def work(batch: list[Encoded]) -> list[Choice]:
            return self._choices.choose(batch, words, multi=multi)

        return self._batches(encoded, work, budget=self._budget)

    def _batches(
        self, encoded: list[Encoded], work: Callable[[list[Encoded]], list[R]], *, budget: Budget, padded: bool = True,
        stage: str = READING,
    ) -> list[R]:  # fmt: skip
        """Batches share one prefix; results come back in order, one a prompt."""
        results: dict[int, R] = {}
        for prefix in dict.fromkeys(item.prefix for item in encoded):
            group = [index for index, item in enumerate(encoded) if item.prefix == prefix]
            items = [encoded[index] for index in group]
            # Read plainly, the prefix is a part of each row.
            lengths = [len(item.row) + (len(prefix) if self._prefixes is None else 0) for item in items]
            done = batching.run(items, lengths, work, budget=budget, padded=padded, stage=stage)
            results.update(zip(group, done, strict=True))
        return [results[index] for index in range(len(encoded))]

    def spans(
        self, pairs: Sequence[tuple[str, str]], *, prompts: Sequence[Rendered] = (), ending: str = ""
    ) -> list[Span]:
        """See Model. Each prompt is a batch of its own: its likeliest answers are the rows."""
        if not self.encoder.tokenizer.is_fast:
            raise ModelError("its tokenizer does not tell where tokens stand in the text", code="bad-model")
        found = []
        for prompt, (question, context) in zip(prompts, pairs, strict=True):
            found.append(self._extraction(self.encoder.prompt(prompt), context, question=question, ending=ending))
            reports.tell(READING, len(found) / len(pairs))
        return found

    def likelihood(self, prompts: Sequence[Rendered], answers: Sequence[str]) -> list[float]:
        """See Model."""
        encoded = [self.encoder.prompt(prompt) for prompt in prompts]
        tails = [len(self.encoder.ids(answer)) for answer in answers]
        full = [
            Encoded(item.prefix, (*item.row, *self.encoder.ids(answer)))
            for item, answer in zip(encoded, answers, strict=True)
        ]
        sizes = dict(zip(map(id, full), tails, strict=True))

        def work(batch: list[Encoded]) -> list[float]:
            return self._choices.likelihood(batch, [sizes[id(item)] for item in batch])

        return self._batches(full, work, budget=self._budget)

    def ending(self, text: str) -> float:
        """See Model."""
        open_ended, closed = (
            self.encoder.prompt(Rendered(messages=({"role": "user", "content": content},))).row
            for content in (text, text + ".")
        )
        pairs = zip(open_ended, closed, strict=False)
        same = next((place for place, (one, other) in enumerate(pairs) if one != other), len(open_ended) - 1)
        ends = [open_ended[same], *(self.encoder.ids(mark)[-1] for mark in ".?!")]
        with torch.inference_mode():
            log_p = scores.log_p(self._reader.head, self._reader.begin(open_ended[:same]))
        return float(log_p[ends].logsumexp(0))

    def embed(self, texts: Sequence[str]) -> list[Embedding]:
        """See Model: the mean of the last hidden states."""
        rows = [self.encoder.sequence(text) for text in texts]

        def work(batch: list[list[int]]) -> list[Embedding]:
            return embedding.embed(self.model.base_model, batch, pad=self.encoder.tokenizer.pad_token_id or 0)

        return self.batched(rows, [len(row) for row in rows], work)
