"""What ends or refuses generation step by step: stop strings, scores that are no numbers; and streaming."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from llmcli.errors import GenerationError
from llmcli.pipelines.protocol import Emit
from llmcli.pipelines.tokens import Encoder


def finish(encoder: Encoder, row: list[int], *, ends: set[int], stop: Sequence[str]) -> tuple[str, int, str]:
    """Text, number of tokens and finish reason of generated tokens: cut at an end token or a stop string."""
    end = next((place for place, token in enumerate(row) if token in ends), None)
    text = encoder.decode(row if end is None else row[:end])
    cut = first_stop(text, stop)
    reason = "length" if end is None and cut is None else "stop"
    tokens = len(row) if end is None else end + 1
    return (text if cut is None else text[:cut]), tokens, reason


def first_stop(text: str, stop: Sequence[str]) -> int | None:
    """Where the earliest stop string begins, or None."""
    places = [place for word in stop if (place := text.find(word)) >= 0]
    return min(places) if places else None


def not_finite() -> GenerationError:
    """The error of scores that are no numbers."""
    return GenerationError("the model's scores are not finite", code="non-finite",
                           hint="try --dtype float32, or bfloat16")  # fmt: skip


def check_finite(scores: torch.Tensor) -> None:
    """Raise GenerationError where the best score of a row, along the last dimension, is no number."""
    if not bool(torch.isfinite(scores.amax(dim=-1)).all()):
        raise not_finite()


class Finite(LogitsProcessor):  # type: ignore[misc]
    """Refuse scores that are not numbers: broken weights otherwise look like an answer."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """See LogitsProcessor: scores are (rows, vocabulary)."""
        check_finite(scores)
        return scores


TAIL = 16
"""Tokens that are decoded to look for a stop string, besides one for each of its characters."""


class Stops:
    """Tells whether a text has come to a stop string."""

    def __init__(self, encoder: Encoder, stop: Sequence[str]) -> None:
        self._encoder, self._stop = encoder, stop
        self._last = {word[-1] for word in stop if word}
        self._before = encoder.ids("a")[-1:] if stop else []
        self._may: dict[int, bool] = {}
        """Whether a token may end a stop string: most have no character that does, and nothing else is decoded."""

    def __call__(self, tokens: Sequence[int]) -> bool:
        """Whether a stop string stands in the newest of the generated tokens, of which the last one is new."""
        if not (self._stop and tokens):
            return False
        last = tokens[-1]
        if last not in self._may:
            text = str(self._encoder.tokenizer.decode([*self._before, last]))
            self._may[last] = "\ufffd" in text or bool(self._last & set(text[1:]))
        tail = TAIL + max(map(len, self._stop))
        return self._may[last] and first_stop(self._encoder.decode(tokens[-tail:]), self._stop) is not None


class Stop(StoppingCriteria):  # type: ignore[misc]
    """Stop a row when a stop string stands in its newest tokens; only the tail is decoded each step."""

    def __init__(self, encoder: Encoder, stop: Sequence[str], start: int) -> None:
        self._stops, self._start = Stops(encoder, stop), start

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """See StoppingCriteria: one truth value a row."""
        rows = input_ids[:, self._start :].tolist()
        return torch.tensor([self._stops(row) for row in rows], device=input_ids.device)


class Streamer(BaseStreamer):  # type: ignore[misc]
    """Emit text as it becomes certain: whole characters, and nothing that may begin a stop string."""

    def __init__(self, encoder: Encoder, emit: Emit, stop: Sequence[str]) -> None:
        self._encoder, self._emit, self._stop = encoder, emit, stop
        self._ids: list[int] = []
        self._sent = 0
        self._prompt = True

    def put(self, value: torch.Tensor) -> None:
        """Take the prompt (ignored), then one token a step."""
        if self._prompt:
            self._prompt = False
            return
        self.hear(value.flatten().tolist())

    def hear(self, tokens: Sequence[int]) -> None:
        """Take the next tokens."""
        self._ids.extend(tokens)
        text = self._encoder.decode(self._ids)
        cut = first_stop(text, self._stop)
        if cut is not None:
            self._send(text[:cut])
        elif not text.endswith("�"):
            self._send(text[: len(text) - _overlap(text, self._stop)])

    def end(self) -> None:
        """Send what was held back."""
        text = self._encoder.decode(self._ids)
        cut = first_stop(text, self._stop)
        self._send(text if cut is None else text[:cut])

    def _send(self, text: str) -> None:
        if len(text) > self._sent:
            self._emit(text[self._sent :])
            self._sent = len(text)


def _overlap(text: str, stop: Sequence[str]) -> int:
    """How many last characters of ``text`` could begin a stop string."""
    return max((n for word in stop for n in range(1, len(word)) if text.endswith(word[:n])), default=0)
