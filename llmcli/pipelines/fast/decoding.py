"""Greedy and sampled texts of many rows in one loop: a row joins when a slot is free, and leaves when it has ended.

On a GPU a step of a small model takes longer to launch than to compute. It is the same operations each time, so it is
recorded once as a CUDA graph and replayed, and the host looks at what was made every few steps only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from llmcli.pipelines.fast import attention, graphs
from llmcli.pipelines.fast.drawing import NextToken, Rows
from llmcli.pipelines.fast.prefix import APART, PrefixCache
from llmcli.pipelines.fast.slots import Slots
from llmcli.pipelines.stopping import Stops, Streamer, not_finite
from llmcli.pipelines.tokens import Encoded, Encoder

LOOK = 8
"""Steps between two looks at what was made, on a GPU: each look waits for it."""
WORTH = 24
"""Steps from which recording one is worth it: that takes as long as some ten steps."""
Done = Callable[[int, list[int]], None]
"""Hears which row has ended, and its tokens."""


@dataclass(frozen=True)
class Text:
    """What is written behind a prompt. ``seed``: of its draws; ``copy``: which of several texts of this seed."""

    prompt: Encoded
    seed: int | None = None
    copy: int = 0


@dataclass(frozen=True)
class Limits:
    """How texts are chosen and when they end: ``most`` tokens, ``ends`` (tokens), ``stop`` (strings)."""

    settings: dict[str, Any]
    most: int
    ends: frozenset[int]
    stop: Sequence[str]


@dataclass
class Going:
    """A row in a slot: which one, and the tokens that its slot holds before those of the text."""

    place: int
    size: int
    tokens: list[int] = field(default_factory=list)


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


class Decoder:
    """Writes texts behind prompts that share a prefix; for settings that ``drawing.SETTINGS`` holds."""

    def __init__(self, model: Any, encoder: Encoder, prefixes: PrefixCache) -> None:
        self._model, self._encoder, self._prefixes = model, encoder, prefixes
        self._records = graphs.used(model)
        self._kept: tuple[Any, Table] | None = None
        """On a GPU, what was recorded for the batch before may serve the next one."""

    @torch.inference_mode()
    def __call__(
        self, texts: Sequence[Text], limits: Limits, done: Done, *, at_once: int, tokens: int,
        streamer: Streamer | None = None,
    ) -> None:  # fmt: skip
        """Write the texts, ``at_once`` at a time, of which about ``tokens`` are read in a pass; the longest first.

        Raises GenerationError for scores that are no numbers.
        """
        whole = False
        try:
            self._write(texts, limits, done, at_once=min(at_once, len(texts)), tokens=tokens, streamer=streamer)
            whole = True
        finally:
            attention.forget()
            if not (whole and self._records):
                self._kept = None

    def _write(
        self, texts: Sequence[Text], limits: Limits, done: Done, *, at_once: int, tokens: int,
        streamer: Streamer | None,
    ) -> None:  # fmt: skip
        prefix = texts[0].prompt.prefix
        held = len(prefix) if at_once == 1 and len(prefix) < APART else 0
        table = self._table(texts, limits, at_once=at_once, held=held)
        stops = Stops(self._encoder, limits.stop)
        waiting, going = deque(range(len(texts))), list[Going]()
        while waiting or going:
            first, steps = 0, 1
            if waiting and at_once - len(going) >= min(len(waiting), max(at_once // 4, 1)):
                first = len(going)
                width = max(len(texts[waiting[0]].prompt.row), 1)
                count = min(at_once - first, len(waiting), max(tokens // width, 1))
                joined = [waiting.popleft() for _ in range(count)]
                self._join(table, [texts[place] for place in joined], first, held=held)
                going += [Going(place, held + len(texts[place].prompt.row)) for place in joined]
            else:
                left = max(limits.most - len(row.tokens) for row in going)
                steps = min(LOOK, left) if self._records and streamer is None else 1
                self._steps(table, going, steps)
            made, bad = table.newest(slice(first, len(going)), steps)
            if bad:
                raise not_finite()
            over = {place for place, tokens in enumerate(made, first)
                    if _ended(going[place].tokens, tokens, limits, stops, streamer)}  # fmt: skip
            going = _left(table, going, over, done)

    def _table(self, texts: Sequence[Text], limits: Limits, *, at_once: int, held: int) -> Table:
        """Slots for so many texts, each of which has ``held`` tokens of the prefix in its slot."""
        prefix, longest = texts[0].prompt.prefix, max(len(text.prompt.row) for text in texts)
        count, room = at_once, held + longest + limits.most
        if self._records:
            count, room = graphs.slots(count), graphs.room(room + LOOK)
        key = (prefix, count, room, held, limits.most, limits.ends, str(sorted(limits.settings.items())))
        if self._kept is None or self._kept[0] != key:
            self._kept = None  # before there is another
            pairs = self._prefixes.pairs(prefix) if prefix else []
            slots = Slots([] if held else pairs, layers=self._prefixes.layers, begin=len(prefix) - held,
                          count=count, room=room)  # fmt: skip
            if held:
                slots.hold(pairs)
            table = Table(slots, NextToken(limits.settings, sorted(limits.ends)), most=limits.most,
                          vocabulary=len(self._model.get_output_embeddings().weight),
                          device=self._model.device)  # fmt: skip
            self._kept = key, table
        return self._kept[1]

    def _join(self, table: Table, texts: Sequence[Text], first: int, *, held: int) -> None:
        """Read prompts into slots from ``first`` on, and choose their first tokens."""
        rows = slice(first, first + len(texts))
        table.begin(rows, texts, held=held)
        width, device = max(len(text.prompt.row) for text in texts), self._model.device
        ids = torch.tensor([[*text.prompt.row, *[0] * (width - len(text.prompt.row))] for text in texts], device=device)
        places = torch.arange(held, held + width, device=device).expand(len(texts), -1)
        table.slots.join(first, places, held=held)
        hidden = self._prefixes.placed(ids, places, table.slots)
        last = (table.places[rows] - held)[:, :, None].expand(-1, -1, hidden.shape[-1])
        table.put(rows, self._prefixes.head.logits(hidden.gather(1, last)[:, 0]))

    def _steps(self, table: Table, going: Sequence[Going], steps: int) -> None:
        """Each row's next tokens."""
        left = max(table.most - len(row.tokens) for row in going)
        if not self._records:
            widths = {row.size + len(row.tokens) for row in going}
            self._step(table, len(going), width=max(widths), even=len(widths) == 1)
            return
        size = graphs.size(table.slots.count, len(going))
        if size not in table.graphs and left < WORTH:
            for _ in range(steps):
                self._step(table, size, width=table.slots.room)
            return
        if size not in table.graphs:
            self._step(table, size, width=table.slots.room)  # the first time libraries prepare what they need
            steps -= 1
            table.graphs[size] = graphs.recorded(partial(self._step, table, size, width=table.slots.room))
        for _ in range(steps):
            table.graphs[size]()

    def _step(self, table: Table, size: int, *, width: int, even: bool = False) -> None:
        rows = slice(0, size)
        places = table.places[rows]
        table.slots.step(places, table.numbers[rows], width=width, even=even)
        hidden = self._prefixes.placed(table.last[rows], places, table.slots, last=even)
        table.put(rows, self._prefixes.head.logits(hidden[:, -1]))


def _ended(made: list[int], new: Sequence[int], limits: Limits, stops: Stops, streamer: Streamer | None) -> bool:
    """Add the new tokens to a text up to its end; whether it has come."""
    for token in new:
        made.append(token)
        if streamer is not None:
            streamer.hear([token])
        if token in limits.ends or len(made) == limits.most or stops(made):
            return True
    return False


def _left(table: Table, going: list[Going], over: set[int], done: Done) -> list[Going]:
    """Rows that go on, in the first slots; the others are done."""
    for place in over:
        done(going[place].place, going[place].tokens)
    kept = [place for place in range(len(going)) if place not in over]
    gaps = sorted(place for place in over if place < len(kept))
    if gaps:
        late = kept[-len(gaps) :]
        table.move(late, gaps)
        for gap, place in zip(gaps, late, strict=True):
            going[gap] = going[place]
    return going[: len(kept)]
