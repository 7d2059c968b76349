"""Text generation in batches after a cached prefix, with finish reasons, stop strings and streaming."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    Pipeline,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.generation.streamers import BaseStreamer

from llmcli.errors import GenerationError
from llmcli.pipelines import Completion, Emit
from llmcli.pipelines.prefix import PrefixCache
from llmcli.pipelines.tokens import Batch, Encoder
from llmcli.schemas import Generation

DEFAULT_MAX_NEW_TOKENS = 256


class CompletionPipeline(Pipeline):  # type: ignore[misc]
    """One call takes one :class:`Batch` and gives, for each row, its completions."""

    def __init__(self, *, encoder: Encoder, prefixes: PrefixCache, **kwargs: Any) -> None:
        super().__init__(device=kwargs["model"].device, **kwargs)
        self._encoder = encoder
        self._prefixes = prefixes

    def _sanitize_parameters(
        self, generation: Generation | None = None, emit: Emit | None = None, **_: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        generation = generation or Generation()
        return {}, {"generation": generation, "emit": emit}, {"generation": generation}

    def preprocess(self, batch: Batch) -> dict[str, Any]:
        """Left-pad the rows behind the prefix: ``input_ids`` and ``attention_mask``, (rows, prefix + width)."""
        width = max(len(row.row) for row in batch.rows)
        prefix, pad = list(batch.rows[0].prefix), _pad_id(self.tokenizer)
        ids, mask = [], []
        for row in batch.rows:
            gap = width - len(row.row)
            ids.append([*prefix, *[pad] * gap, *row.row])
            mask.append([1] * len(prefix) + [0] * gap + [1] * len(row.row))
        return {
            "input_ids": torch.tensor(ids),
            "attention_mask": torch.tensor(mask),
            "prefix": tuple(prefix),
            "lengths": [len(row) for row in batch.rows],
        }

    def _forward(self, inputs: dict[str, Any], *, generation: Generation, emit: Emit | None = None) -> dict[str, Any]:
        ids, prefix = inputs["input_ids"], tuple(inputs["prefix"])
        config = self._config(generation)
        extra: dict[str, Any] = {}
        if prefix:
            copies = max(config.num_beams, config.num_return_sequences)
            extra["past_key_values"] = self._prefixes.expand(prefix, len(ids) * copies)
        stop = generation.stop or []
        if stop:
            extra["stopping_criteria"] = StoppingCriteriaList([_Stop(self._encoder, stop, ids.shape[1])])
        if emit is not None and config.num_beams == 1 and config.num_return_sequences == 1:
            extra["streamer"] = _Streamer(self._encoder, emit, stop)
        if generation.sampled and generation.seed is not None:
            torch.manual_seed(generation.seed)
        made = self.model.generate(
            input_ids=ids,
            attention_mask=inputs["attention_mask"],
            generation_config=config,
            logits_processor=LogitsProcessorList([_Finite()]),
            return_dict_in_generate=True,
            output_scores=config.num_beams > 1,
            **extra,
        )
        scores = made.sequences_scores.tolist() if config.num_beams > 1 else [0.0] * len(made.sequences)
        made = made.sequences[:, ids.shape[1] :]
        return {"made": made, "scores": scores, "lengths": inputs["lengths"], "config": config}

    def _config(self, generation: Generation) -> GenerationConfig:
        values = generation.model_dump(exclude_none=True, exclude={"stop", "seed", "temperature"})
        if generation.sampled:
            values |= {"do_sample": True, "temperature": generation.temperature}
            values.setdefault("top_k", 0)
        else:
            values = {key: value for key, value in values.items() if key not in ("top_p", "top_k")}
            values["do_sample"] = False
        own = self.model.generation_config
        return GenerationConfig(
            **({"max_new_tokens": DEFAULT_MAX_NEW_TOKENS, "num_beams": 1, "num_return_sequences": 1} | values),
            eos_token_id=own.eos_token_id or self.tokenizer.eos_token_id,
            bos_token_id=own.bos_token_id,
            pad_token_id=_pad_id(self.tokenizer),
        )

    def postprocess(self, outputs: dict[str, Any], *, generation: Generation) -> list[list[Completion]]:
        """Cut each text at its end-of-sequence token or stop string, and name the finish reason."""
        config = outputs["config"]
        each = config.num_return_sequences
        eos = config.eos_token_id
        ends = set(eos if isinstance(eos, list) else [eos])
        rows = [self._completion(row, ends, generation.stop or []) for row in outputs["made"].tolist()]
        found = list(zip(rows, outputs["scores"], strict=True))
        return [
            [
                Completion(text, length, tokens, reason, score)
                for (text, tokens, reason), score in found[index * each : (index + 1) * each]
            ]
            for index, length in enumerate(outputs["lengths"])
        ]

    def _completion(self, row: list[int], ends: set[int], stop: Sequence[str]) -> tuple[str, int, str]:
        end = next((place for place, token in enumerate(row) if token in ends), None)
        text = self._encoder.decode(row if end is None else row[:end])
        cut = first_stop(text, stop)
        reason = "length" if end is None and cut is None else "stop"
        tokens = len(row) if end is None else end + 1
        return (text if cut is None else text[:cut]), tokens, reason


def first_stop(text: str, stop: Sequence[str]) -> int | None:
    """Where the earliest stop string begins, or None."""
    places = [place for word in stop if (place := text.find(word)) >= 0]
    return min(places) if places else None


def _pad_id(tokenizer: Any) -> int:
    return next((int(i) for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)


class _Finite(LogitsProcessor):  # type: ignore[misc]
    """Refuse scores that are not numbers: broken weights otherwise look like an answer."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if not bool(torch.isfinite(scores.amax(dim=-1)).all()):
            raise GenerationError("the model's scores are not finite", code="non-finite", hint="try --dtype float32")
        return scores


class _Stop(StoppingCriteria):  # type: ignore[misc]
    """Stop a row when a stop string stands in its newest tokens; only the tail is decoded each step."""

    TAIL = 16

    def __init__(self, encoder: Encoder, stop: Sequence[str], start: int) -> None:
        self._encoder, self._stop, self._start = encoder, stop, start
        self._tail = self.TAIL + max(len(word) for word in stop)

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        begin = max(self._start, input_ids.shape[1] - self._tail)
        texts = [self._encoder.decode(row) for row in input_ids[:, begin:].tolist()]
        return torch.tensor([first_stop(text, self._stop) is not None for text in texts], device=input_ids.device)


class _Streamer(BaseStreamer):  # type: ignore[misc]
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
        self._ids.extend(value.flatten().tolist())
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
