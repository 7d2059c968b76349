"""Which token comes next: the likeliest, or one that is drawn with a number of the row's own.

A row's numbers are drawn from its own seed before its first token, and a token is where its number falls among the
summed probabilities. So a row's text depends on no neighbour, and a batch draws as fast as it takes the likeliest.
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
SETTINGS = known.LENGTHS | known.HISTORY | known.SAMPLING | {"do_sample", "min_new_tokens"}
"""Settings that are known here."""
AMONG = 512
"""Of so many of the likeliest tokens those of ``top_p`` are sought first: sorting a vocabulary takes longer than the
model's forward pass."""


@dataclass(frozen=True)
class Rows:
    """What decides the next tokens of some rows, besides their scores.

    ``history``, (rows, tokens): all tokens so far, ``ends`` many of each row, (rows); ``counts`` of them are new.
    ``seen``, (rows, vocabulary), where a penalty asks for it; ``draws``, (rows, tokens), from 0 to 1, where tokens are
    drawn.
    """

    history: torch.Tensor
    ends: torch.Tensor
    counts: torch.Tensor
    seen: torch.Tensor | None
    draws: torch.Tensor | None


class NextToken:
    """Chooses tokens as transformers' ``generate`` does, by ``settings`` that are all in :data:`SETTINGS`."""

    def __init__(self, settings: Mapping[str, Any], ends: Sequence[int]) -> None:
        self._ends, self._least = list(ends), int(settings.get("min_new_tokens", 0))
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
        if self._least and self._ends:
            early = (rows.counts < self._least)[:, None]
            logits[:, self._ends] = logits[:, self._ends].masked_fill(early, float("-inf"))
        if rows.draws is None:
            return logits.argmax(-1)
        draws = rows.draws.gather(1, rows.counts[:, None])
        if logits.device.type == "cpu" and "top_p" in self._asked and not {*self._asked} - {"temperature", "top_p"}:
            found = self._nucleus(logits, draws)
            if found is not None:
                return found
        for warper in self._warpers:
            logits = warper(None, logits)
        return drawn(logits.softmax(-1), draws)

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

    def _nucleus(self, logits: torch.Tensor, draws: torch.Tensor) -> torch.Tensor | None:
        """What ``top_p`` draws, from the likeliest few; None where they are too few for some row."""
        logits = logits / float(self._asked.get("temperature", 1.0))
        values, ids = logits.topk(min(AMONG, logits.shape[1]))
        p = (values - logits.logsumexp(-1, keepdim=True)).exp()
        sums = p.cumsum(-1)
        if bool((sums[:, -1] < self._asked["top_p"]).any()):
            return None
        kept = (sums - p < self._asked["top_p"]).index_fill(1, torch.tensor([0]), True)
        return ids.gather(1, drawn(p * kept, draws)[:, None])[:, 0]


def drawn(p: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Where numbers from 0 to 1, (rows, 1), fall among summed probabilities, (rows, tokens): (rows)."""
    sums = p.cumsum(-1)
    places = torch.searchsorted(sums, draws * sums[:, -1:], right=True)[:, 0]
    # What is as large as the whole sum, by rounding, is the last token that has a probability.
    last = (sums < sums[:, -1:]).sum(-1)
    return torch.minimum(places, last)
