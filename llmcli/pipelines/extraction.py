"""Answers that are word for word in a text: a causal model scores the text's own spans, and writes nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from llmcli.pipelines import scores
from llmcli.pipelines.protocol import Span
from llmcli.pipelines.reading import Reader, Rows
from llmcli.pipelines.stopping import check_finite
from llmcli.pipelines.tokens import Encoded, Encoder

STARTS = 12
"""Places of a text that may begin an answer: those whose first token is the likeliest."""
SAME = 3
"""Of which so many may begin with the same token."""
BLOCK = 8
"""Tokens that are read at once; most answers are shorter, and only the likely ones go on."""
BLOCKS = 5
"""Blocks of the longest answer."""
LENGTH, END = 0.25, 1.5
"""Long answers count for more than their probability, and so does a sure end: chosen on 90 questions of SQuAD."""
MARGIN = 3.0
"""How much less likely than the best ended span one may be and still be read on: it may rank higher in the end."""
AHEAD = 250
"""Characters that hold the tokens of the longest answer."""
_UNSPACED = re.compile("[\u0e00-\u0eff\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff]")
"""Scripts without spaces: Thai, Lao, Khmer, Chinese, Japanese."""


@dataclass
class Start:
    """A place where an answer may begin: the tokens from there on, each one's end in the text, and what was read."""

    place: int
    ids: list[int]
    ends: list[int]
    log_p: float
    """Of the tokens up to the last one that was read."""


class Extraction:
    """Finds the likeliest span of a text after a prompt.

    P(span) is the product of its tokens' probabilities and of the answer's end behind it; the best span has the highest
    (log P(tokens) + END log P(end)) / tokens**LENGTH. The first token of every span is scored in one pass; the
    likeliest starts are then read on in blocks, as rows of a batch, until none that goes on can come near the best
    that has ended.
    """

    def __init__(self, encoder: Encoder, reader: Reader) -> None:
        self._encoder, self._reader = encoder, reader
        self._stops: dict[str, torch.Tensor] = {}

    def __call__(self, prompt: Encoded, context: str, *, question: str, ending: str) -> Span:
        """The best span of ``context``; its answer ends before ``ending``, one character.

        What the question says itself is no answer, unless there is no other.
        """
        starts = [*self._starts(context)]
        with torch.inference_mode():
            states, rows = self._reader.read([prompt], last=[1])
            log_p = scores.log_p(self._reader.head, states[0])[0]
            check_finite(log_p)
            stops = self._stop_ids(ending).to(log_p.device)
            null = float(log_p[stops].logsumexp(-1))
            for start in starts:
                start.log_p = float(log_p[start.ids[0]])
            starts = _likeliest(starts)
            spans = self._spans(starts, context, rows.fork(len(starts)), stops=stops) if starts else []
        if not spans:
            return Span("", 0, 0, 0.0, 1.0, len(prompt), 0)
        total = torch.tensor([null, *(value for _, value, _, _ in spans)]).logsumexp(0)
        asked = question.casefold()
        spans = [span for span in spans if context[span[2] : span[3]].casefold() not in asked] or spans
        # Of equal words the first: batches make them differ by rounding.
        _, best, begin, end = max(spans, key=lambda span: (round(span[0], 4), -span[2]))
        score, none = (float((value - total).exp()) for value in (best, null))
        return Span(context[begin:end], begin, end, score, none, len(prompt))

    def _starts(self, context: str) -> Iterator[Start]:
        """Where words begin, or characters in scripts without spaces. Each place has a tokenization of its own."""
        places = [
            i for i, c in enumerate(context)
            if (c.isalnum() or c in "$€£¥") and not (i and _inside(context[i - 1], c))
        ]  # fmt: skip
        if not places:
            return
        found = self._encoder.tokens([context[i : i + AHEAD] for i in places], add_special_tokens=False,
                                        split_special_tokens=True, return_offsets_mapping=True)  # fmt: skip
        for place, ids, offsets in zip(places, found["input_ids"], found["offset_mapping"], strict=True):
            yield Start(place, ids[: BLOCK * BLOCKS], [place + end for _, end in offsets[: BLOCK * BLOCKS]], 0.0)

    def _spans(
        self, starts: list[Start], context: str, rows: Rows, *, stops: torch.Tensor
    ) -> list[tuple[float, float, int, int]]:
        """The rank, log-probability, start and end of the spans that were read."""
        spans: list[tuple[float, float, int, int]] = []
        for first in range(0, BLOCK * BLOCKS, BLOCK):
            blocks = [start.ids[first : first + BLOCK] for start in starts]
            for start, block, states in zip(starts, blocks, rows.go_on(blocks), strict=True):
                log_p = scores.log_p(self._reader.head, states)
                ended = log_p[:, stops].logsumexp(-1).tolist()
                following = start.ids[first + 1 : first + len(block) + 1]
                for place, stop in enumerate(ended):
                    end = start.ends[first + place]
                    if not (end < len(context) and _inside(context[end - 1], context[end])):
                        rank = (start.log_p + END * stop) / (first + place + 1) ** LENGTH
                        spans.append((rank, start.log_p + stop, start.place, end))
                    if place < len(following):
                        start.log_p += float(log_p[place, following[place]])
            best = max((value for _, value, _, _ in spans), default=float("-inf"))
            kept = [
                i for i, start in enumerate(starts) if len(start.ids) > first + BLOCK and start.log_p > best - MARGIN
            ]
            if not kept:
                break
            starts = [starts[i] for i in kept]
            rows.select(kept)
        return spans

    def _stop_ids(self, ending: str) -> torch.Tensor:
        """Tokens that begin with the ending, and the end-of-sequence token."""
        if ending not in self._stops:
            tokenizer = self._encoder.tokenizer
            # Byte-level vocabularies write a line break as Ċ, byte-fallback ones as <0x0A>.
            marks = (ending, "Ċ", "<0x0A>") if ending == "\n" else (ending,)
            found = [number for piece, number in tokenizer.get_vocab().items() if piece.startswith(marks)]
            found += [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
            self._stops[ending] = torch.tensor(found)
        return self._stops[ending]


def _likeliest(starts: list[Start]) -> list[Start]:
    """The likeliest starts, few of one word: a name that a text repeats would leave no place for others."""
    kept: list[Start] = []
    counts: Counter[int] = Counter()
    for start in sorted(starts, key=lambda start: -start.log_p):
        counts[start.ids[0]] += 1
        if counts[start.ids[0]] <= SAME and len(kept) < STARTS:
            kept.append(start)
    return kept


def _inside(before: str, after: str) -> bool:
    """Whether a place between two characters is inside a word."""
    return before.isalnum() and after.isalnum() and not _UNSPACED.match(before) and not _UNSPACED.match(after)
