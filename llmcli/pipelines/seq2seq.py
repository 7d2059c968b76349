"""Encoder-decoder checkpoints: Marian, T5, BART, Pegasus, mBART-50, M2M100, NLLB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, GenerationConfig, LogitsProcessorList, Pipeline, StoppingCriteriaList
from transformers.pipelines import PIPELINE_REGISTRY

from llmcli.config.schemas import Generation
from llmcli.errors import GenerationError, UsageError
from llmcli.pipelines.base import HeadModel
from llmcli.pipelines.completion import DEFAULT_MAX_NEW_TOKENS, pad_id
from llmcli.pipelines.fast import known
from llmcli.pipelines.protocol import Completion, Emit
from llmcli.pipelines.stopping import Finite, Stop, Streamer, finish
from llmcli.pipelines.tokens import Encoder
from llmcli.reports import WRITING
from llmcli.text import languages
from llmcli.text.prompts import Rendered


@dataclass(frozen=True)
class Inputs:
    """Token ids of sources that share a target language; ``forced`` is that language's token, if the model has one."""

    rows: tuple[tuple[int, ...], ...]
    forced: int | None = None
    without: tuple[str, ...] = ()


class Seq2SeqPipeline(Pipeline):  # type: ignore[misc]
    """Text in, text out: one call takes one :class:`Inputs` and gives, for each row, its completions.

    What the generation settings leave open is the checkpoint's own: beams, lengths, penalties.
    """

    _pipeline_calls_generate = True

    def __init__(self, *, model: Any, tokenizer: Any, encoder: Encoder | None = None, **kwargs: Any) -> None:
        super().__init__(model=model, tokenizer=tokenizer, **kwargs | {"device": model.device})
        self._encoder = encoder or Encoder(tokenizer)
        # Not a sentence of the text but Pegasus' mark for a line break.
        self._newline = "<n>" if model.config.model_type == "pegasus" else None

    def _sanitize_parameters(
        self, generation: Generation | None = None, emit: Emit | None = None, **_: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        generation = generation or Generation()
        return {}, {"generation": generation, "emit": emit}, {"generation": generation}

    def preprocess(self, inputs: Inputs | str) -> dict[str, Any]:
        """Right-pad: ``input_ids`` and ``attention_mask``, (rows, width). A plain text is one row."""
        if isinstance(inputs, str):
            inputs = Inputs((tuple(self._encoder.sequence(inputs)),))
        width = max(map(len, inputs.rows))
        pad = pad_id(self.tokenizer)
        return {
            "input_ids": torch.tensor([[*row, *[pad] * (width - len(row))] for row in inputs.rows]),
            "attention_mask": torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in inputs.rows]),
            "lengths": [len(row) for row in inputs.rows],
            "forced": inputs.forced,
            "without": self._encoder.written_in(inputs.without),
        }

    def _forward(self, inputs: dict[str, Any], *, generation: Generation, emit: Emit | None = None) -> dict[str, Any]:
        config = self.config(generation, forced=inputs["forced"])
        if inputs["without"]:
            config.suppress_tokens = sorted({*(self.model.generation_config.suppress_tokens or ()), *inputs["without"]})
        extra: dict[str, Any] = {}
        stop = generation.stop or []
        if stop:
            extra["stopping_criteria"] = StoppingCriteriaList([Stop(self._encoder, stop, 1)])
        beams = config.num_beams or self.model.generation_config.num_beams or 1
        if emit is not None and beams == 1 and (config.num_return_sequences or 1) == 1:
            extra["streamer"] = Streamer(self._encoder, emit, stop)
        if generation.sampled and generation.seed is not None:
            torch.manual_seed(generation.seed)
        made = self.model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            generation_config=config,
            logits_processor=LogitsProcessorList([Finite()]),
            return_dict_in_generate=True,
            output_scores=beams > 1,
            **extra,
        )
        scores = made.sequences_scores.tolist() if beams > 1 else [0.0] * len(made.sequences)
        # The decoder's start token is no token of the answer.
        return {
            "made": made.sequences[:, 1:],
            "scores": scores,
            "lengths": inputs["lengths"],
            "forced": inputs["forced"],
        }

    def config(self, generation: Generation, *, forced: int | None = None) -> GenerationConfig:
        """The settings given; the rest is filled from the checkpoint's by ``generate``."""
        own = self.model.generation_config
        values = generation.model_dump(exclude_none=True, exclude={"stop", "seed", "temperature", "min_new_tokens"})
        values["do_sample"] = generation.sampled
        if generation.sampled:
            values = {"num_beams": 1, "top_k": 0} | values | {"temperature": generation.temperature}
        elif (values.get("num_return_sequences") or 1) > (values.get("num_beams") or own.num_beams or 1):
            values["num_beams"] = values["num_return_sequences"]
        most = values.pop("max_new_tokens", None) or own.max_new_tokens or (own.max_length or 0) - 1
        most = most if most > 0 else DEFAULT_MAX_NEW_TOKENS
        names = ("max_decoder_position_embeddings", "max_position_embeddings")
        positions = next((limit for name in names if (limit := getattr(self.model.config, name, None))), None)
        values["max_new_tokens"] = min(most, positions - 1) if positions else most
        least = generation.min_new_tokens
        if least is None:
            least = own.min_new_tokens or max((own.min_length or 0) - 1, 0)
        values |= {"min_new_tokens": min(least, values["max_new_tokens"]), "min_length": 0}
        if forced is not None:
            values["forced_bos_token_id"] = forced
        start = own.decoder_start_token_id
        return GenerationConfig(
            **values,
            decoder_start_token_id=getattr(self.model.config, "decoder_start_token_id", None)
            if start is None
            else start,
            pad_token_id=pad_id(self.tokenizer),
            eos_token_id=self._eos(),
        )

    def _eos(self) -> Any:
        own = self.model.generation_config.eos_token_id
        return self.tokenizer.eos_token_id if own is None else own

    def postprocess(self, outputs: dict[str, Any], *, generation: Generation) -> list[list[Completion]]:
        """Cut each text at its end-of-sequence token or stop string, and name the finish reason."""
        eos, forced = self._eos(), outputs["forced"]
        ends = set(eos if isinstance(eos, list) else [eos])
        # Nor is the language that it begins with a part of the answer.
        made = [row[1:] if forced is not None and row[:1] == [forced] else row for row in outputs["made"].tolist()]
        rows = [finish(self._encoder, row, ends=ends, stop=generation.stop or []) for row in made]
        each = len(rows) // len(outputs["lengths"])
        completions = [
            Completion(self._plain(text), outputs["lengths"][place // each], tokens, reason, score)
            for place, ((text, tokens, reason), score) in enumerate(zip(rows, outputs["scores"], strict=True))
        ]
        return [completions[place : place + each] for place in range(0, len(completions), each)]

    def _plain(self, text: str) -> str:
        return text.replace(self._newline, "\n") if self._newline else text


PIPELINE_REGISTRY.register_pipeline("seq2seq", pipeline_class=Seq2SeqPipeline, pt_model=AutoModelForSeq2SeqLM)


class Seq2SeqModel(HeadModel):
    """A checkpoint with an encoder and a decoder. ``codes``: language tokens that are not found by themselves.

    Its one shortcut is padding; ``plain``: rows of one length share a batch.
    """

    def __init__(self, model: Any, encoder: Encoder, *, codes: Mapping[str, str] | None = None, plain: bool = False,
                 **options: Any) -> None:  # fmt: skip
        super().__init__(model, encoder, **options)
        self._padded = not plain and known.pads(model)
        tokenizer = encoder.tokenizer
        tokens = [*tokenizer.all_special_tokens, *getattr(tokenizer, "supported_language_codes", []),
                  *getattr(tokenizer, "lang_token_to_id", [])]  # fmt: skip
        self._codes = languages.codes(map(str, tokens)) | dict(codes or {})
        self._pipeline = Seq2SeqPipeline(model=model, tokenizer=tokenizer, encoder=encoder)

    def encode(self, prompt: Rendered) -> tuple[tuple[int, ...], int | None]:
        """Token ids of a source, and the token that begins its translation (None: the model has no such tokens)."""
        tokenizer, text = self.encoder.tokenizer, prompt.prefix + prompt.row
        if hasattr(tokenizer, "supported_language_codes"):
            return self._marian(text, prompt.target), None
        if not (prompt.target and hasattr(tokenizer, "src_lang")):
            return tuple(self.encoder.sequence(text)), None
        # M2M100's tokenizer is told ``fr``, its token is ``__fr__``.
        source = self._code(prompt.source).strip("_")
        if tokenizer.src_lang != source:
            tokenizer.src_lang = source
        return tuple(self.encoder.sequence(text)), int(tokenizer.convert_tokens_to_ids(self._code(prompt.target)))

    def written(self, text: str, *, target: str = "") -> list[int]:
        """Token ids of a text that it writes; one in a ``target`` language begins with that language's token."""
        tokenizer = self.encoder.tokenizer
        if target and hasattr(tokenizer, "tgt_lang") and not hasattr(tokenizer, "supported_language_codes"):
            tokenizer.tgt_lang = self._code(target).strip("_")
        found = self.encoder.tokens("", text_target=self.encoder.inert(text), split_special_tokens=True)["labels"]
        return [int(token) for token in found]

    def _marian(self, text: str, target: str) -> tuple[int, ...]:
        """Marian with several targets reads the target's token first; a text cannot name it: a space keeps it text."""
        ids = self.encoder.sequence(f" {text}" if text.startswith(">>") else text)
        if not (self._codes and target):
            return tuple(ids)
        return (int(self.encoder.tokenizer.convert_tokens_to_ids(self._code(target))), *ids)

    def _code(self, language: str) -> str:
        if language not in self._codes:
            listed = languages.listed(sorted(self._codes))
            raise UsageError(
                f"the model does not know {languages.name(language)}", code="bad-pair", hint=f"it knows {listed}"
            )
        return self._codes[language]

    def size(self, prompt: Rendered) -> int:
        """See Model."""
        return len(self.encode(prompt)[0])

    def complete(
        self, prompts: Sequence[Rendered], generation: Generation, *, emit: Emit | None = None
    ) -> list[list[Completion]]:
        """See Model. Sampled rows run one by one. A text shorter than the checkpoint's least answer is not drawn out.

        Raises GenerationError for a text beyond the window, UsageError for a language that the model lacks.
        """
        alone = generation.sampled or emit is not None
        encoded = [self.encode(prompt) for prompt in prompts]
        if any(len(ids) > self.context_window for ids, _ in encoded):
            raise GenerationError("the text is longer than the context window", code="too-long", hint="see --on-long")
        least = self._pipeline.config(generation).min_new_tokens or 0
        results: list[list[Completion]] = [[] for _ in encoded]
        keys = [(forced, len(ids) <= least and generation.min_new_tokens is None, prompt.without)
                for (ids, forced), prompt in zip(encoded, prompts, strict=True)]  # fmt: skip
        for key in dict.fromkeys(keys):
            forced, short, without = key
            own = generation.model_copy(update={"min_new_tokens": 0}) if short else generation

            def work(
                batch: list[tuple[int, ...]], forced: int | None = forced, own: Generation = own,
                without: tuple[str, ...] = without,
            ) -> list[list[Completion]]:  # fmt: skip
                inputs = Inputs(tuple(batch), forced, without)
                found: list[list[Completion]] = self._pipeline(inputs, generation=own, emit=emit)
                return found

            group = [place for place, found in enumerate(keys) if found == key]
            items = [encoded[place][0] for place in group]
            done = self.batched(items, list(map(len, items)), work, alone=alone, padded=self._padded, stage=WRITING)
            for place, result in zip(group, done, strict=True):
                results[place] = result
        return results
