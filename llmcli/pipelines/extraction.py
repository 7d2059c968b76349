"""Answers that are word for word in a text: a causal model scores the text's own spans, and writes nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from llmcli.pipelines import scores
from llmcli.pipelines.protocol import Span
from llmcli.pipelines.reading import Reader, Rows
from llmcli.pipelines.stopping import check_finite
from llmcli.pipelines.tokens import Encoded, Encoder

STARTS = 12
"""Places of a text that may begin an answer: those whose first token is the likeliest."""
FIRST = 4
"""Of which so many are read at first."""
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


@dataclass
class Query:
    """A prompt, the text in it, and the question. ``spans``: rank, log-probability, start and end of what was read."""

    prompt: Encoded
    context: str
    question: str
    starts: list[Start] = field(default_factory=list)
    later: list[Start] = field(default_factory=list)
    spans: list[tuple[float, float, int, int]] = field(default_factory=list)
    null: float = 0.0

    def best(self) -> float:
        """The log-probability of the likeliest span that has ended."""
        return max((value for _, value, _, _ in self.spans), default=float("-inf"))


class Extraction:
    """Finds the likeliest span of a text after a prompt.

    P(span) is the product of its tokens' probabilities and of the answer's end behind it; the best span has the highest
    (log P(tokens) + END log P(end)) / tokens**LENGTH. The first token of every span is scored in one pass; the
    likeliest starts are then read on in blocks, as rows of a batch, until none that goes on can come near the best
    that has ended. The least likely starts wait for what the others come to: most of them are never read.
    """

    def __init__(self, encoder: Encoder, reader: Reader) -> None:
        self._encoder, self._reader = encoder, reader
        self._stops: dict[str, torch.Tensor] = {}

    def __call__(self, asked: Sequence[Query], *, ending: str) -> list[Span]:
        """The best span of each text, whose prompts share a prefix; an answer ends before ``ending``, one character.

        What the question says itself is no answer, unless there is no other.
        """
        with torch.inference_mode():
            states, rows = self._reader.read([one.prompt for one in asked], last=[1] * len(asked))
            log_p = scores.log_p(self._reader.head, torch.cat(states))
            check_finite(log_p)
            stops = self._stop_ids(ending).to(log_p.device)
            for one, found in zip(asked, log_p, strict=True):
                one.null = float(found[stops].logsumexp(-1))
                self._begin(one, found)
            for _ in range(2):
                self._read_on(asked, rows, stops=stops)
                for one in asked:
                    one.starts = [start for start in one.later if start.log_p > one.best() - MARGIN]
        return [_span(one) for one in asked]

    def _begin(self, asked: Query, log_p: torch.Tensor) -> None:
        """The likeliest starts of a text, by their first token."""
        starts = [*self._starts(asked.context)]
        if starts:
            found = log_p[torch.tensor([start.ids[0] for start in starts], device=log_p.device)].tolist()
            for start, value in zip(starts, found, strict=True):
                start.log_p = value
        starts = _likeliest(starts)
        near = sum(start.log_p > starts[0].log_p - MARGIN for start in starts[:FIRST])
        asked.starts, asked.later = starts[:near], starts[near:]

    def _read_on(self, asked: Sequence[Query], rows: Rows, *, stops: torch.Tensor) -> None:
        """Read on from all starts, block by block."""
        going = [(one, start) for one in asked for start in one.starts]
        if not going:
            return
        places = [place for place, one in enumerate(asked) for _ in one.starts]
        read = rows.fork(len(going)) if len(asked) == 1 else rows.chosen(places)
        for first in range(0, BLOCK * BLOCKS, BLOCK):
            blocks = [start.ids[first : first + BLOCK] for _, start in going]
            self._add(going, blocks, read.go_on(blocks), first, stops=stops)
            kept = [place for place, (one, start) in enumerate(going)
                    if len(start.ids) > first + BLOCK and start.log_p > one.best() - MARGIN]  # fmt: skip
            if not kept:
                break
            going = [going[place] for place in kept]
            read.select(kept)

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

    def _add(
        self, going: list[tuple[Query, Start]], blocks: list[list[int]], states: list[torch.Tensor], first: int, *,
        stops: torch.Tensor,
    ) -> None:  # fmt: skip
        """The spans that end in these blocks, and the starts' log-probabilities behind them."""
        ends = [first + len(block) + 1 for block in blocks]
        following = [start.ids[first + 1 : end] for (_, start), end in zip(going, ends, strict=True)]
        next_ids = [[*ids, *[0] * (len(block) - len(ids))] for ids, block in zip(following, blocks, strict=True)]
        wanted = torch.tensor([token for row in next_ids for token in row], device=stops.device)
        targets = torch.cat([wanted[:, None], stops.expand(len(wanted), -1)], dim=1)
        found = scores.likelihoods(self._reader.head, torch.cat(states), targets)
        going_on, ended = found[:, 0].tolist(), found[:, 1:].logsumexp(-1).tolist()
        place = 0
        for (one, start), block, ids in zip(going, blocks, following, strict=True):
            for step in range(len(block)):
                end, context = start.ends[first + step], one.context
                if not (end < len(context) and _inside(context[end - 1], context[end])):
                    rank = (start.log_p + END * ended[place]) / (first + step + 1) ** LENGTH
                    one.spans.append((rank, start.log_p + ended[place], start.place, end))
                if step < len(ids):
                    start.log_p += going_on[place]
                place += 1

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


def _span(asked: Query) -> Span:
    """The best of what was read."""
    spans, context = asked.spans, asked.context
    if not spans:
        return Span("", 0, 0, 0.0, 1.0, len(asked.prompt), 0)
    total = torch.tensor([asked.null, *(value for _, value, _, _ in spans)]).logsumexp(0)
    question = asked.question.casefold()
    spans = [span for span in spans if context[span[2] : span[3]].casefold() not in question] or spans
    # Of equal words the first: batches make them differ by rounding.
    _, _, begin, end = max(spans, key=lambda span: (round(span[0], 4), -span[2]))
    # A word more or less is the same answer: what was read that overlaps it counts for it.
    same = torch.tensor([value for _, value, first, last in asked.spans if first < end and begin < last]).logsumexp(0)
    score, none = float((same - total).exp()), float((asked.null - total).exp())
    return Span(context[begin:end], begin, end, score, none, len(asked.prompt))


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
