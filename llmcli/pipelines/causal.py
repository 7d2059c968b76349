"""A causal language model: completion, choice and embedding over one set of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from llmcli.config.schemas import Generation
from llmcli.errors import ModelError
from llmcli.pipelines import batching, scores
from llmcli.pipelines.base import ROWS, TOKENS
from llmcli.pipelines.batching import Budget
from llmcli.pipelines.choice import ChoicePipeline
from llmcli.pipelines.completion import CompletionPipeline
from llmcli.pipelines.extraction import Extraction
from llmcli.pipelines.fast.prefix import Kept, PrefixCache
from llmcli.pipelines.protocol import Choice, Completion, Emit, Span
from llmcli.pipelines.tokens import Batch, Encoded, Encoder
from llmcli.text.prompts import Rendered


class CausalModel:
    """Implements :class:`llmcli.pipelines.protocol.Model`."""

    def __init__(self, model: Any, encoder: Encoder, *, window: int, batch_size: int | None = None,
                 prefixes: Kept | None = None) -> None:  # fmt: skip
        self.model = model
        self.encoder = encoder
        self.context_window = window
        self._budget = Budget(batch_size or ROWS, TOKENS if batch_size is None else 1 << 40)
        self._prefixes = cache = PrefixCache(model, prefixes)
        # Elsewhere padding between prefix and row counts as part of a sliding window that is shorter than the prompt.
        self._padded = window if cache.shared else getattr(model.config, "sliding_window", None) or window
        shared = {"model": model, "tokenizer": encoder.tokenizer}
        self._completion = CompletionPipeline(**shared, encoder=encoder, prefixes=cache)
        self._choice = ChoicePipeline(**shared, encoder=encoder, prefixes=cache)
        self._extraction = Extraction(self._choice, encoder, cache)

    def count(self, text: str) -> int:
        """See Model."""
        return len(self.encoder.ids(text))

    def truncate(self, text: str, tokens: int) -> str:
        """See Model."""
        return self.encoder.truncate(text, tokens)

    def size(self, prompt: Rendered) -> int:
        """See Model."""
        return len(self.encoder.prompt(prompt))

    def complete(
        self, prompts: Sequence[Rendered], generation: Generation, *, emit: Emit | None = None
    ) -> list[list[Completion]]:
        """See Model. Sampled rows run one by one, each from its own seed: no row depends on its neighbours."""
        budget = Budget(1, self._budget.tokens) if generation.sampled or emit else self._budget
        encoded = [self.encoder.prompt(prompt) for prompt in prompts]
        if len(encoded) == 1:
            encoded = [self._resumed(encoded[0])]

        def work(batch: list[Encoded]) -> list[list[Completion]]:
            found: list[list[Completion]] = self._completion(Batch(tuple(batch)), generation=generation, emit=emit)
            return found

        longest = max(map(len, encoded), default=0) + (generation.max_new_tokens or 0)
        found = self._batches(encoded, work, budget=budget, padded=longest <= self._padded)
        self._prefixes.forget()
        return found

    def _resumed(self, prompt: Encoded) -> Encoded:
        """The prompt behind its beginning, where :meth:`ending` has read that just now."""
        begun = self._prefixes.begun[0]
        if prompt.prefix or not begun or prompt.row[: len(begun)] != begun or len(prompt.row) == len(begun):
            return prompt
        return Encoded(begun, prompt.row[len(begun) :])

    def choose(
        self, prompts: Sequence[Rendered], labels: Mapping[str, Sequence[str]], *, multi: bool = False
    ) -> list[Choice]:
        """See Model."""
        words = {name: [tuple(self.encoder.ids(word)) for word in group] for name, group in labels.items()}
        encoded = [self.encoder.prompt(prompt) for prompt in prompts]

        def work(batch: list[Encoded]) -> list[Choice]:
            found: list[Choice] = self._choice(Batch(tuple(batch)), words=words, multi=multi)
            return found

        return self._batches(encoded, work, budget=self._budget)

    def _batches(self, encoded: list[Encoded], work: Any, *, budget: Budget, padded: bool = True) -> list[Any]:
        """Batches share one prefix; results come back in order, one a prompt."""
        results: list[Any] = [None] * len(encoded)
        for prefix in dict.fromkeys(item.prefix for item in encoded):
            group = [index for index, item in enumerate(encoded) if item.prefix == prefix]
            items = [encoded[index] for index in group]
            lengths = [len(item.row) for item in items]
            for index, result in zip(
                group,
                batching.run(items, lengths, work, budget=budget, padded=padded),
                strict=True,
            ):
                results[index] = result
        return results

    def spans(
        self, pairs: Sequence[tuple[str, str]], *, prompts: Sequence[Rendered] = (), ending: str = ""
    ) -> list[Span]:
        """See Model. Each prompt is a batch of its own: its likeliest answers are the rows."""
        if not self.encoder.tokenizer.is_fast:
            raise ModelError("its tokenizer does not tell where tokens stand in the text", code="bad-model")
        return [
            self._extraction(self.encoder.prompt(prompt), context, question=question, ending=ending)
            for prompt, (question, context) in zip(prompts, pairs, strict=True)
        ]

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
            return self._choice.likelihood(Batch(tuple(batch)), [sizes[id(item)] for item in batch])

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
            log_p = scores.log_p(self.model, self._prefixes.begin(open_ended[:same])[0, -1])
        return float(log_p[ends].logsumexp(0))

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """See Model: the mean of the input embeddings, frequent tokens weighted down.

        Weights a / (a + p(token)) with a = 1e-3, after Arora et al., "A Simple but Tough-to-Beat Baseline for
        Sentence Embeddings" (ICLR 2017). A vocabulary is about in order of frequency, so p follows Zipf's law.
        """
        table = self.model.get_input_embeddings().weight
        vectors = []
        with torch.inference_mode():
            for text in texts:
                ids = torch.tensor(self.encoder.ids(text) or [0], device=table.device)
                weights = 1e-3 / (1e-3 + 1 / (12.5 * (ids + 1)))
                vectors.append(weights.float() @ table[ids].float() / weights.sum())
            unit = torch.nn.functional.normalize(torch.stack(vectors).cpu(), dim=-1)
        return [[float(x) for x in row] for row in unit.tolist()]
