"""Load a checkpoint: no pickle unless the command line says so, no remote code, no network, no missing weights."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from llmcli.errors import ModelError, UsageError
from llmcli.models import store
from llmcli.pipelines.batching import out_of_memory
from llmcli.pipelines.protocol import Model
from llmcli.reports import Report
from llmcli.run.resolve import RunConfig

KINDS = {
    "causal": "CausalModel",
    "seq2seq": "Seq2SeqModel",
    "classification": "ClassificationModel",
    "zero-shot": "ZeroShotModel",
    "question-answering": "QuestionAnsweringModel",
}
"""The model of each pipeline, in the module of its name."""
HEADS = {
    "causal": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "classification": "AutoModelForSequenceClassification",
    "zero-shot": "AutoModelForSequenceClassification",
    "question-answering": "AutoModelForQuestionAnswering",
}
"""And the class of transformers that loads its weights."""

SAFE = {"local_files_only": True, "trust_remote_code": False}
"""How everything is loaded: no look-up, and no Python of the checkpoint's author."""
TOKENIZER = ("chat_template", "model_max_length", "model_input_names", "padding_side", "additional_special_tokens",
             "extra_special_tokens")  # fmt: skip
"""What a tokenizer's configuration adds to ``tokenizer.json``, besides the special tokens' names."""


def load(config: RunConfig, *, report: Report, watch: Callable[[Any], None] | None = None) -> Model:
    """Load the model of a run. ``watch`` is shown the torch module, before its first use.

    Raises ModelError (missing, broken, refused), OutputError (the cache cannot be written).
    """
    folder = store.checkpoint(config.model, offline=config.offline, report=report)
    collected = gc.isenabled()
    gc.disable()  # nothing of what is imported and read is garbage: looking for some takes 0.3 s
    try:
        return _load(folder, config, watch)
    finally:
        if collected:
            gc.enable()


def _load(folder: Path, config: RunConfig, watch: Callable[[Any], None] | None) -> Model:
    # Everything is local from here on; a library must not look anything up, nor warn into a pipe.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch
    from transformers.utils import logging

    logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|llmcli)\.")
    logging.disable_progress_bar()
    torch.set_num_threads(cores())
    from llmcli.pipelines.tokens import Encoder, context_window

    stored = _stored(folder, config)
    weights = store.identity(config.model) if stored else ""
    model, tokenizer = _read(folder, config, stored=stored, weights=weights)
    if watch is not None:
        watch(model)
    size = config.settings.batch_size
    options: dict[str, Any] = {
        "window": config.model.context_window or context_window(model.config, tokenizer),
        "batch_size": size if isinstance(size, int) else None,
    }
    if config.model.pipeline == "causal" and stored:
        from llmcli.models import derived

        form = "int8" if _quantized(config, str(model.device.type)) else "whole"
        facts = f"{weights} {model.dtype} {form} {model.device}"
        options["prefixes"] = derived.Prefixes(stored, facts=facts)
    if config.model.pipeline == "seq2seq":
        options["codes"] = config.model.language_codes
    encoder = Encoder(tokenizer, chat_template_kwargs=config.model.chat_template_kwargs)
    loaded: Model = _kind(config.model.pipeline)(model, encoder, **options)
    return loaded


def cores(group: Path = Path("/sys/fs/cgroup")) -> int:
    """Processor cores that this process may use: its affinity, and the share that its control group may take."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for quota, period in ((group / "cpu.max",) * 2, (group / "cpu/cpu.cfs_quota_us", group / "cpu/cpu.cfs_period_us")):
        try:
            share, whole = quota.read_text().split()[0], period.read_text().split()[-1]
        except OSError:
            continue
        if share.isdecimal():  # else "max", or -1
            return max(1, min(allowed, round(int(share) / int(whole))))
    return allowed


def _kind(pipeline: str) -> Any:
    module = import_module(f"llmcli.pipelines.{pipeline.replace('-', '_')}")
    return getattr(module, KINDS[pipeline])


def _read(folder: Path, config: RunConfig, *, stored: Path | None, weights: str) -> tuple[Any, Any]:
    """The torch module and the tokenizer. One that is quantized is made of what the store keeps, where it can be."""
    import transformers

    from llmcli.pipelines.fast import quantization

    auto = getattr(transformers, HEADS[config.model.pipeline])
    device = pick_device(config.settings.device)
    dtype, quantized = _dtype(config, device), _quantized(config, device)
    pickled = _pickled(folder, config)
    with _told(folder, pickled=pickled):
        tokenizer = _tokenizer(folder, converted=stored is not None and config.model.source.hub is None)
        model = quantization.restored(stored, auto, dtype, weights=weights) if quantized else None
        if model is not None:
            return model, tokenizer
        model, info = auto.from_pretrained(
            folder, dtype=dtype, use_safetensors=not pickled, output_loading_info=True, **SAFE
        )
    if info["missing_keys"]:
        names = ", ".join(sorted(info["missing_keys"])[:3])
        raise ModelError(f"{folder}: weights are missing: {names}", code="missing-weights")
    model = model.eval().to(device)
    return (quantization.int8(model, stored, weights=weights) if quantized else model), tokenizer


@contextlib.contextmanager
def _told(folder: Path, *, pickled: bool) -> Iterator[None]:
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


def _tokenizer(folder: Path, *, converted: bool) -> Any:
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


def _pickled(folder: Path, config: RunConfig) -> bool:
    """Whether a pickle is to be read, by torch's unpickler that makes tensors alone. Raises ModelError."""
    if any(folder.glob("*.safetensors")) or not any(folder.glob("pytorch_model*.bin")):
        return False
    if not config.settings.allow_pickle:
        raise ModelError(f"{folder}: its weights are a pickle, which may hold code", code="pickle",
                         hint="convert it to safetensors, or give --allow-pickle if you trust its maker")  # fmt: skip
    return True


def pick_device(name: str | None) -> str:
    """``auto``: CUDA, else MPS, else the CPU. Raises UsageError for a device that is not there."""
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name in (None, "auto"):
        return "cuda" if cuda else "mps" if mps else "cpu"
    assert name is not None
    if (name.startswith("cuda") and not cuda) or (name == "mps" and not mps):
        raise UsageError(f"no {name} device on this machine", hint="use --device cpu")
    return name


def _stored(folder: Path, config: RunConfig) -> Path | None:
    """The folder, where it is the store's: nothing is written into a folder of the user's, nor believed of it."""
    return folder if store.folder(config.model.source, name=config.model.name) is not None else None


def _quantized(config: RunConfig, device: str) -> bool:
    """Whether to use int8 weights. Raises UsageError where there is no kernel for them."""
    asked = config.settings.quantize or "auto"
    if asked == "int8" and device != "cpu":
        raise UsageError("--quantize int8 is for a CPU", hint="use --dtype bfloat16")
    chosen = config.model.pipeline == "causal" and device == "cpu" and config.settings.dtype in (None, "auto")
    return asked == "int8" or (asked == "auto" and chosen)


def _dtype(config: RunConfig, device: str) -> Any:
    import torch

    name = config.settings.dtype or "auto"
    if name != "auto":
        return getattr(torch, name)
    fast = bfloat16() if device == "cpu" else device.startswith("cuda") and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def bfloat16() -> bool:
    """Whether the processor has bfloat16 arithmetic; without it, float32 is quicker."""
    import torch

    found = torch.cpu.get_capabilities()
    return any(found.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
