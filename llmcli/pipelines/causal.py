"""A causal language model: completion, choice and embedding over one set of weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import torch

from llmcli import reports
from llmcli.config.schemas import Generation
from llmcli.errors import ModelError
from llmcli.pipelines import batching, embedding, scores
from llmcli.pipelines.base import HeadModel
from llmcli.pipelines.batching import Budget
from llmcli.pipelines.choice import Choices, products
from llmcli.pipelines.completion import Asked, Completions
from llmcli.pipelines.extraction import STARTS, Extraction, Query
from llmcli.pipelines.fast import known
from llmcli.pipelines.fast.prefix import Kept, reader
from llmcli.pipelines.protocol import Choice, Completion, Embedding, Emit, Span
from llmcli.pipelines.reading import PlainReader, Reader
from llmcli.pipelines.tokens import Encoded, Encoder
from llmcli.reports import READING, WRITING
from llmcli.text.prompts import Rendered

R = TypeVar("R")


class CausalModel(HeadModel):
    """All that a model can do. ``plain``: without any shortcut. ``tf32``: labels are chosen by such products."""

    def __init__(self, model: Any, encoder: Encoder, *, window: int, batch_size: int | None = None,
                 prefixes: Kept | None = None, plain: bool = False, tf32: bool = False) -> None:  # fmt: skip
        super().__init__(model, encoder, window=window, batch_size=batch_size)
        if model.config.model_type in known.KEEPS_STATE:
            raise ModelError(f"transformers mixes the texts of {model.config.model_type} up", code="bad-model",
                             hint="give another --model")  # fmt: skip
        self._prefixes = None if plain else reader(model, prefixes)
        self._reader: Reader = self._prefixes or PlainReader(model)
        self._completions = Completions(model, encoder, self._prefixes)
        self._choices = Choices(self._reader)
        self._tf32 = tf32
        self._extraction = Extraction(encoder, self._reader)
        # How quick texts are written says nothing of how quick they are read.
        self._writing = replace(self._budget, speeds={})
        self._budgets: dict[int, Budget] = {}

    def size(self, prompt: Rendered) -> int:
        """See Model."""
        return len(self.encoder.prompt(prompt))

    def complete(
        self, prompts: Sequence[Rendered], generation: Generation, *, emit: Emit | None = None
    ) -> list[list[Completion]]:
        """See Model. No row depends on its neighbours: each is drawn from its own seed."""
        groups = dict.fromkeys(prompt.without for prompt in prompts)
        if len(groups) > 1:
            found: dict[int, list[Completion]] = {}
            for without in groups:
                places = [place for place, prompt in enumerate(prompts) if prompt.without == without]
                found |= zip(places, self.complete([prompts[place] for place in places], generation), strict=True)
            return [found[place] for place in range(len(prompts))]
        return self._alike(prompts, generation, emit)

    def _alike(self, prompts: Sequence[Rendered], generation: Generation, emit: Emit | None) -> list[list[Completion]]:
        """Rows that are all written without the same scripts."""
        encoded = self.encoder.prompts(prompts)
        seeds = [generation.seed if prompt.seed is None else prompt.seed for prompt in prompts]
        if len(encoded) == 1 and self._prefixes is not None:
            encoded = [self._prefixes.resumed(encoded[0])]
        filling = any(prompt.gap is not None for prompt in prompts)
        ends = self.encoder.file_ends if filling else frozenset[int]()
        without = self.encoder.written_in(prompts[0].without) if prompts else []
        asked = self._completions.asked(generation, emit, ends=ends, without=without)
        found = (self._flowing if self._completions.flows(asked) else self._batched)(encoded, seeds, asked)
        if self._prefixes is not None:
            self._prefixes.forget()
        return found

    def _flowing(self, encoded: list[Encoded], seeds: list[int | None], asked: Asked) -> list[list[Completion]]:
        """Rows join a batch as others leave it; where pieces of a text are heard, each is written by itself."""
        each, most = asked.config.num_return_sequences, asked.config.max_new_tokens
        found: dict[tuple[int, int], Completion] = {}
        for prefix in dict.fromkeys(item.prefix for item in encoded):
            group = [place for place, item in enumerate(encoded) if item.prefix == prefix]

            def work(part: list[int], done: Callable[[int], None], at_once: int) -> None:
                left = dict.fromkeys(part, each)

                def made(place: int, copy: int, completion: Completion) -> None:
                    row = part[place]
                    found[row, copy] = completion
                    left[row] -= 1
                    if not left[row]:
                        done(row)
                        reports.tell(WRITING, len(found) / (len(encoded) * each))

                rows, own = [encoded[place] for place in part], [seeds[place] for place in part]
                self._completions.flow(rows, own, asked, made, at_once=at_once, tokens=self._writing.tokens)

            budget = self._writing if asked.emit is None else Budget(1, self._budget.tokens)
            lengths = {place: len(encoded[place].row) for place in group}
            batching.flow(lengths, work, budget=budget, each=each, most=most)
        return [[found[row, copy] for copy in range(each)] for row in range(len(encoded))]

    def _batched(self, encoded: list[Encoded], seeds: list[int | None], asked: Asked) -> list[list[Completion]]:
        """One batch after the other; sampled rows one by one."""

        def work(batch: list[Encoded], asked: Asked = asked) -> list[list[Completion]]:
            return self._completions(batch, asked)

        alone = Budget(1, self._budget.tokens)
        if asked.config.do_sample:
            return [self._batches([item], partial(work, asked=replace(asked, seed=seed)), budget=alone)[0]
                    for item, seed in zip(encoded, seeds, strict=True)]  # fmt: skip
        budget = alone if asked.emit else self._shared(asked.config.num_beams)
        return self._batches(encoded, work, budget=budget, stage=WRITING,
                             padded=self._completions.padded(asked))  # fmt: skip

    def _shared(self, each: int) -> Budget:
        """The budget of rows that are ``each`` rows of a batch, on a GPU; elsewhere the usual one."""
        if not self._budget.most or each < 2:
            return self._budget
        if each not in self._budgets:
            most = max(self._budget.most // each, 1)
            self._budgets[each] = Budget(min(self._budget.rows, most), max(self._budget.tokens // each, 1), most=most)
        return self._budgets[each]

    def choose(
        self, prompts: Sequence[Rendered], labels: Mapping[str, Sequence[str]], *, multi: bool = False
    ) -> list[Choice]:
        """See Model."""
        words = {name: [tuple(self.encoder.ids(word)) for word in group] for name, group in labels.items()}
        encoded = self.encoder.prompts(prompts)

        def work(batch: list[Encoded]) -> list[Choice]:
            return self._choices.choose(batch, words, multi=multi)

        with products(tf32=self._tf32):
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
        """See Model. On a CPU each prompt is a batch of its own: its likeliest answers are the rows."""
        if not self.encoder.tokenizer.is_fast:
            raise ModelError("its tokenizer does not tell where tokens stand in the text", code="bad-model")
        encoded = self.encoder.prompts(prompts)
        asked = dict(zip(map(id, encoded), pairs, strict=True))

        def work(batch: list[Encoded]) -> list[Span]:
            texts = [asked[id(prompt)] for prompt in batch]
            queries = [Query(prompt, context, question)
                       for prompt, (question, context) in zip(batch, texts, strict=True)]  # fmt: skip
            return self._extraction(queries, ending=ending)

        budget = self._shared(STARTS) if self._budget.most else Budget(1, self._budget.tokens)
        return self._batches(encoded, work, budget=budget)

    def likelihood(self, prompts: Sequence[Rendered], answers: Sequence[str]) -> list[float]:
        """See Model."""
        encoded = self.encoder.prompts(prompts)
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
