"""What is known of the rows that are written at once, on the device: a line for each slot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from llmcli.pipelines.fast import graphs
from llmcli.pipelines.fast.drawing import NextToken, Rows
from llmcli.pipelines.fast.slots import Slots
from llmcli.pipelines.tokens import Encoded


@dataclass(frozen=True)
class Text:
    """What is written behind a prompt. ``seed``: of its draws; ``copy``: which of several texts of this seed."""

    prompt: Encoded
    seed: int | None = None
    copy: int = 0


class Table:
    """What is known of the rows in their slots, on the device; each tensor has a line for each slot.

    ``places``: of a row's newest token in its slot. ``history``: the tokens of prefix and slot.
    """

    def __init__(self, slots: Slots, choose: NextToken, *, vocabulary: int, most: int, device: torch.device) -> None:
        count, tokens = slots.count, slots.begin + slots.room
        self.slots, self.choose, self.most = slots, choose, most
        self.numbers = torch.arange(count, device=device)
        self.last = torch.zeros(count, 1, dtype=torch.long, device=device)
        self.places, self.counts = torch.zeros_like(self.last), torch.zeros_like(self.last)
        self.history = torch.zeros(count, tokens + 1, dtype=torch.long, device=device)
        self.bad = torch.zeros(count, 1, dtype=torch.bool, device=device)
        self.keys = torch.zeros(count, most, dtype=torch.int32, device=device) if choose.draws else None
        penalty = choose.penalty != 1.0
        self.seen = torch.zeros(count, vocabulary, dtype=torch.bool, device=device) if penalty else None
        self.graphs: dict[int, graphs.Step] = {}

    def begin(self, rows: slice, texts: Sequence[Text], *, held: int) -> None:
        """Rows begin: what is known of them before their first token."""
        device, size = self.last.device, len(texts[0].prompt.prefix)
        ids = [[*text.prompt.prefix, *text.prompt.row] for text in texts]
        width = max(map(len, ids))
        padded = torch.tensor([[*row, *[-1] * (width - len(row))] for row in ids], device=device)
        self.history[rows, :width] = padded.clamp(min=0)
        lengths = torch.tensor([[len(row) - size - 1 + held] for row in ids], device=device)
        self.places[rows], self.counts[rows], self.bad[rows] = lengths, 0, False
        if self.keys is not None:
            most = self.keys.shape[1]
            self.keys[rows] = torch.stack([_numbers(text, most) for text in texts]).to(device)
        if self.seen is not None:
            vocabulary = self.seen.shape[1]
            seen = torch.zeros(len(texts), vocabulary + 1, dtype=torch.bool, device=device)
            seen.scatter_(1, torch.where(padded < 0, vocabulary, padded), True)
            self.seen[rows] = seen[:, :vocabulary]

    def put(self, rows: slice, logits: torch.Tensor) -> None:
        """Choose the rows' next tokens by their logits, (rows, vocabulary)."""
        places, counts, history = self.places[rows], self.counts[rows], self.history[rows]
        self.bad[rows] |= ~logits.amax(-1, keepdim=True).isfinite()
        ends = places + self.slots.begin + 1
        seen, keys = (part[rows] if part is not None else None for part in (self.seen, self.keys))
        # Rows that have ended go on until the host looks, and slots without a row for ever.
        last = counts[:, 0] if keys is None else counts[:, 0].clamp(max=keys.shape[1] - 1)
        token = self.choose(logits, Rows(history, ends[:, 0], last, seen, keys))[:, None]
        history.scatter_(1, ends, token)
        if seen is not None:
            seen.scatter_(1, token, True)
        self.last[rows] = token
        places.add_(1).clamp_(max=self.slots.room - 1)
        counts.add_(1)

    def newest(self, rows: slice, count: int) -> tuple[list[list[int]], bool]:
        """The newest tokens of some rows, and whether some row's scores were no numbers."""
        back = torch.arange(1 - count, 1, device=self.last.device)
        tokens = self.history[rows].gather(1, self.places[rows] + self.slots.begin + back)
        found = torch.cat([tokens, self.bad[rows].long()], dim=1).tolist()
        return [row[:-1] for row in found], any(row[-1] for row in found)

    def move(self, sources: list[int], targets: list[int]) -> None:
        """Move rows into slots that others left."""
        old, new = (torch.tensor(part, device=self.last.device) for part in (sources, targets))
        for part in (self.last, self.places, self.counts, self.history, self.bad, self.keys, self.seen):
            if part is not None:
                part[new] = part[old]
        self.slots.move(old, new)


def _numbers(text: Text, most: int) -> torch.Tensor:
    """A row's own 32-bit numbers, the same whatever its neighbours are."""
    source = torch.Generator()
    if text.seed is None:
        source.seed()
    else:
        source.manual_seed(text.seed)
    size = (text.copy + 1) * most
    return torch.randint(-(1 << 31), 1 << 31, (size,), generator=source, dtype=torch.int64)[-most:].int()
