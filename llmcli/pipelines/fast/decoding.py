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
from llmcli.pipelines.fast.drawing import NextToken
from llmcli.pipelines.fast.prefix import APART, PrefixCache
from llmcli.pipelines.fast.slots import Slots
from llmcli.pipelines.fast.table import Table, Text
from llmcli.pipelines.stopping import Stops, Streamer, not_finite
from llmcli.pipelines.tokens import Encoder

LOOK = 8
"""Steps between two looks at what was made, on a GPU: each look waits for it."""
WORTH = 24
"""Steps from which recording one is worth it: that takes as long as some ten steps."""
Done = Callable[[int, list[int]], None]
"""Hears which row has ended, and its tokens."""


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
            device = self._model.device
            choose = NextToken(limits.settings, sorted(limits.ends), device=device)
            vocabulary = len(self._model.get_output_embeddings().weight)
            table = Table(slots, choose, most=limits.most, vocabulary=vocabulary, device=device)
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
