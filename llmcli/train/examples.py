"""From rows to what a model learns: the prompts that the task itself makes, and what should follow each.

A task is run on a model that only writes down what it is asked: so no prompt is made in a second way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmcli.config.run_config import AnyConfig
from llmcli.config.schemas import Generation
from llmcli.errors import UsageError
from llmcli.evaluate.rows import Row
from llmcli.pipelines.protocol import Choice, Completion, Embedding, Emit, Span
from llmcli.run.task import Task
from llmcli.text import chunking, prompts
from llmcli.text.prompts import Rendered


@dataclass(frozen=True)
class Example:
    """A prompt, and what should follow: of ``words``, those of each label, ``gold`` is right; or the text ``target``.

    ``ends``: whether the model should end behind the target.
    """

    prompt: Rendered
    target: str = ""
    gold: str = ""
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ends: bool = False


class Recorder:
    """Implements Model: what a task asks of it is written down, and answered with next to nothing."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.running, self.batch = "", 1
        self.prompts: list[Rendered] = []
        self.words: dict[str, tuple[str, ...]] = {}

    @property
    def context_window(self) -> int:
        """See Model."""
        return int(self._model.context_window)

    def count(self, text: str) -> int:
        """See Model."""
        return int(self._model.count(text))

    def truncate(self, text: str, tokens: int) -> str:
        """See Model."""
        return str(self._model.truncate(text, tokens))

    def size(self, prompt: Rendered) -> int:
        """See Model."""
        return int(self._model.size(prompt))

    def ending(self, text: str) -> float:
        """See Model."""
        return float(self._model.ending(text))

    def complete(
        self, prompts: Sequence[Rendered], generation: Generation, *, emit: Emit | None = None
    ) -> list[list[Completion]]:
        """See Model."""
        self.prompts += prompts
        return [[Completion("x", 1, 1, "stop")] for _ in prompts]

    def choose(
        self, prompts: Sequence[Rendered], labels: Mapping[str, Sequence[str]], *, multi: bool = False
    ) -> list[Choice]:
        """See Model."""
        self.prompts += prompts
        self.words = {name: tuple(words) for name, words in labels.items()}
        return [Choice(dict.fromkeys(labels, 1 / len(labels)), 1) for _ in prompts]

    def spans(
        self, pairs: Sequence[tuple[str, str]], *, prompts: Sequence[Rendered] = (), ending: str = ""
    ) -> list[Span]:
        """See Model."""
        self.prompts += prompts
        return [Span("", 0, 0, 0.0, 1.0, 1) for _ in pairs]

    def likelihood(self, prompts: Sequence[Rendered], answers: Sequence[str]) -> list[float]:
        """See Model."""
        return [0.0] * len(prompts)

    def embed(self, texts: Sequence[str]) -> list[Embedding]:
        """See Model."""
        raise UsageError("a model that is trained compares no sentences")


def examples(task: Task[Any], config: AnyConfig, model: Any, rows: Sequence[Row]) -> list[Example]:
    """What can be learnt of rows; one that the task itself refuses, or that is read in several pieces, is left out.

    Of a text whose sentences are asked one by one, each is an example where the reference has as many.
    """
    found: list[Example] = []
    for row in rows:
        recorder = Recorder(model)
        (result,) = task.answer(recorder, config, [row.record])
        if result.error is not None or not recorder.prompts:
            continue
        if recorder.words:
            found.append(Example(recorder.prompts[0], gold=row.gold[0], words=recorder.words))
            continue
        targets = [row.gold[0]]
        if len(recorder.prompts) > 1:
            targets = chunking.sentences(row.gold[0], str(result.fields.get("target") or "en"))
        if len(targets) == len(recorder.prompts):
            found += [
                _written(prompt, target, config) for prompt, target in zip(recorder.prompts, targets, strict=True)
            ]
    return found


def _written(prompt: Rendered, target: str, config: AnyConfig) -> Example:
    """An example of a text: behind it stands what ends it in inference."""
    if prompt.messages or not config.model.facts.instructed or config.settings.prompt is None:
        return Example(prompt, target=target, ends=True)
    style = prompts.of(config)
    question, _, after = style.example.partition("{answer}")
    gap = question[len(question.rstrip(" ")) :]
    end = (after or style.separator)[:1]
    return Example(prompt, target=gap + (" ".join(target.split()) if end == "\n" else target) + end)
