"""Which token comes next: the likeliest, or one that is drawn with numbers of the row's own.

A race: each token has a time that is exponentially distributed with its probability as rate, and the first one wins, as
often as its probability says (torch's ``multinomial`` draws so too). The times are made of the row's key of this step
and the token's number by a hash, so that a row's text depends on no neighbour; and unlike places in summed
probabilities, they let rounding change the winner only where two tokens come in at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    EpsilonLogitsWarper,
    EtaLogitsWarper,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from llmcli.pipelines.fast import known

WARPERS: Mapping[str, Any] = {
    "temperature": TemperatureLogitsWarper, "top_k": TopKLogitsWarper, "top_p": TopPLogitsWarper,
    "min_p": MinPLogitsWarper, "typical_p": TypicalLogitsWarper, "epsilon_cutoff": EpsilonLogitsWarper,
    "eta_cutoff": EtaLogitsWarper,
}  # fmt: skip
"""What changes scores before one is drawn, in transformers' order."""
SETTINGS = known.LENGTHS | known.HISTORY | known.SAMPLING | {"do_sample", "min_new_tokens", "suppress_tokens"}
"""Settings that are known here."""
GOLDEN = -0x61C88647
"""The golden ratio in 32 bits: multiples of it lie evenly."""
AMONG = 512
"""Of so many of the likeliest tokens those of ``top_p`` are sought first: sorting a vocabulary takes longer than the
model's forward pass."""


@dataclass(frozen=True)
class Rows:
    """What decides the next tokens of some rows, besides their scores.

    ``history``, (rows, tokens): all tokens so far, ``ends`` many of each row, (rows); ``counts`` of them are new.
    ``seen``, (rows, vocabulary), where a penalty asks for it; ``keys``, (rows, tokens), 32-bit numbers of a row's own,
    where tokens are drawn.
    """

    history: torch.Tensor
    ends: torch.Tensor
    counts: torch.Tensor
    seen: torch.Tensor | None
    keys: torch.Tensor | None


class NextToken:
    """Chooses tokens as transformers' ``generate`` does, by ``settings`` that are all in :data:`SETTINGS`."""

    def __init__(self, settings: Mapping[str, Any], ends: Sequence[int], *, device: torch.device | None = None) -> None:
        self._ends, self._least = list(ends), int(settings.get("min_new_tokens", 0))
        self._without = torch.tensor(settings.get("suppress_tokens", []), dtype=torch.long, device=device)
        self.penalty = float(settings.get("repetition_penalty", 1.0))
        self.ngram = int(settings.get("no_repeat_ngram_size", 0))
        self.draws = bool(settings.get("do_sample"))
        off = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0}
        self._asked = {name: settings[name] for name in WARPERS
                       if self.draws and name in settings and settings[name] != off.get(name)}  # fmt: skip
        self._warpers = [WARPERS[name](value) for name, value in self._asked.items()]

    def __call__(self, logits: torch.Tensor, rows: Rows) -> torch.Tensor:
        """The next tokens, (rows), by logits of (rows, vocabulary) in float32."""
        if rows.seen is not None:
            penalised = torch.where(logits < 0, logits * self.penalty, logits / self.penalty)
            logits = torch.where(rows.seen, penalised, logits)
        if self.ngram:
            logits = logits.masked_fill(self._repeating(rows, logits.shape[1]), float("-inf"))
        if len(self._without):
            logits.index_fill_(1, self._without, float("-inf"))
        if self._least and self._ends:
            early = (rows.counts < self._least)[:, None]
            logits[:, self._ends] = logits[:, self._ends].masked_fill(early, float("-inf"))
        if rows.keys is None:
            return logits.argmax(-1)
        keys = rows.keys.gather(1, rows.counts[:, None])
        if logits.device.type == "cpu" and "top_p" in self._asked and not {*self._asked} - {"temperature", "top_p"}:
            found = self._nucleus(logits, keys)
            if found is not None:
                return found
        for warper in self._warpers:
            logits = warper(None, logits)
        return drawn(logits, keys)

    def _repeating(self, rows: Rows, vocabulary: int) -> torch.Tensor:
        """Tokens that would end a sequence of ``ngram`` tokens which was there before: (rows, vocabulary)."""
        before = self.ngram - 1
        places = rows.ends[:, None] + torch.arange(-before, 0, device=rows.ends.device)
        last = rows.history.gather(1, places.clamp(min=0))
        windows = rows.history[:, :-1].unfold(1, before, 1) if before else rows.history[:, :, None][:, :, :0]
        following = rows.history[:, before:]
        known = torch.arange(following.shape[1], device=last.device) + before < rows.ends[:, None]
        same = (windows[:, : following.shape[1]] == last[:, None]).all(-1) & known
        banned = torch.zeros(len(last), vocabulary + 1, dtype=torch.bool, device=last.device)
        return banned.scatter_(1, torch.where(same, following, vocabulary), True)[:, :vocabulary]

    def _nucleus(self, logits: torch.Tensor, keys: torch.Tensor) -> torch.Tensor | None:
        """What ``top_p`` draws, from the likeliest few; None where they are too few for some row."""
        logits = logits / float(self._asked.get("temperature", 1.0))
        values, ids = logits.topk(min(AMONG, logits.shape[1]))
        p = (values - logits.logsumexp(-1, keepdim=True)).exp()
        sums = p.cumsum(-1)
        if bool((sums[:, -1] < self._asked["top_p"]).any()):
            return None
        kept = (sums - p < self._asked["top_p"]).index_fill(1, torch.tensor([0]), True)
        values = values.masked_fill(~kept, float("-inf"))
        return ids.gather(1, (values - _times(ids.int(), keys)).argmax(-1, keepdim=True))[:, 0]


def drawn(logits: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """The tokens, (rows), that win the races of (rows, vocabulary) by the rows' keys, (rows, 1)."""
    tokens = torch.arange(logits.shape[1], dtype=torch.int32, device=logits.device)
    if logits.device.type != "cpu":
        return (logits - _times(tokens, keys)).argmax(-1)
    # A row at a time stays in the processor's cache.
    winners = [(row - _times(tokens, key)).argmax() for row, key in zip(logits, keys, strict=True)]
    return torch.stack(winners)


def _times(tokens: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Logarithms of exponentially distributed numbers, of tokens and keys, both of 32 bits.

    The mixing is the last step of MurmurHash3 (Appleby, public domain).
    """
    mixed = tokens * GOLDEN + keys
    for shift, factor in ((16, -0x7A143595), (13, -0x3D4D51CB)):
        mixed = (mixed ^ ((mixed >> shift) & ((1 << (32 - shift)) - 1))) * factor
    mixed = mixed ^ ((mixed >> 16) & 0xFFFF)
    # Near 0 a float32 tells numbers from each other, near 1 it does not: there no race is won.
    return (mixed.float() + 2.0**31 + 0.5).mul_(2.0**-32).clamp_(max=1 - 2.0**-24).neg_().log1p_().neg_().log_()
