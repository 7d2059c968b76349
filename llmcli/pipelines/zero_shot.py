"""Zero-shot classification by natural language inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from llmcli.errors import ModelError
from llmcli.pipelines.classification import ClassificationModel
from llmcli.pipelines.protocol import Choice
from llmcli.text.prompts import Rendered


class ZeroShotModel(ClassificationModel):
    """An inference head with the labels entailment and contradiction.

    A label's words are hypotheses; the text is the premise. Method: Yin, Hay and Roth, "Benchmarking Zero-shot Text
    Classification" (EMNLP 2019).
    """

    def __init__(self, model: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(model, *arguments, **options)
        names = [str(name) for name in model.config.id2label.values()]
        found = {kind: name for kind in ("entail", "contradict") for name in names if name.lower().startswith(kind)}
        if len(found) != 2:
            raise ModelError(
                "the head has no labels entailment and contradiction", code="bad-model", hint="name them in id2label"
            )
        self._entailment, self._contradiction = found["entail"], found["contradict"]

    def choose(
        self, prompts: Sequence[Rendered], labels: Mapping[str, Sequence[str]], *, multi: bool = False
    ) -> list[Choice]:
        """See Model. Each label's best hypothesis counts: by its entailment among the labels, or, with ``multi``,
        by entailment against contradiction.
        """
        words = [word for group in labels.values() for word in group]
        pairs = [(prompt.row, word) for prompt in prompts for word in words]
        items = [({"text": text, "text_pair": word}, len(self.encoder.sequence(text, word))) for text, word in pairs]
        logits = iter(self.scores(items, function="none"))
        lengths = iter(items)
        choices = []
        for _ in prompts:
            read = sum(next(lengths)[1] for _ in words)
            found = {name: [next(logits) for _ in group] for name, group in labels.items()}
            choices.append(Choice(self._multi(found) if multi else self._single(found), read))
        return choices

    def _single(self, found: Mapping[str, list[dict[str, float]]]) -> dict[str, float]:
        best = [max(scores[self._entailment] for scores in group) for group in found.values()]
        return dict(zip(found, torch.tensor(best).softmax(0).tolist(), strict=True))

    def _multi(self, found: Mapping[str, list[dict[str, float]]]) -> dict[str, float]:
        margins = {
            name: max(scores[self._entailment] - scores[self._contradiction] for scores in group)
            for name, group in found.items()
        }
        return {name: float(torch.tensor(margin).sigmoid()) for name, margin in margins.items()}
