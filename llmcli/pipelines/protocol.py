"""What a loaded model can do, as tasks see it; the pipelines behind it import torch and transformers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from llmcli.config.schemas import Generation
    from llmcli.text.prompts import Rendered

Emit = Callable[[str], None]
"""Hears the text of a lone answer as it is made."""


@dataclass(frozen=True)
class Completion:
    """A generated text. ``finish_reason`` is ``stop`` or ``length``.

    ``score`` is its mean log-probability a token, where beam search made it. ``thinking`` is what the model wrote for
    itself before the text.
    """

    text: str
    input_tokens: int
    output_tokens: int
    finish_reason: str
    score: float = 0.0
    thinking: str = ""


@dataclass(frozen=True)
class Choice:
    """The probability of each label (they sum to 1, unless several may hold), and the tokens read.

    ``scored_by``: how a server scores them. One that gives no probabilities names the ``label`` alone. ``likely``: the
    scores are likelihoods of the labels' words, which a prompt tilts.
    """

    scores: Mapping[str, float]
    input_tokens: int
    scored_by: str = ""
    label: str = ""
    likely: bool = True


@dataclass(frozen=True)
class Span:
    """An answer marked in a text: ``text`` is ``context[start:end]``.

    ``score`` is its probability, with what overlaps it, among all spans that were read and no answer at all; ``null``
    is the probability of no answer.
    """

    text: str
    start: int
    end: int
    score: float
    null: float
    input_tokens: int
    chunks: int = 1


@dataclass(frozen=True)
class Embedding:
    """A unit vector that stands for a text's meaning, and the tokens read."""

    vector: Sequence[float]
    input_tokens: int


class Model(Protocol):
    """A loaded model."""

    batch: int
    """Rows up to which a batch may grow, where large ones are quicker; 0: a window is large enough."""
    running: str
    """How it runs, for people: the checkpoint's folder, device, number format, and whether it is rounded."""

    @property
    def context_window(self) -> int:
        """The most tokens of prompt and answer together."""

    def count(self, text: str) -> int:
        """Tokens of a text, without special tokens."""

    def truncate(self, text: str, tokens: int) -> str:
        """The beginning of a text, of at most so many tokens."""

    def size(self, prompt: Rendered) -> int:
        """Tokens of a whole prompt."""

    def complete(
        self, prompts: Sequence[Rendered], generation: Generation, *, emit: Emit | None = None
    ) -> list[list[Completion]]:
        """Generate after each prompt: ``num_return_sequences`` completions a prompt.

        Raises GenerationError for non-finite scores. ``emit`` receives the text as it is made (one prompt).
        """

    def choose(
        self, prompts: Sequence[Rendered], labels: Mapping[str, Sequence[str]], *, multi: bool = False
    ) -> list[Choice]:
        """Score labels by the likelihood of their words after each prompt.

        A classification checkpoint has labels of its own and reads ``row`` alone. To a zero-shot checkpoint the words
        are hypotheses about ``row``. With ``multi`` several labels may hold, and the scores do not sum to 1: a causal
        model's are then the plain probabilities of the words.
        """

    def spans(
        self, pairs: Sequence[tuple[str, str]], *, prompts: Sequence[Rendered] = (), ending: str = ""
    ) -> list[Span]:
        """Mark the answer to each question in its context: pairs of question and context.

        A causal model reads ``prompts``, one a pair, and an answer ends before the character ``ending``. Others read
        the pairs, of any length.
        """

    def likelihood(self, prompts: Sequence[Rendered], answers: Sequence[str]) -> list[float]:
        """Mean log-probability a token of each answer after its prompt."""

    def ending(self, text: str) -> float:
        """Log-probability that the text, as a user's message, is complete: that it ends, or its sentence does."""

    def embed(self, texts: Sequence[str]) -> list[Embedding]:
        """A unit vector a text: two are compared by their cosine. Each text fits the context window.

        Raises GenerationError for a vector that is not finite.
        """
