"""What the shortcuts are known for: lists of what was compared with plain transformers, family by family.

What is not listed is read plainly. ``tests/pipelines/test_families.py`` compares every family of the list, and others
that must not be on it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import transformers
from transformers import GenerationConfig

from llmcli.pipelines.scores import Head


@dataclass(frozen=True)
class Family:
    """What is known of a family. ``factor``, ``divisor``, ``cap``: the fields of its config that tell what it does
    behind its output matrix. ``int8``: rounded weights choose the same tokens; they choose other experts.
    """

    factor: str = ""
    divisor: str = ""
    cap: str = ""
    int8: bool = True


PLAIN, EXPERTS, CAPPED = Family(), Family(int8=False), Family(cap="final_logit_softcapping")
FAMILIES: Mapping[str, Family] = {
    **dict.fromkeys(("gpt2", "gpt_bigcode", "gptj", "codegen", "gpt_neox", "opt", "biogpt"), PLAIN),
    **dict.fromkeys(("llama", "mistral", "ministral", "qwen2", "qwen3", "smollm3"), PLAIN),
    **dict.fromkeys(("gemma", "phi", "phi3", "starcoder2", "olmo", "olmo2", "olmo3"), PLAIN),
    **dict.fromkeys(("stablelm", "nemotron", "persimmon", "glm", "glm4", "helium", "exaone4", "ernie4_5"), PLAIN),
    **dict.fromkeys(("gemma3", "gemma3_text"), CAPPED),
    **dict.fromkeys(("cohere", "cohere2"), Family(factor="logit_scale")),
    **dict.fromkeys(("mixtral", "qwen2_moe", "qwen3_moe", "olmoe"), EXPERTS),
    "granite": Family(divisor="logits_scaling"),
    "granitemoe": Family(divisor="logits_scaling", int8=False),
}
"""Families whose attention takes the keys and values as the cache gave them, and whose positions are given.

