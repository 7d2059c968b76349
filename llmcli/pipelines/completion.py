"""Text generation in batches after a cached prefix, with finish reasons, stop strings and streaming."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from llmcli.config.schemas import Generation
from llmcli.errors import ModelError
from llmcli.pipelines.fast import drawing, graphs, known
from llmcli.pipelines.fast.beams import BeamSearch, Rules, growing
from llmcli.pipelines.fast.decoding import Decoder, Limits
from llmcli.pipelines.fast.prefix import PrefixCache
from llmcli.pipelines.fast.replayed import Replayed
from llmcli.pipelines.fast.table import Text
from llmcli.pipelines.protocol import Completion, Emit
from llmcli.pipelines.stopping import Finite, Stop, Streamer, finish
from llmcli.pipelines.tokens import Encoded, Encoder

DEFAULT_MAX_NEW_TOKENS = 256
NEVER = -1e9
"""The score of a text that is none."""
Made = tuple[float, list[int]]
"""A score and the tokens."""


@dataclass(frozen=True)
class Asked:
    """How texts are generated. ``settings``: those that decide, the checkpoint's own among them."""

    config: GenerationConfig
    settings: dict[str, Any]
    stop: list[str]
    seed: int | None
    emit: Emit | None

    @cached_property
    def ends(self) -> frozenset[int]:
        """The end-of-sequence tokens."""
        return _ids(self.config.eos_token_id)


