"""A model that records what it is asked."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmcli.pipelines.protocol import Choice, Completion, Embedding, Span
from llmcli.text.prompts import Rendered

NOISE = b"noise of a C library\n"


@dataclass(eq=False)
class FakeModel:
    """Records what it is asked; its answers are functions of the row."""

    context_window: int = 4096
    running: str = "nowhere"
    batch: int = 0
    prompts: list[Rendered] = field(default_factory=list)
    generations: list[Any] = field(default_factory=list)
    searched: list[str] = field(default_factory=list)
    """The texts that spans were looked for in."""

    def count(self, text: str) -> int:
        return len(text.split())

    def truncate(self, text: str, tokens: int) -> str:
        return " ".join(text.split()[:tokens])

    def size(self, prompt: Rendered) -> int:
        return self.count(prompt.prefix + prompt.row + " ".join(m["content"] for m in prompt.messages))

    def complete(self, prompts: Sequence[Rendered], generation: Any, *, emit: Any = None) -> list[list[Completion]]:
        self.prompts += prompts
        self.generations.append(generation)
        made = []
        for prompt in prompts:
            text = (prompt.row or prompt.messages[-1]["content"]).upper()
            if emit:
                emit(text)
            made.append([Completion(text, self.size(prompt), 2, "stop")] * (generation.num_return_sequences or 1))
        return made

    def choose(
        self, prompts: Sequence[Rendered], labels: Mapping[str, Sequence[str]], *, multi: bool = False
    ) -> list[Choice]:
        self.prompts += prompts
        first, *others = labels
        return [
            Choice({first: p, **{other: (1 - p) / len(others) for other in others}}, self.size(prompt))
            for prompt in prompts
            for p in [0.9 if "good" in prompt.row else 0.2]
        ]

    def spans(
        self, pairs: Sequence[tuple[str, str]], *, prompts: Sequence[Rendered] = (), ending: str = ""
    ) -> list[Span]:
        self.searched += [context for _, context in pairs]
        return [Span(context[:5], 0, 5, 0.8, 1e-3, self.count(question + context)) for question, context in pairs]

    def likelihood(self, prompts: Sequence[Rendered], answers: Sequence[str]) -> list[float]:
        return [-float(len(answer)) for answer in answers]

    def ending(self, text: str) -> float:
        return 0.0 if text.endswith(("?", ".")) else -10.0

    def embed(self, texts: Sequence[str]) -> list[Embedding]:
        """How often each of eight letters is in the text, as a unit vector."""
        counts = [[text.lower().count(letter) + 1e-3 for letter in "aeinorst"] for text in texts]
        return [Embedding([n / math.hypot(*row) for n in row], self.count(text))
                for text, row in zip(texts, counts, strict=True)]  # fmt: skip


@dataclass(eq=False)
class Stopping(FakeModel):
    """Calls ``stops`` with the name of each point; where NOISE is in the environment, writes past Python."""

    stops: Callable[[str], None] = print

    def choose(
        self, prompts: Sequence[Rendered], labels: Mapping[str, Sequence[str]], *, multi: bool = False
    ) -> list[Choice]:
        self.stops("rows")
        for descriptor in (1, 2) if "NOISE" in os.environ else ():
            os.write(descriptor, NOISE)
        return super().choose(prompts, labels, multi=multi)

    def complete(self, prompts: Sequence[Rendered], generation: Any, *, emit: Any = None) -> list[list[Completion]]:
        def piecewise(text: str) -> None:
            for piece in (text[:1], text[1:]):
                emit(piece)
                self.stops("piece")

        return super().complete(prompts, generation, emit=piecewise if emit else None)