Not on it, because they were seen to differ or to crash: DeepSeek-V2 and V3 (latent attention: keys are made of the
cache's), Gemma 3n and 4 (layers share keys), DiffLlama (values are joined), GPT-Neo (its window is ``window_size``,
and counts padding), MPT and Bloom (ALiBi: a bias of the cache's length), XGLM and Falcon (attention of their own),
Llama 4 (chunks), Mamba, RWKV, Jamba, Bamba, Zamba, Falcon-H1, LFM2, MiniMax, Qwen3-Next (states that are no keys and
values). Gemma 2 and gpt-oss have eager attention."""
ROTATIONS = {"default", "linear", "llama3", "yarn"}
"""Rotary positions that depend on the position alone. ``longrope`` and ``dynamic`` change with the longest row."""
LAYERS = {"full_attention", "sliding_attention"}
"""Kinds of layers whose cache is keys and values."""
KEEPS_STATE = {"recurrent_gemma"}
"""Refused: in transformers, a prompt of one token goes on from the state of the text before, whoever's it was."""
TESTED = ("5.23", "5.24")
"""Versions of transformers that the lists were compared with."""
UNCHECKED = {"gemma3_text", "llama", "qwen2"}
"""Families of the embedded models: with a tested version they need no check when they are loaded."""

LENGTHS = {"max_new_tokens", "max_length", "num_return_sequences", "eos_token_id", "bos_token_id", "pad_token_id"}
HISTORY = {"repetition_penalty", "no_repeat_ngram_size"}
"""These read the tokens before, padding too."""
SAMPLING = {"temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"}
BEAMS = {"num_beams", "length_penalty", "early_stopping"}
BEHIND_PREFIX = LENGTHS | HISTORY | SAMPLING | BEAMS | {"do_sample", "min_new_tokens", "suppress_tokens"}
"""Settings that mean the same behind a cached prefix, and beside padding. Not ``min_length``, which counts padding, nor
``guidance_scale``, whose second model's cache begins at the row."""
SEARCHED = LENGTHS | BEAMS | {"suppress_tokens"}
"""Settings that the beam search here knows."""
USUAL: Mapping[str, Any] = {
    "do_sample": False, "use_cache": True, "min_length": 0, "min_new_tokens": 0, "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0, "num_beams": 1, "num_beam_groups": 1,
    "diversity_penalty": 0.0, "remove_invalid_values": False, "renormalize_logits": False, "output_scores": False,
    "output_logits": False, "output_attentions": False, "output_hidden_states": False, "is_assistant": False,
    "return_dict_in_generate": False, "cache_implementation": "hybrid",
}  # fmt: skip
"""Values with which a setting does nothing (transformers takes ``hybrid``, of older Gemmas, for unset)."""
SILENT = {"transformers_version", "_from_model_config"}


INT8 = {"bart", "bert", "distilbert", "m2m_100", "marian", "mbart", "pegasus", "roberta", "t5"}
"""Families besides, whose weights may be rounded where it is asked for."""
PADDED = {"bart", "blenderbot", "blenderbot-small", "fsmt", "longt5", "m2m_100", "marian", "mbart", "mt5", "mvp",
          "nllb-moe", "pegasus", "pegasus_x", "plbart", "prophetnet", "t5", "umt5"}  # fmt: skip
"""Encoder-decoders whose rows may be padded; of others rows of one length share a batch."""


def unfit(model: Any) -> str:
    """Why a causal model has no shortcuts, in a few words; empty where it has."""
    config = model.config.get_text_config()
    forward = inspect.signature(model.base_model.forward).parameters
    if model.config.model_type not in FAMILIES:
        return f"the family {model.config.model_type} is not known"
    if model.config._attn_implementation != "sdpa":
        return f"its attention is {model.config._attn_implementation}"
    if others := set(getattr(config, "layer_types", None) or ()) - LAYERS:
        return f"its layers are {', '.join(sorted(others))}"
    if others := _rotations(getattr(config, "rope_parameters", None) or {}) - ROTATIONS:
        return f"its positions are {', '.join(sorted(others))}"
    if "position_ids" not in forward or not {"cache", "past_key_values"} & set(forward):
        return "its positions or its cache cannot be given"
    return ""


def _rotations(rope: Mapping[str, Any]) -> set[str]:
    """The kinds of rotary positions: of the model, or of each kind of layer."""
    inner = [value for value in rope.values() if isinstance(value, Mapping)]
    return {str(one.get("rope_type") or "default") for one in inner or [rope]}


def head(model: Any) -> Head:
    """The scores of a model of a known family."""
    family, config = FAMILIES[model.config.model_type], model.config.get_text_config()
    fields = (family.factor, family.divisor, family.cap)
    factor, divisor, cap = (getattr(config, field, None) or 0 if field else 0 for field in fields)
    return Head(model.get_output_embeddings(), factor=factor, divisor=divisor, cap=cap)


def int8(model_type: str) -> bool:
    """Whether a family's weights may be rounded to whole numbers."""
    return model_type in INT8 or (model_type in FAMILIES and FAMILIES[model_type].int8)


def pads(model: Any) -> bool:
    """Whether padding changes nothing of what an encoder-decoder makes; some settings read the source's tokens."""
    found = settings(GenerationConfig(), model.generation_config)
    return str(model.config.model_type) in PADDED and not {name for name in found if name.startswith("encoder_")}


def tested_version() -> bool:
    """Whether the lists were compared with this version of transformers."""
    version: str = transformers.__version__
    return version.startswith(tuple(f"{tested}." for tested in TESTED))


def unchecked(model: Any) -> bool:
    """Whether a model may have shortcuts without a look at what they give."""
    return model.config.model_type in UNCHECKED and tested_version()


def settings(config: GenerationConfig, own: GenerationConfig) -> dict[str, Any]:
    """The settings that decide what is generated: those given, and the checkpoint's own for the rest."""
    merged = own.to_dict() | {name: value for name, value in config.to_dict().items() if value is not None}
    found = {name: value for name, value in merged.items()
             if value is not None and name not in SILENT and not (name in USUAL and value == USUAL[name])}  # fmt: skip
    idle = (set() if "do_sample" in found else SAMPLING) | (set() if "num_beams" in found else BEAMS)
    return {name: value for name, value in found.items() if name not in idle}


def searched(found: Mapping[str, Any]) -> bool:
    """Whether these settings ask for a beam search that is known here."""
    return "num_beams" in found and set(found) <= SEARCHED and isinstance(found.get("early_stopping", False), bool)