class Completions:
    """Generates after prompts: with shortcuts where ``prefixes`` are there and the settings are known, else plainly."""

    def __init__(self, model: Any, encoder: Encoder, prefixes: PrefixCache | None) -> None:
        self._model, self._encoder, self._prefixes = model, encoder, prefixes
        self._decoder = Decoder(model, encoder, prefixes) if prefixes is not None else None
        self._search: BeamSearch | None = None
        if prefixes is not None:
            self._search = BeamSearch(encoder, Replayed(prefixes) if graphs.used(model) else growing(prefixes))

    def asked(
        self, generation: Generation, emit: Emit | None = None, *, ends: frozenset[int] = frozenset(),
        without: Sequence[int] = (),
    ) -> Asked:  # fmt: skip
        """The settings given, and the checkpoint's own where they say nothing.

        ``ends``: tokens that end texts, too; ``without``: tokens that no text has.
        """
        own, tokenizer = self._model.generation_config, self._encoder.tokenizer
        values = generation.model_dump(exclude_none=True, exclude={"stop", "seed", "temperature"})
        beams = 1 if generation.sampled else own.num_beams or 1
        usual = {"max_new_tokens": own.max_new_tokens or DEFAULT_MAX_NEW_TOKENS, "num_beams": beams}
        if generation.sampled:
            values = {"top_k": 0} | values | {"temperature": generation.temperature}
        else:
            values = {key: value for key, value in values.items() if key not in ("top_p", "top_k")}
        if suppressed := {*(own.suppress_tokens or ()), *without}:
            scored = range(len(self._model.get_output_embeddings().weight))  # a vocabulary may have more
            values["suppress_tokens"] = sorted(token for token in suppressed if token in scored)
        usual_end = tokenizer.eos_token_id if own.eos_token_id is None else own.eos_token_id
        config = GenerationConfig(
            **usual | {"num_return_sequences": 1} | values,
            do_sample=generation.sampled,
            eos_token_id=sorted(ends | _ids(usual_end)) if ends else usual_end,
            bos_token_id=own.bos_token_id,
            pad_token_id=pad_id(tokenizer),
        )
        return Asked(config, known.settings(config, own), generation.stop or [], generation.seed, emit)

    def padded(self, asked: Asked) -> bool:
        """Whether rows of several lengths may share a batch; padding then changes nothing."""
        clean = not known.HISTORY & set(asked.settings) or self._filler(asked) is not None
        return self._quick(asked) and clean

    def __call__(self, rows: Sequence[Encoded], asked: Asked) -> list[list[Completion]]:
        """The completions of each row. Rows share a prefix, and, unless they may be ``padded``, a length.

        Raises GenerationError for scores that are no numbers, ModelError where transformers refuses.
        """
        config, each = asked.config, asked.config.num_return_sequences
        quick = self._quick(asked)
        if quick and known.searched(asked.settings):
            texts = self._searched(rows, asked)
        else:
            ids, mask = self._inputs(rows, asked)
            if asked.config.do_sample and asked.seed is not None:
                torch.manual_seed(asked.seed)
            made = self._generate(ids, mask, config, self._extra(rows, ids, asked, quick=quick))
            tokens = made.sequences[:, ids.shape[1] :].tolist()
            scores = made.sequences_scores.tolist() if config.num_beams > 1 else [0.0] * len(tokens)
            texts = list(zip(scores, tokens, strict=True))
        found = [self._completion(rows[place // each], *text, asked) for place, text in enumerate(texts)]
        return [found[place : place + each] for place in range(0, len(found), each)]

    def _completion(self, row: Encoded, score: float, tokens: list[int], asked: Asked) -> Completion:
        text, size, reason = finish(self._encoder, tokens, ends=set(asked.ends), stop=asked.stop)
        return Completion(text, len(row), size, reason, score)

    def flows(self, asked: Asked) -> bool:
        """Whether rows may join and leave a batch: see :meth:`flow`."""
        known_here = set(asked.settings) <= drawing.SETTINGS
        return (
            self._decoder is not None
            and known_here
            and (asked.config.do_sample or asked.config.num_return_sequences == 1)
        )

    def flow(
        self, rows: Sequence[Encoded], seeds: Sequence[int | None], asked: Asked,
        done: Callable[[int, int, Completion], None], *, at_once: int, tokens: int,
    ) -> None:  # fmt: skip
        """Complete rows that share a prefix, each in ``num_return_sequences`` texts; the longest stands first.

        ``done`` hears each text, with its row's place and which of the row's texts it is, in any order: ``at_once``
        texts are written together, and the prompts of about ``tokens`` tokens are read in a pass. Raises
        GenerationError for scores that are no numbers.
        """
        assert self._decoder is not None  # flows() says so
        each = asked.config.num_return_sequences
        texts = [Text(row, seed, copy) for row, seed in zip(rows, seeds, strict=True) for copy in range(each)]
        limits = Limits(asked.settings, asked.config.max_new_tokens, asked.ends, asked.stop)
        streamer = Streamer(self._encoder, asked.emit, asked.stop) if asked.emit and len(texts) == 1 else None

        def written(place: int, made: list[int]) -> None:
            row, copy = divmod(place, each)
            done(row, copy, self._completion(rows[row], 0.0, made, asked))

        self._decoder(texts, limits, written, at_once=at_once, tokens=tokens, streamer=streamer)
        if streamer is not None:
            streamer.end()

    def _quick(self, asked: Asked) -> bool:
        return self._prefixes is not None and set(asked.settings) <= known.BEHIND_PREFIX

    def _filler(self, asked: Asked) -> int | None:
        """The token that pads. Masked as it is, a repetition penalty sees it: it must not be one that ends a text."""
        tokenizer = self._encoder.tokenizer
        special = (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id)
        return next((int(token) for token in special if token is not None and token not in asked.ends), None)

    def _inputs(self, rows: Sequence[Encoded], asked: Asked) -> tuple[torch.Tensor, torch.Tensor]:
        """Left-pad the rows behind the prefix: token ids and mask, (rows, prefix + width)."""
        width, prefix = max(len(row.row) for row in rows), rows[0].prefix
        gaps, pad = [width - len(row.row) for row in rows], self._filler(asked) or 0
        ids = [[*prefix, *[pad] * gap, *row.row] for row, gap in zip(rows, gaps, strict=True)]
        mask = [[1] * len(prefix) + [0] * gap + [1] * (width - gap) for gap in gaps]
        return (torch.tensor(ids, device=self._model.device), torch.tensor(mask, device=self._model.device))

    def _extra(self, rows: Sequence[Encoded], ids: torch.Tensor, asked: Asked, *, quick: bool = True) -> dict[str, Any]:
        """What ``generate`` gets besides its config: the prefix's cache, who stops it, who hears it."""
        config, extra = asked.config, dict[str, Any]()
        if quick and self._prefixes is not None and rows[0].prefix:
            copies = max(config.num_beams, config.num_return_sequences)
            extra[self._prefixes.held] = self._prefixes.expand(rows[0].prefix, len(ids) * copies)
        if asked.stop:
            extra["stopping_criteria"] = StoppingCriteriaList([Stop(self._encoder, asked.stop, ids.shape[1])])
        if asked.emit is not None and config.num_beams == 1 and config.num_return_sequences == 1:
            extra["streamer"] = Streamer(self._encoder, asked.emit, asked.stop)
        return extra

    def _generate(self, ids: torch.Tensor, mask: torch.Tensor, config: GenerationConfig, extra: dict[str, Any]) -> Any:
        try:
            return self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=config,
                logits_processor=LogitsProcessorList([Finite()]),
                return_dict_in_generate=True,
                output_scores=config.num_beams > 1,
                **extra,
            )
        except (ValueError, NotImplementedError) as error:
            reason = str(error).split(". ")[0]
            raise ModelError(f"{type(self._model).__name__} cannot generate so: {reason}", code="wrong-task",
                             hint="try --num-beams 1, or another --model") from error  # fmt: skip

    @torch.inference_mode()
    def _searched(self, rows: Sequence[Encoded], asked: Asked) -> list[Made]:
        """By beams. Where fewer texts ended than are wanted, empty ones stand for the rest."""
        assert self._search is not None  # known.searched asks for a quick reader
        config, settings = asked.config, asked.settings
        wanted = config.num_return_sequences
        names = ("length_penalty", "early_stopping", "suppress_tokens")
        chosen = {name: settings[name] for name in names if name in settings}
        rules = Rules(config.num_beams, wanted, asked.ends, config.max_new_tokens, **chosen)
        found = self._search(rows, rules, stop=asked.stop)
        rest: list[Made] = [(NEVER, sorted(asked.ends)[:1])] * wanted
        return [text for row in found for text in (row + rest)[:wanted]]


def _ids(ends: int | list[int] | None) -> frozenset[int]:
    """End-of-sequence tokens, as configs write them."""
    return frozenset(one for one in (ends if isinstance(ends, list) else [ends]) if one is not None)


def pad_id(tokenizer: Any) -> int:
    """The padding token; what stands there is masked, so that any will do."""
    return next((int(i) for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)
