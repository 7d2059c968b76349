"""Text generation in batches after a cached prefix, with finish reasons, stop strings and streaming."""

from __future__ import annotations

from copy import copy
from typing import Any

import torch
from transformers import DynamicCache, GenerationConfig, LogitsProcessorList, Pipeline, StoppingCriteriaList

from llmcli.config.schemas import Generation
from llmcli.pipelines.fast.beams import BeamSearch
from llmcli.pipelines.fast.prefix import PrefixCache
from llmcli.pipelines.protocol import Completion, Emit
from llmcli.pipelines.stopping import Finite, Stop, Streamer, finish
from llmcli.pipelines.tokens import Batch, Encoder

DEFAULT_MAX_NEW_TOKENS = 256
NEVER = -1e9
"""The score of a text that is none."""
STEPS = 16
"""Tokens that a batch makes between two looks at which rows have ended."""


class CompletionPipeline(Pipeline):  # type: ignore[misc]
    """One call takes one :class:`Batch` and gives, for each row, its completions."""

    def __init__(self, *, encoder: Encoder, prefixes: PrefixCache, **kwargs: Any) -> None:
        super().__init__(device=kwargs["model"].device, **kwargs)
        self._encoder = encoder
        self._prefixes = prefixes
        self._beams = BeamSearch(self.model, encoder, prefixes)

    def _sanitize_parameters(
        self, generation: Generation | None = None, emit: Emit | None = None, **_: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        generation = generation or Generation()
        return {}, {"generation": generation, "emit": emit}, {"generation": generation}

    def preprocess(self, batch: Batch) -> dict[str, Any]:
        """Left-pad the rows behind the prefix: ``input_ids`` and ``attention_mask``, (rows, prefix + width)."""
        width = max(len(row.row) for row in batch.rows)
        prefix, pad = list(batch.rows[0].prefix), pad_id(self.tokenizer)
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
        if self._beams.able(config):
            return self._searched(inputs, config, stop=generation.stop or [])
        extra: dict[str, Any] = {}
        if prefix:
            copies = max(config.num_beams, config.num_return_sequences)
            extra[self._prefixes.held] = self._prefixes.expand(prefix, len(ids) * copies)
        stop = generation.stop or []
        if stop:
            extra["stopping_criteria"] = StoppingCriteriaList([Stop(self._encoder, stop, ids.shape[1])])
        if emit is not None and config.num_beams == 1 and config.num_return_sequences == 1:
            extra["streamer"] = Streamer(self._encoder, emit, stop)
        if generation.sampled and generation.seed is not None:
            torch.manual_seed(generation.seed)
        if len(ids) > 1 and config.num_beams == 1 and not config.do_sample and generation.min_new_tokens is None:
            made, scores = (
                self._shrinking(ids, inputs["attention_mask"], config, stop=stop, extra=extra),
                [0.0] * len(ids),
            )
        else:
            found = self._generate(ids, inputs["attention_mask"], config, extra)
            made = found.sequences[:, ids.shape[1] :].tolist()
            scores = found.sequences_scores.tolist() if config.num_beams > 1 else [0.0] * len(made)
        return {"made": made, "scores": scores, "lengths": inputs["lengths"], "config": config}

    def _searched(self, inputs: dict[str, Any], config: GenerationConfig, *, stop: list[str]) -> dict[str, Any]:
        """By beams. Where fewer texts ended than are wanted, empty ones stand for the rest."""
        ids = inputs["input_ids"]
        cache = self._prefixes.expand(tuple(inputs["prefix"]), len(ids))
        found = self._beams(ids, inputs["attention_mask"], cache, config, ends=ends(config), stop=stop)
        wanted = config.num_return_sequences
        rest = [(NEVER, [min(ends(config))])] * wanted
        hypotheses = [one for row in found for one in (row + rest)[:wanted]]
        made, scores = [tokens for _, tokens in hypotheses], [score for score, _ in hypotheses]
        return {"made": made, "scores": scores, "lengths": inputs["lengths"], "config": config}

    def _generate(self, ids: torch.Tensor, mask: torch.Tensor, config: GenerationConfig, extra: dict[str, Any]) -> Any:
        return self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=config,
            logits_processor=LogitsProcessorList([Finite()]),
            return_dict_in_generate=True,
            output_scores=config.num_beams > 1,
            **extra,
        )

    def _shrinking(
        self, ids: torch.Tensor, mask: torch.Tensor, config: GenerationConfig, *, stop: list[str], extra: dict[str, Any]
    ) -> list[list[int]]:
        """Greedy tokens of each row, (rows, any length). Every few steps the rows that have ended leave the batch."""
        begin, end = ids.shape[1], ids.shape[1] + config.max_new_tokens
        made: list[list[int]] = [[] for _ in ids]
        rows = torch.arange(len(ids), device=ids.device)
        held = extra.get(self._prefixes.held) or DynamicCache()
        config, extra = copy(config), extra | {self._prefixes.held: held}
        while len(rows):
            # A last row alone has nothing to leave behind.
            config.max_new_tokens = min(STEPS, end - ids.shape[1]) if len(rows) > 1 else end - ids.shape[1]
            ids = self._generate(ids, mask, config, extra).sequences
            kept = []
            for place, (row, tokens) in enumerate(zip(rows.tolist(), ids[:, begin:].tolist(), strict=True)):
                made[row] = tokens
                if ids.shape[1] < end and finish(self._encoder, tokens, ends=ends(config), stop=stop)[2] == "length":
                    kept.append(place)
            if len(kept) < len(rows):
                left = torch.tensor(kept, dtype=torch.long, device=ids.device)
                rows, ids, mask = rows[left], ids[left], mask[left]
                if kept:
                    held.batch_select_indices(left)
            mask = torch.cat([mask, mask.new_ones(len(mask), ids.shape[1] - mask.shape[1])], dim=1)
        return made

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
            pad_token_id=pad_id(self.tokenizer),
        )

    def postprocess(self, outputs: dict[str, Any], *, generation: Generation) -> list[list[Completion]]:
        """Cut each text at its end-of-sequence token or stop string, and name the finish reason."""
        config = outputs["config"]
        each = config.num_return_sequences
        rows = [finish(self._encoder, row, ends=ends(config), stop=generation.stop or []) for row in outputs["made"]]
        found = list(zip(rows, outputs["scores"], strict=True))
        return [
            [
                Completion(text, length, tokens, reason, score)
                for (text, tokens, reason), score in found[index * each : (index + 1) * each]
            ]
            for index, length in enumerate(outputs["lengths"])
        ]


def ends(config: GenerationConfig) -> set[int]:
    """The end-of-sequence tokens."""
    eos = config.eos_token_id
    return set(eos if isinstance(eos, list) else [eos])


def pad_id(tokenizer: Any) -> int:
    """The padding token; what stands there is masked, so that any will do."""
    return next((int(i) for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)
