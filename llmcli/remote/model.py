"""A server's model, as tasks see a model that is loaded here."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from llmcli.errors import AnswerError, LlmcliError, ModelError, UsageError
from llmcli.pipelines.protocol import Choice, Completion, Embedding, Emit, Span
from llmcli.remote import many, protocol
from llmcli.remote.asking import Asker, Asks
from llmcli.remote.pace import MOST
from llmcli.remote.protocol import Written
from llmcli.remote.rungs import Unable
from llmcli.remote.transport import Unanswered
from llmcli.reports import READING, WRITING
from llmcli.text.prompts import Rendered

if TYPE_CHECKING:
    from llmcli.config.model_config import ModelConfig
    from llmcli.config.schemas import Generation
    from llmcli.remote.scoring import Scores

T = TypeVar("T")
R = TypeVar("R")
BYTES = 3
"""Bytes of a token, at a guess that errs on the side of more tokens: no tokenizer is here."""
UNKNOWN = 1 << 20
"""The context window of a model whose YAML tells none: the server says itself what is too long."""
KEPT = 4096
"""Answers that are remembered: rows whose neighbour failed are answered again."""


class ServerModel:
    """Implements :class:`llmcli.pipelines.protocol.Model`. ``asks`` answers requests, ``scores`` labels."""

    def __init__(self, config: ModelConfig, asks: Asks, scores: Scores, *, most: int = MOST) -> None:
        self.context_window = config.context_window or UNKNOWN
        self.batch = 2 * most
        self.running = f"the server {config.source.server}, model {config.source.model}"
        self._name, self._asks, self._scores, self._most = config.source.model, asks, scores, most
        self._more = protocol.more(config)
        self._kept: OrderedDict[str, Any] = OrderedDict()

    def count(self, text: str) -> int:
        """See Model: an estimate."""
        return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES)

    def truncate(self, text: str, tokens: int) -> str:
        """See Model."""
        return text.encode("utf-8", "surrogatepass")[: tokens * BYTES].decode("utf-8", "ignore")

    def size(self, prompt: Rendered) -> int:
        """See Model."""
        said = prompt.prefix + prompt.row
        return self.count(said) + sum(self.count(message["content"]) + 4 for message in prompt.messages)

    def complete(
        self, prompts: Sequence[Rendered], generation: Generation, *, emit: Emit | None = None
    ) -> list[list[Completion]]:
        """See Model. Beams are not asked for. Raises AnswerError, ServerError."""
        if any(prompt.gap is not None for prompt in prompts):
            raise UsageError("a server cannot fill a gap (--infill)", hint="it writes the code of a task")
        count = generation.num_return_sequences or 1
        if emit is not None and len(prompts) == count == 1 and isinstance(self._asks, Asker):
            return [[self._streamed(self._asks, prompts[0], generation, emit)]]
        drawn = generation.sampled

        def work(prompt: Rendered) -> list[Completion]:
            return self._texts(prompt, generation, count)

        def known(prompt: Rendered) -> str | None:
            repeats = not drawn or (prompt.seed if generation.seed is None else generation.seed) is not None
            return repr((prompt, generation, count)) if repeats else None

        return self.each(prompts, work, known=known, stage=WRITING)

    def _texts(self, prompt: Rendered, generation: Generation, count: int) -> list[Completion]:
        """So many texts; where a server gives fewer at once, it is asked for the others."""
        made: list[Written] = []
        stop = generation.stop or []
        while len(made) < count:
            seed = generation.seed if prompt.seed is None else prompt.seed
            drawn = generation if seed is None else generation.model_copy(update={"seed": (seed + len(made)) % 2**32})
            own = Rendered(prompt.prefix, prompt.row, prompt.messages)
            request = protocol.asked(self._name, own, drawn, count=count - len(made), more=self._more)
            made += self._asks.ask(request, lambda answer: protocol.written(answer, stop=stop))
        return [protocol.completion(one, prompt, self.count) for one in made[:count]]

    def _streamed(self, asker: Asker, prompt: Rendered, generation: Generation, emit: Emit) -> Completion:
        """A text whose pieces are heard. What was heard is not asked again."""
        more = self._more | {"stream": True, "stream_options": {"include_usage": True}}
        request = protocol.asked(self._name, prompt, generation, more=more)
        heard: list[str] = []

        def hear(piece: str) -> None:
            heard.append(piece)
            emit(piece)

        def work() -> Written:
            try:
                return asker.stream(request, lambda pieces: protocol.streamed(pieces, hear))
            except Unanswered as error:
                if heard:
                    raise AnswerError(f"the answer broke off: {error.why}", code="broken-off",
                                      hint="run it again, or with --no-stream") from error  # fmt: skip
                raise

        return protocol.completion(asker.patiently(work), prompt, self.count)

    def choose(
        self, prompts: Sequence[Rendered], labels: Mapping[str, Sequence[str]], *, multi: bool = False
    ) -> list[Choice]:
        """See Model: with what the server has of log-probabilities, which each Choice names."""
        if not prompts:
            return []
        rung = self._scores.rung(labels, multi=multi)

        def work(prompt: Rendered) -> Choice:
            try:
                return rung.choose(prompt, labels, multi=multi)
            except Unable as error:
                raise AnswerError(f"the server's answer has no scores: {error}", code="no-scores") from error

        def known(prompt: Rendered) -> str:
            return repr((rung.name, prompt, labels, multi))

        return self.each(prompts, work, known=known, stage=READING)

    def likelihood(self, prompts: Sequence[Rendered], answers: Sequence[str]) -> list[float]:
        """See Model: where the server echoes log-probabilities. Raises ModelError where it does not."""
        pairs = list(zip(prompts, answers, strict=True))
        echo = self._scores.echo()
        return self.each(pairs, lambda pair: echo.likelihood(*pair), known=lambda _: None, stage=READING)

    def each(
        self, items: Sequence[T], work: Callable[[T], R], *, known: Callable[[T], str | None], stage: str
    ) -> list[R]:
        """What ``work`` gives for each item; equal ones are asked once. Raises the first item's error that has one.

        ``known`` is what an item's answer is remembered by: after an error of one, the others come again.
        """
        names = [known(item) for item in items]
        new: dict[Any, T] = {}
        for place, (name, item) in enumerate(zip(names, items, strict=True)):
            if name is None or name not in self._kept:
                new.setdefault(place if name is None else name, item)
        found: dict[Any, Any] = dict(zip(new, many.each([*new.values()], work, most=self._most, stage=stage)
                                         if new else [], strict=True))  # fmt: skip
        results: list[Any] = []
        for place, name in enumerate(names):
            results.append(found[place] if name is None else found.get(name, self._kept.get(name)))
        self._keep({name: result for name, result in found.items() if isinstance(name, str)})
        for result in results:
            if isinstance(result, LlmcliError):
                raise copy.copy(result)  # a row's error gets the row's place
        return results

    def _keep(self, found: Mapping[str, Any]) -> None:
        self._kept.update(found)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def ending(self, text: str) -> float:
        """See Model: a chat model behind a server answers whatever it is asked."""
        return 0.0

    def spans(
        self, pairs: Sequence[tuple[str, str]], *, prompts: Sequence[Rendered] = (), ending: str = ""
    ) -> list[Span]:
        """See Model."""
        raise self._refused("mark an answer in a text")

    def embed(self, texts: Sequence[str]) -> list[Embedding]:
        """See Model."""
        raise self._refused("embed texts")

    def _refused(self, what: str) -> ModelError:
        return ModelError(f"a server's model cannot {what}", code="wrong-task", hint="give another --model")
