"""What a checkpoint's generation settings may be: what is of another kind fails in the middle of generating."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llmcli.errors import ModelError

Kind = Callable[[object], bool]
BEYOND = 1024
"""Numbers of tokens may lie a little behind the vocabulary: padding often does, and is never looked up."""
UNABLE = ("stop_strings", "constraints", "force_words_ids", "custom_generate", "penalty_alpha", "dola_layers",
          "prompt_lookup_num_tokens", "assistant_early_exit", "watermarking_config", "compile_config")  # fmt: skip
"""Settings that need more than the checkpoint."""


def _whole(least: int, most: int = 1 << 62) -> Kind:
    return lambda value: type(value) is int and least <= value <= most


def _number(least: float = float("-inf"), *, above: bool = False) -> Kind:
    return lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and (value > least if above else value >= least)
    )


KINDS: dict[str, Kind] = {
    "max_length": _whole(0), "min_length": _whole(0), "max_new_tokens": _whole(1), "min_new_tokens": _whole(0),
    "num_beams": _whole(1, 1024), "num_beam_groups": _whole(1, 1024), "num_return_sequences": _whole(1, 1024),
    "top_k": _whole(0), "no_repeat_ngram_size": _whole(0), "encoder_no_repeat_ngram_size": _whole(0),
    "temperature": _number(0), "top_p": _number(0), "min_p": _number(0), "typical_p": _number(0),
    "epsilon_cutoff": _number(0), "eta_cutoff": _number(0), "length_penalty": _number(),
    "repetition_penalty": _number(0, above=True), "encoder_repetition_penalty": _number(0, above=True),
    "diversity_penalty": _number(0), "guidance_scale": _number(),
    "use_cache": lambda value: isinstance(value, bool), "do_sample": lambda value: isinstance(value, bool),
    "early_stopping": lambda value: isinstance(value, int) or value == "never",
    "exponential_decay_length_penalty": lambda value: (
        isinstance(value, list) and len(value) == 2 and _whole(0)(value[0]) and _number(0, above=True)(value[1])
    ),
}  # fmt: skip
"""Settings by name, and what each may be."""
TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id", "forced_bos_token_id",
          "forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens")  # fmt: skip
"""Numbers of tokens, one or several."""


def check(settings: Mapping[str, Any], *, vocabulary: int, where: str) -> None:
    """Refuse settings of a wrong kind, or that need what is not there. Raises ModelError."""
    kinds = KINDS | _of_tokens(_whole(-1, vocabulary + BEYOND))
    for name, value in settings.items():
        if value is None or value is False:
            continue
        if name in UNABLE:
            raise ModelError(f"{where}: it asks for {name}, which llmcli does not do", code="bad-model")
        if name in kinds and not kinds[name](value):
            raise ModelError(f"{where}: {name} is not what it may be", code="bad-model")


def _of_tokens(token: Kind) -> dict[str, Kind]:
    """The settings that hold numbers of tokens."""

    def several(value: object) -> bool:
        return isinstance(value, list) and bool(value) and all(map(token, value))

    def biased(pair: object) -> bool:
        return isinstance(pair, list) and len(pair) == 2 and several(pair[0]) and _number()(pair[1])

    def lists(value: object, good: Kind) -> bool:
        return isinstance(value, list) and bool(value) and all(map(good, value))

    one: dict[str, Kind] = dict.fromkeys(TOKENS, lambda value: token(value) or value == [] or several(value))
    return one | {
        "bad_words_ids": lambda value: lists(value, several),
        "sequence_bias": lambda value: lists(value, biased),
    }
