"""Read a checkpoint: no pickle unless the command line says so, no remote code, no network, no missing weights."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from llmcli.errors import ModelError, out_of_memory

HEADS = {
    "causal": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "classification": "AutoModelForSequenceClassification",
    "zero-shot": "AutoModelForSequenceClassification",
    "question-answering": "AutoModelForQuestionAnswering",
}
"""The class of transformers that loads the weights of each pipeline."""
SAFE = {"local_files_only": True, "trust_remote_code": False}
"""How everything is loaded: no look-up, and no Python of the checkpoint's author."""
TOKENIZER = ("chat_template", "model_max_length", "model_input_names", "padding_side", "additional_special_tokens",
             "extra_special_tokens")  # fmt: skip
"""What a tokenizer's configuration adds to ``tokenizer.json``, besides the special tokens' names."""


def head(pipeline: str) -> Any:
    """The class of transformers for a pipeline."""
    import transformers

    return getattr(transformers, HEADS[pipeline])


def family(folder: Path) -> str:
    """What transformers calls the kind of model. Raises ModelError."""
    try:
        return str(json.loads((folder / "config.json").read_bytes())["model_type"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ModelError(f"{folder}: config.json does not name its model_type", code="bad-model") from error


def module(folder: Path, auto: Any, *, dtype: Any, device: str, pickled: bool) -> Any:
    """The torch module of a checkpoint, on its device. Raises ModelError."""
    model, info = auto.from_pretrained(
        folder, dtype=dtype, use_safetensors=not pickled, output_loading_info=True, **SAFE
    )
    if info["missing_keys"]:
        names = ", ".join(sorted(info["missing_keys"])[:3])
        raise ModelError(f"{folder}: weights are missing: {names}", code="missing-weights")
    return model.eval().to(device)


@contextlib.contextmanager
def reported(folder: Path, *, pickled: bool) -> Iterator[None]:
    """Say what is wrong with a checkpoint, in one line."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError) as error:
        raise ModelError(f"{folder}: cannot be loaded: {error}", code="bad-model",
                         hint="only safetensors checkpoints without their own code are loaded") from error  # fmt: skip
    except (UnpicklingError, EOFError, RuntimeError) as error:
        if not pickled or out_of_memory(error):
            raise
        raise ModelError(f"{folder}: its pickle is damaged, or holds more than weights", code="bad-model") from error
    except SafetensorError as error:
        raise ModelError(f"{folder}: the weights are damaged: {error}", code="bad-model") from error


def tokenizer(folder: Path, *, converted: bool) -> Any:
    """A checkpoint's tokenizer. One that llmcli converted is whole in its ``tokenizer.json``, and read once."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    path = folder / "tokenizer.json"
    if not converted or not path.is_file():
        with warnings.catch_warnings():
            # Marian's recommends a library that it does not need.
            warnings.simplefilter("ignore")
            return AutoTokenizer.from_pretrained(folder, **SAFE)
    own = json.loads((folder / "tokenizer_config.json").read_bytes())
    template = folder / "chat_template.jinja"
    if template.is_file():
        own["chat_template"] = template.read_text("utf-8")
    kept = {name: value for name, value in own.items() if name.endswith("_token") or name in TOKENIZER}
    return PreTrainedTokenizerFast(tokenizer_file=str(path), **kept)


def pickled(folder: Path, *, allowed: bool) -> bool:
    """Whether a pickle is to be read, by torch's unpickler that makes tensors alone. Raises ModelError."""
    if any(folder.glob("*.safetensors")) or not any(folder.glob("pytorch_model*.bin")):
        return False
    if not allowed:
        raise ModelError(f"{folder}: its weights are a pickle, which may hold code", code="pickle",
                         hint="convert it to safetensors, or give --allow-pickle if you trust its maker")  # fmt: skip
    return True
