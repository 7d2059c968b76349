"""What the models of all pipelines share; each overrides what its checkpoint's head can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from llmcli.config.schemas import Generation
from llmcli.errors import ModelError
from llmcli.pipelines import batching, budgets
from llmcli.pipelines.batching import Budget
from llmcli.pipelines.protocol import Choice, Completion, Embedding, Emit, Span
from llmcli.pipelines.tokens import Encoder
from llmcli.reports import READING
from llmcli.text import chunking
from llmcli.text.prompts import Rendered

T = TypeVar("T")
R = TypeVar("R")


class HeadModel:
    """Implements :class:`llmcli.pipelines.protocol.Model`; what a head cannot do is refused with ModelError."""

    def __init__(self, model: Any, encoder: Encoder, *, window: int, batch_size: int | None = None) -> None:
        self.model = model
        self.encoder = encoder
        self.context_window = window
        self.running = ""
        self._budget = budgets.budget(model, batch_size)
        self.batch = self._budget.most

    def batched(
        self, items: Sequence[T], lengths: Sequence[int], work: Callable[[list[T]], list[R]], *, alone: bool = False,
        padded: bool = True, stage: str = READING,
    ) -> list[R]:  # fmt: skip
        """One result an item, in order, each in a batch of its own if ``alone``; see ``batching.run``."""
        budget = Budget(1, self._budget.tokens) if alone else self._budget
        return batching.run(items, lengths, work, budget=budget, padded=padded, stage=stage)

    def count(self, text: str) -> int:
        """See Model."""
        return sum(len(self.encoder.ids(part)) for part in chunking.parts(text))

    def truncate(self, text: str, tokens: int) -> str:
        """See Model."""
        return self.encoder.truncate(text, tokens)

    def size(self, prompt: Rendered) -> int:
        """See Model."""
        return len(self.encoder.sequence(prompt.prefix + prompt.row))

    def complete(
        self, prompts: Sequence[Rendered], generation: Generation, *, emit: Emit | None = None
    ) -> list[list[Completion]]:
        """See Model."""
        raise self.refused("generate text")

    def choose(
        self, prompts: Sequence[Rendered], labels: Mapping[str, Sequence[str]], *, multi: bool = False
    ) -> list[Choice]:
        """See Model."""
        raise self.refused("choose labels")

    def spans(
        self, pairs: Sequence[tuple[str, str]], *, prompts: Sequence[Rendered] = (), ending: str = ""
    ) -> list[Span]:
        """See Model."""
        raise self.refused("mark an answer in a text")

    def likelihood(self, prompts: Sequence[Rendered], answers: Sequence[str]) -> list[float]:
        """See Model."""
        raise self.refused("score text")

    def ending(self, text: str) -> float:
        """See Model."""
        raise self.refused("score text")

    def embed(self, texts: Sequence[str]) -> list[Embedding]:
        """See Model."""
        raise self.refused("embed texts")

    def refused(self, what: str) -> ModelError:
        """The error of a use that the checkpoint's head does not allow."""
        head = type(self.model).__name__
        return ModelError(f"a {head} cannot {what}", code="wrong-task", hint="give another --model")
