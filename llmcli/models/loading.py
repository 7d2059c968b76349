"""Read a checkpoint: no pickle unless the command line says so, no remote code, no network, no missing weights."""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

from llmcli.config import places
from llmcli.errors import LlmcliError, ModelError, OutOfMemory, out_of_memory
from llmcli.models import checking, foreign, memory, originals, proportions
from llmcli.models.checking import Checkpoint

HEADS = {
    "causal": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "classification": "AutoModelForSequenceClassification",
    "zero-shot": "AutoModelForSequenceClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "embedding": "AutoModel",
}
"""The class of transformers that loads the weights of each pipeline."""
POOLER = "pooler."
"""A layer that only classifiers of pairs use: no sentence embedding needs it, and many checkpoints lack it."""
SAFE = {"local_files_only": True, "trust_remote_code": False}
"""How everything is loaded: no look-up, and no Python of the checkpoint's author."""
TOKENIZER = ("chat_template", "model_max_length", "model_input_names", "padding_side", "additional_special_tokens",
             "extra_special_tokens")  # fmt: skip
"""What a tokenizer's configuration adds to ``tokenizer.json``, besides the special tokens' names."""
BUFFERS = 1 << 30
"""Bytes that a model may have beside its weights: tables of positions."""


def pooling(folder: Path) -> Literal["mean", "cls"]:
    """How a sentence-transformers checkpoint makes one vector of its states; others are read by their mean.

    Raises ModelError for a way that is not known here.
    """
    path = folder / checking.POOLING
    if not path.is_file():
        return "mean"
    modes = {name.removeprefix("pooling_mode_") for name, on in checking.read_json(path).items()
             if name.startswith("pooling_mode_") and on is True}  # fmt: skip
    if modes == {"mean_tokens"}:
        return "mean"
    if modes == {"cls_token"}:
        return "cls"
    raise ModelError(f"{path}: pooling by {', '.join(sorted(modes)) or 'nothing'} is not known", code="bad-model")


def head(pipeline: str) -> Any:
    """The class of transformers for a pipeline."""
    import transformers

    return getattr(transformers, HEADS[pipeline])


def module(folder: Path, auto: Any, *, dtype: Any, device: str, found: Checkpoint) -> Any:
    """The torch module of a checkpoint, on its device.

    Raises ModelError, or OutOfMemory for one that would not fit: that is known before anything is made.
    """
    if not found.pickled:
        _fits(folder, auto, dtype=dtype, device=device, found=found)
    model, info = auto.from_pretrained(
        folder, dtype=dtype, use_safetensors=not found.pickled, output_loading_info=True, **SAFE
    )
    missing = [name for name in info["missing_keys"] if auto.__name__ != HEADS["embedding"] or POOLER not in name]
    if missing:
        names = ", ".join(sorted(missing)[:3])
        raise ModelError(f"{folder}: weights are missing: {names}", code="missing-weights")
    return model.eval().to(device)


def _fits(folder: Path, auto: Any, *, dtype: Any, device: str, found: Checkpoint) -> None:
    """What its config describes is not much larger than its weights are, and these fit the memory."""
    import torch
    from transformers import AutoConfig
    from transformers.initialization import no_init_weights

    weights = sum(tensor.numbers for tensor in found.tensors.values()) * dtype.itemsize
    memory.need(weights, str(folder), device=device)
    config = AutoConfig.from_pretrained(folder, **SAFE)
    with torch.device("meta"), no_init_weights():
        empty = auto.from_config(config, dtype=dtype, trust_remote_code=False)
    size = sum(tensor.nbytes for tensor in (*empty.parameters(), *empty.buffers()))
    if size > 2 * weights + BUFFERS:
        raise ModelError(f"{folder}: its config describes {size / 1e9:.1f} GB, its weights are {weights / 1e9:.1f} GB",
                         code="bad-model")  # fmt: skip


def examined(folder: Path, *, allow_pickle: bool) -> Checkpoint:
    """What a checkpoint's own files say, if it may be loaded at all. In the store rounded weights may stand for others.

    Raises ModelError, OutOfMemory.
    """
    stored = folder.is_relative_to(places.cache())
    weights = originals.rounded(folder) if stored and originals.missing(folder) else None
    found = checking.examine(folder, allow_pickle=allow_pickle, weights=weights)
    room, vocabulary = memory.address_space(), folder / "tokenizer.json"
    need = memory.TOKENIZER * vocabulary.stat().st_size if vocabulary.is_file() else 0
    need += 0 if "torch" in sys.modules else memory.LIBRARIES
    if room is not None and room < need:  # they would not raise an error, but end this process
        raise OutOfMemory("`ulimit -v` leaves too little memory for loading a model", hint="raise the limit")
    return found


@contextlib.contextmanager
def reported(folder: Path, *, code: str = "bad-model", pickled: bool = False) -> Iterator[None]:
    """Say what is wrong with a checkpoint in one line, whatever a library raises over its files, or prints.

    The files are a stranger's and the libraries many: what they raise cannot be listed. What asks this process to stop
    goes through, and so do llmcli's own errors.
    """
    try:
        with foreign.quiet():
            yield
    except LlmcliError:
        raise
    except BaseException as error:
        if not foreign.failure(error):
            raise
        if out_of_memory(error):
            raise OutOfMemory(f"{folder}: out of memory while it was loaded", hint="give a smaller model") from error
        if pickled and isinstance(error, UnpicklingError | EOFError | RuntimeError):
            why = "its pickle is damaged, or holds more than weights"
            raise ModelError(f"{folder}: {why}", code="bad-model") from error
        hint = "only safetensors checkpoints without their own code are loaded" if code == "bad-model" else ""
        raise ModelError(f"{folder}: cannot be loaded: {foreign.reason(error)}", code=code, hint=hint) from error


def tokenizer(folder: Path, *, converted: bool) -> Any:
    """A checkpoint's tokenizer. One that llmcli converted is whole in its ``tokenizer.json``, and read once."""
    found = _tokenizer(folder, converted=converted)
    if backend := getattr(found, "backend_tokenizer", None):
        parts = (backend.normalizer, backend.decoder)
        proportions.check_growth([part.__getstate__() for part in parts if part is not None], where=str(folder))
    return found


def _tokenizer(folder: Path, *, converted: bool) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    path = folder / "tokenizer.json"
    if not converted or not path.is_file():
        with warnings.catch_warnings(), foreign.Muted(2):  # a panic in Rust prints many lines
            # Marian's recommends a library that it does not need.
            warnings.simplefilter("ignore")
            return AutoTokenizer.from_pretrained(folder, **SAFE)
    own = json.loads((folder / "tokenizer_config.json").read_bytes())
    template = folder / "chat_template.jinja"
    if template.is_file():
        own["chat_template"] = template.read_text("utf-8")
    kept = {name: value for name, value in own.items() if name.endswith("_token") or name in TOKENIZER}
    with foreign.Muted(2):
        return PreTrainedTokenizerFast(tokenizer_file=str(path), **kept)
