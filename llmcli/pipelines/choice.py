"""Labels chosen by the likelihood of their words: nothing is sampled, nothing is parsed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from llmcli.pipelines import scores
from llmcli.pipelines.protocol import Choice
from llmcli.pipelines.reading import Reader, Rows
from llmcli.pipelines.stopping import check_finite
from llmcli.pipelines.tokens import Encoded

Word = tuple[int, ...]
Words = Mapping[str, Sequence[Word]]


@contextmanager
def products(*, tf32: bool) -> Iterator[None]:
    """Let a GPU multiply float32 numbers by their first ten binary digits, or leave that as it is."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


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


class Choices:
    """Scores words, and whole answers, after prompts. Raises GenerationError for scores that are no numbers."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    @torch.inference_mode()
    def choose(self, prompts: Sequence[Encoded], words: Words, *, multi: bool) -> list[Choice]:
        """Sum the words of a label, then, unless several labels may hold, normalise over the labels."""
        states, rows = self._reader.read(prompts, last=[1] * len(prompts))
        flat = [word for group in words.values() for word in group]
        tree, last = Tree(flat), torch.cat(states)
        if tree.paths or multi:
            found = self._follow(tree, last, rows)
        else:  # words of one token: up to what all have in common
            found = self._reader.head.some(last, tree.nodes[()])[:, None]
        likelihoods = tree.log_likelihoods(found, flat)
        check_finite(likelihoods)
        groups = torch.split(likelihoods, [len(group) for group in words.values()], dim=1)
        totals = torch.stack([group.logsumexp(1) for group in groups], dim=1)
        p = totals.exp() if multi else totals.softmax(1)
        return [Choice(dict(zip(words, row, strict=True)), len(prompt))
                for row, prompt in zip(p.tolist(), prompts, strict=True)]  # fmt: skip

    @torch.inference_mode()
    def likelihood(self, prompts: Sequence[Encoded], tails: Sequence[int]) -> list[float]:
        """Mean log-probability of the last ``tails`` tokens of each row."""
        states, _ = self._reader.read(prompts, last=[tail + 1 for tail in tails])
        targets = [[token] for item, tail in zip(prompts, tails, strict=True) for token in item.row[-tail:]]
        before = torch.cat([row[:-1] for row in states])
        found = scores.likelihoods(self._reader.head, before, torch.tensor(targets, device=before.device))
        return [float(part.mean()) for part in torch.split(found, list(tails))]

    def _follow(self, tree: Tree, last: torch.Tensor, rows: Rows) -> torch.Tensor:
        """Log-probabilities of the tokens behind each node: (rows, nodes, tokens), padded with the first of them."""
        at, paths = [last], tree.paths
        if paths:
            read = rows.repeat(len(paths)).go_on(paths * len(last))
            for node in list(tree.nodes)[1:]:
                path = next(place for place, path in enumerate(paths) if path[: len(node)] == node)
                at.append(torch.stack([states[len(node) - 1] for states in read[path :: len(paths)]]))
        longest = max(map(len, tree.nodes.values()))
        following = [[*tokens, *tokens[:1] * (longest - len(tokens))] for tokens in tree.nodes.values()]
        targets = torch.tensor(following, device=last.device).repeat(len(last), 1)
        found = scores.likelihoods(self._reader.head, torch.stack(at, dim=1).flatten(0, 1), targets)
        return found.view(len(last), len(tree.nodes), longest)
