"""What training makes smaller: the negative log-likelihood by which inference itself decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.nn.functional import cross_entropy

from llmcli.errors import ModelError
from llmcli.pipelines.fast import known
from llmcli.pipelines.scores import Head
from llmcli.train.examples import Example

LONGEST = 1024
"""Tokens of an example; longer ones are left out."""
IGNORED = -100


@dataclass(frozen=True)
class Item:
    """An example as tokens: ``ids`` are read, ``targets`` should follow, or be their class.

    ``choice``: the tokens among which the target is, where labels are of one token each.
    """

    ids: tuple[int, ...]
    targets: tuple[int, ...]
    choice: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


class Objective(Protocol):
    """A loss over examples of a model."""

    def item(self, example: Example) -> Item | None:
        """The example's tokens; None where it is too long."""

    def loss(self, items: Sequence[Item]) -> torch.Tensor:
        """The sum of the examples' losses, each the mean over its targets."""


def padded(rows: Sequence[Sequence[int]], device: Any, fill: int = 0) -> torch.Tensor:
    """Rows of tokens, padded on the right."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows], device=device)


class Causal:
    """Of a causal model: of labels that are one token each, the likelihood among the labels; else of the target."""

    def __init__(self, pipeline: Any) -> None:
        self._encoder, self._model = pipeline.encoder, pipeline.model
        self._longest = min(pipeline.context_window, LONGEST)
        listed = self._model.config.model_type in known.FAMILIES
        self._head: Head | None = known.head(self._model) if listed else None

    def item(self, example: Example) -> Item | None:
        """See Objective. All but the last target are read too."""
        prompt = self._encoder.prompt(example.prompt)
        ids = (*prompt.prefix, *prompt.row)
        if example.words:
            words = {name: self._encoder.ids(group[0]) for name, group in example.words.items()}
            choice = tuple(word[0] for word in words.values())
            if all(len(word) == 1 for word in words.values()) and len({*choice}) == len(choice):
                return self._short(Item(ids, (choice.index(words[example.gold][0]),), choice))
            targets = words[example.gold]
        else:
            targets = self._encoder.ids(example.target) + (self._end() if example.ends else [])
        return self._short(Item((*ids, *targets[:-1]), tuple(targets)))

    def _end(self) -> list[int]:
        own = self._model.generation_config.eos_token_id
        ends = own if isinstance(own, list) else [own]
        token = self._encoder.tokenizer.eos_token_id
        return [token if token is not None else ends[0]] if (token is not None or ends[0] is not None) else []

    def _short(self, item: Item) -> Item | None:
        return item if item.targets and len(item) <= self._longest else None

    def loss(self, items: Sequence[Item]) -> torch.Tensor:
        """See Objective."""
        ids = padded([item.ids for item in items], self._model.device)
        mask = padded([[1] * len(item) for item in items], self._model.device)
        places = [(row, at) for row, item in enumerate(items)
                  for at in range(len(item) - (1 if item.choice else len(item.targets)), len(item))]  # fmt: skip
        rows, at = torch.tensor(places, device=self._model.device).T
        if items[0].choice:
            logits = self._logits(ids, mask, rows, at, items[0].choice)
            gold = torch.tensor([item.targets[0] for item in items], device=logits.device)
            chosen: torch.Tensor = cross_entropy(logits, gold, reduction="sum")
            return chosen
        logits = self._logits(ids, mask, rows, at, ())
        gold = torch.tensor([token for item in items for token in item.targets], device=logits.device)
        weights = torch.tensor([1 / len(item.targets) for item in items for _ in item.targets], device=logits.device)
        total: torch.Tensor = (cross_entropy(logits, gold, reduction="none") * weights).sum()
        return total

    def _logits(
        self, ids: torch.Tensor, mask: torch.Tensor, rows: torch.Tensor, at: torch.Tensor, some: tuple[int, ...]
    ) -> torch.Tensor:
        """The logits at some places, (places, vocabulary), or of ``some`` tokens alone."""
        if self._head is None:
            logits = self._model(input_ids=ids, attention_mask=mask, use_cache=False).logits[rows, at].float()
            chosen: torch.Tensor = logits[:, list(some)] if some else logits
            return chosen
        states = self._model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state[rows, at]
        return self._head.some(states, some) if some else self._head.logits(states)


class Seq2Seq:
    """Of an encoder-decoder: the likelihood of the target, with the language that it begins with."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline, self._model = pipeline, pipeline.model

    def item(self, example: Example) -> Item | None:
        """See Objective."""
        ids, forced = self._pipeline.encode(example.prompt)
        tokenizer = self._pipeline.encoder.tokenizer
        targets = [int(token) for token in tokenizer(text_target=example.target)["input_ids"]]
        if forced is not None:
            special = {*tokenizer.all_special_ids, forced}
            plain = [token for token in targets if token not in special]
            targets = [forced, *plain, tokenizer.eos_token_id]
        window = min(self._pipeline.context_window, LONGEST)
        return Item(tuple(ids), tuple(targets)) if ids and max(len(ids), len(targets)) <= window else None

    def loss(self, items: Sequence[Item]) -> torch.Tensor:
        """See Objective."""
        device = self._model.device
        ids = padded([item.ids for item in items], device)
        mask = padded([[1] * len(item) for item in items], device)
        labels = padded([item.targets for item in items], device, fill=IGNORED)
        logits = self._model(input_ids=ids, attention_mask=mask, labels=labels).logits.float()
        each = cross_entropy(logits.transpose(1, 2), labels, reduction="none", ignore_index=IGNORED)
        total: torch.Tensor = (each.sum(-1) / (labels != IGNORED).sum(-1)).sum()
        return total


class Classes:
    """Of a classifier: the likelihood of the label by the head that it has."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline, self._model = pipeline, pipeline.model
        self.labels = {str(name): int(place) for place, name in self._model.config.id2label.items()}

    def item(self, example: Example) -> Item | None:
        """See Objective."""
        ids = self._pipeline.encoder.sequence(example.prompt.row)
        if len(ids) > self._pipeline.context_window:
            return None
        return Item(tuple(ids), (self.labels[example.gold],))

    def loss(self, items: Sequence[Item]) -> torch.Tensor:
        """See Objective."""
        device = self._model.device
        fill = self._model.config.pad_token_id or 0
        ids = padded([item.ids for item in items], device, fill=fill)
        mask = padded([[1] * len(item) for item in items], device)
        logits = self._model(input_ids=ids, attention_mask=mask).logits.float()
        return cross_entropy(logits, torch.tensor([item.targets[0] for item in items], device=device), reduction="sum")


def of(pipeline: Any, kind: str) -> Objective:
    """The objective of a loaded model; ``kind`` is its pipeline's name. Raises ModelError for one that has none."""
    kinds: dict[str, Any] = {"causal": Causal, "seq2seq": Seq2Seq, "classification": Classes}
    if kind not in kinds:
        raise ModelError(f"a {kind} model is not trained here", code="wrong-task",
                         hint="give a causal model, an encoder-decoder or a classifier as base")  # fmt: skip
    made: Objective = kinds[kind](pipeline)
    return made
