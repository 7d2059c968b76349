"""Labels chosen by the likelihood of their words: nothing is sampled, nothing is parsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import Pipeline

from llmcli.pipelines import scores
from llmcli.pipelines.fast.prefix import PrefixCache
from llmcli.pipelines.protocol import Choice
from llmcli.pipelines.stopping import check_finite
from llmcli.pipelines.tokens import Batch, Encoded, Encoder

Word = tuple[int, ...]
Words = Mapping[str, Sequence[Word]]


class Tree:
    """The words of all labels as a tree of tokens: what several words begin with is read once."""

    def __init__(self, words: Sequence[Word]) -> None:
        self.nodes: dict[Word, list[int]] = {}
        """The beginnings of words, the empty one first, and the tokens that follow each."""
        for length in range(max(map(len, words))):
            for word in words:
                if len(word) > length and word[length] not in self.nodes.setdefault(word[:length], []):
                    self.nodes[word[:length]].append(word[length])
        inner = {node[:end] for node in self.nodes for end in range(len(node))}
        self.paths = [node for node in self.nodes if node and node not in inner]
        """The longest beginnings: reading them reads all."""

    def log_likelihoods(self, found: torch.Tensor, words: Sequence[Word]) -> torch.Tensor:
        """(rows, nodes, tokens that follow) to (rows, words)."""
        places = {node: place for place, node in enumerate(self.nodes)}
        columns = []
        for word in words:
            steps = [(word[:end], token) for end, token in enumerate(word)]
            parts = [found[:, places[node], self.nodes[node].index(token)] for node, token in steps]
            columns.append(torch.stack(parts).sum(0))
        return torch.stack(columns, dim=1)


class ChoicePipeline(Pipeline):  # type: ignore[misc]
    """One call takes one :class:`Batch` and gives a :class:`Choice` a row."""

    def __init__(self, *, encoder: Encoder, prefixes: PrefixCache, **kwargs: Any) -> None:
        super().__init__(device=kwargs["model"].device, **kwargs)
        self._encoder = encoder
        self._prefixes = prefixes

    def _sanitize_parameters(
        self, words: Words | None = None, multi: bool = False, **_: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        return {}, {"words": words or {}, "multi": multi}, {"words": words or {}, "multi": multi}

    def preprocess(self, batch: Batch) -> dict[str, Any]:
        """Right-pad the rows behind the prefix: ``input_ids`` (rows, width), ``mask`` (rows, prefix + width)."""
        width = max(len(row.row) for row in batch.rows)
        prefix = batch.rows[0].prefix
        gaps = [width - len(row.row) for row in batch.rows]
        ids = [[*row.row, *[0] * gap] for row, gap in zip(batch.rows, gaps, strict=True)]
        mask = [[1] * (len(prefix) + width - gap) + [0] * gap for gap in gaps]
        return {"input_ids": torch.tensor(ids), "mask": torch.tensor(mask), "prefix": prefix,
                "lengths": [len(row) for row in batch.rows]}  # fmt: skip

    def read(self, row: Encoded) -> tuple[torch.Tensor, Any]:
        """Read one prompt: its hidden states behind the prefix, (1, width, hidden), and the cache that holds it."""
        cache = self._prefixes.expand(row.prefix, 1)
        return self.go_on([list(row.row)], cache, read=len(row.prefix)), cache

    def go_on(self, rows: Sequence[Sequence[int]], cache: Any, *, read: int) -> torch.Tensor:
        """Read on behind ``read`` tokens that the cache holds: (rows, width, hidden); shorter rows are padded."""
        width = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=self.device)
        mask = torch.ones(len(rows), read + width, dtype=torch.long, device=self.device)
        return self._prefixes.read(ids, mask, cache)

    def log_p(self, hidden: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of the next token, (…, vocabulary)."""
        return scores.log_p(self.model, hidden)

    def likelihood(self, batch: Batch, tails: Sequence[int]) -> list[float]:
        """Mean log-probability of the last ``tails`` tokens of each row."""
        inputs = self._ensure_tensor_on_device(self.preprocess(batch), device=self.device)
        with torch.inference_mode():
            cache = self._prefixes.expand(batch.rows[0].prefix, len(batch.rows))
            hidden = self._prefixes.read(inputs["input_ids"], inputs["mask"], cache)
            ends = [len(item.row) for item in batch.rows]
            states = [row[end - tail - 1 : end - 1] for row, end, tail in zip(hidden, ends, tails, strict=True)]
            targets = [[token] for item, tail in zip(batch.rows, tails, strict=True) for token in item.row[-tail:]]
            found = scores.likelihoods(self.model, torch.cat(states), torch.tensor(targets, device=hidden.device))
        return [float(part.mean()) for part in torch.split(found, list(tails))]

    def _forward(self, inputs: dict[str, Any], *, words: Words, multi: bool) -> dict[str, Any]:
        """The log-likelihood of each word, (rows, words); of words of one token only up to what all have in common."""
        ids, mask = inputs["input_ids"], inputs["mask"]
        cache = self._prefixes.expand(tuple(inputs["prefix"]), len(ids))
        hidden = self._prefixes.read(ids, mask, cache)
        ends = mask[:, -ids.shape[1] :].sum(1) - 1
        states = hidden[torch.arange(len(ids), device=ids.device), ends]
        flat = [word for group in words.values() for word in group]
        tree = Tree(flat)
        if not (tree.paths or multi):
            found = scores.some_logits(self.model, states, tree.nodes[()])[:, None]
        else:
            found = self._follow(tree, states, mask, cache)
        return {"found": tree.log_likelihoods(found, flat), "lengths": inputs["lengths"]}

    def _follow(self, tree: Tree, states: torch.Tensor, mask: torch.Tensor, cache: Any) -> torch.Tensor:
        """Log-probabilities of the tokens behind each node: (rows, nodes, tokens), padded with the first of them."""
        at = [states]
        if tree.paths:
            rows, paths = len(states), tree.paths
            cache.batch_repeat_interleave(len(paths))
            width = max(map(len, paths))
            tails = torch.tensor([[*path, *[0] * (width - len(path))] for path in paths], device=mask.device)
            tails = tails.repeat(rows, 1)
            behind = torch.cat([mask.repeat_interleave(len(paths), 0), torch.ones_like(tails)], dim=1)
            read = self._prefixes.read(tails, behind, cache).view(rows, len(paths), width, -1)
            for node in list(tree.nodes)[1:]:
                path = next(place for place, path in enumerate(paths) if path[: len(node)] == node)
                at.append(read[:, path, len(node) - 1])
        longest = max(map(len, tree.nodes.values()))
        following = [[*tokens, *tokens[:1] * (longest - len(tokens))] for tokens in tree.nodes.values()]
        targets = torch.tensor(following, device=mask.device).repeat(len(states), 1)
        found = scores.likelihoods(self.model, torch.stack(at, dim=1).flatten(0, 1), targets)
        return found.view(len(states), len(tree.nodes), longest)

    def postprocess(self, outputs: dict[str, Any], *, words: Words, multi: bool = False) -> list[Choice]:
        """Sum the words of a label, then, unless several labels may hold, normalise over the labels."""
        check_finite(outputs["found"])
        choices = []
        for row, length in zip(outputs["found"], outputs["lengths"], strict=True):
            groups = torch.split(row, [len(group) for group in words.values()])
            totals = torch.stack([group.logsumexp(0) for group in groups])
            found = totals.exp() if multi else totals.softmax(0)
            choices.append(Choice(dict(zip(words, found.tolist(), strict=True)), length))
        return choices
