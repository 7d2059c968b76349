"""From a run's settings to a loaded model: its checkpoint read, its weights rounded, its pipeline around it."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from llmcli.config.model_config import ModelConfig
from llmcli.config.run_config import AnyConfig
from llmcli.errors import ModelError, UsageError
from llmcli.models import adapters, devices, loading, originals, store
from llmcli.models.checking import Checkpoint
from llmcli.pipelines.protocol import Model
from llmcli.reports import LOADING, Report

KINDS = {
    "causal": "CausalModel",
    "seq2seq": "Seq2SeqModel",
    "classification": "ClassificationModel",
    "zero-shot": "ZeroShotModel",
    "question-answering": "QuestionAnsweringModel",
    "embedding": "EmbeddingModel",
}
"""The model of each pipeline, in the module of its name."""

PRIMITIVES, LATEST = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"), 128
"""Matrix products in bfloat16 keep what they prepared for each shape, up to 1024 shapes in each of two caches: half a
gigabyte after some hundred texts of different lengths. A forward pass has some ten shapes, and few come again."""


MANY_CORES = 8
"""Cores from which a tokenizer reads many texts at once: on fewer they are the model's."""


@dataclass(frozen=True)
class _Form:
    """Where a model runs, and in which numbers: ``dtype`` is torch's, ``int8`` tells whether weights are rounded."""

    device: str
    dtype: Any
    int8: bool


def load(config: AnyConfig, *, report: Report, watch: Callable[[Any], None] | None = None) -> Model:
    """Load the model of a run. ``watch`` is shown the torch module, before its first use.

    Raises ModelError (missing, broken, refused), OutputError (the cache cannot be written).
    """
    folder = store.checkpoint(config.model, offline=config.offline, report=report)
    _check_base(config.model)
    report(LOADING, 0.0)
    collected = gc.isenabled()
    gc.disable()  # nothing of what is imported and read is garbage: looking for some takes 0.3 s
    try:
        return _load(folder, config, report, watch)
    finally:
        if collected:
            gc.enable()


def _load(folder: Path, config: AnyConfig, report: Report, watch: Callable[[Any], None] | None) -> Model:
    stored = _stored(folder, config)
    with originals.held(stored) as lock:
        if stored is not None and originals.rounded(stored) is None:
            store.complete(config.model, stored, report=report)
        found = loading.examined(folder, allow_pickle=bool(config.settings.allow_pickle))
        with loading.reported(folder, pickled=found.pickled):
            model = _made(folder, config, found, report, watch)
        if stored is not None and lock is not None and _restorable(model):
            originals.let_go(config.model, stored, lock)
    return model


def _made(
    folder: Path, config: AnyConfig, found: Checkpoint, report: Report, watch: Callable[[Any], None] | None
) -> Model:
    _prepare()
    from llmcli.pipelines.templates import renderer
    from llmcli.pipelines.tokens import Encoder, context_window

    if config.model.chat:
        renderer.start()  # it is ready when the weights are read
    stored = _stored(folder, config)
    weights = store.identity(_weights(config.model)) if stored else ""
    form = _form(config, found)
    tokenizer = loading.tokenizer(folder, converted=stored is not None and config.model.source.converted)
    model = _restored(config, form, stored, weights)
    if model is None:
        if stored is not None and originals.missing(stored):
            store.complete(config.model, stored, report=report)
            found = loading.examined(folder, allow_pickle=False)  # llmcli wrote it
        model = _module(folder, config, found, form, stored=stored, weights=weights)
    if watch is not None:
        watch(model)
    size = config.settings.batch_size
    options: dict[str, Any] = {
        "window": config.model.context_window or context_window(model.config, tokenizer),
        "batch_size": size if isinstance(size, int) else None,
    }
    if config.model.pipeline in ("causal", "seq2seq"):
        options["plain"] = bool(config.settings.plain)
    if config.model.pipeline == "causal" and stored:
        from llmcli.models import derived

        facts = f"{weights} {model.dtype} {'int8' if form.int8 else 'whole'} {model.device}"
        options["prefixes"] = derived.Prefixes(stored, facts=facts)
    if config.model.pipeline == "seq2seq":
        options["codes"] = config.model.language_codes
    if config.model.pipeline == "embedding":
        options["pooling"] = loading.pooling(folder)
    if probe := adapters.probe(config.model.trained):
        options["probe"] = probe
    encoder = Encoder(tokenizer, chat_template_kwargs=config.model.chat_template_kwargs)
    loaded: Model = _kind(config.model)(model, encoder, **options)
    rounded = ", int8" if form.int8 else ""
    loaded.running = f"{folder}, {model.device}, {str(model.dtype).removeprefix('torch.')}{rounded}"
    return loaded


def _prepare() -> None:
    """Everything is local from here on; a library must not look anything up, nor warn into a pipe."""
    cores = devices.cores()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true" if cores >= MANY_CORES else "false")
    os.environ.setdefault("RAYON_NUM_THREADS", str(cores))
    for cache in PRIMITIVES:
        os.environ.setdefault(cache, str(LATEST))
    os.environ["USE_HUB_KERNELS"] = "NO"  # kernels are code from the Hub
    import torch
    from transformers.utils import logging

    logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|llmcli)\.")
    logging.disable_progress_bar()
    torch.set_num_threads(cores)


def _kind(model: ModelConfig) -> Any:
    if model.trained is not None and (model.trained / adapters.PROBE).is_file():
        from llmcli.pipelines.probe import ProbeModel

        return ProbeModel
    module = import_module(f"llmcli.pipelines.{model.pipeline.replace('-', '_')}")
    return getattr(module, KINDS[model.pipeline])


def _form(config: AnyConfig, found: Checkpoint) -> _Form:
    device = devices.pick(config.settings.device)
    dtype = devices.dtype(config.settings.dtype, device)
    return _Form(device, dtype, int8=_quantized(str(found.config.get("model_type")), config, device))


def _restored(config: AnyConfig, form: _Form, stored: Path | None, weights: str) -> Any | None:
    """The torch module of the rounded weights that the store keeps; None where it has to be made."""
    from llmcli.pipelines.fast import quantization

    if not form.int8 or adapters.adapted(config.model.trained):
        return None
    return quantization.restored(stored, loading.head(config.model.pipeline), form.dtype, weights=weights)


def _restorable(model: Any) -> bool:
    """Whether the next load can do with rounded weights: see :func:`quantization.restored`."""
    from llmcli.pipelines.fast import fused

    return fused.fast(model.model)


def _module(
    folder: Path, config: AnyConfig, found: Checkpoint, form: _Form, *, stored: Path | None, weights: str
) -> Any:
    """The torch module, of the checkpoint's own weights."""
    import torch

    from llmcli.pipelines.fast import quantization

    auto, trained = loading.head(config.model.pipeline), config.model.trained
    if trained is not None and adapters.adapted(trained):
        model = loading.module(folder, auto, dtype=torch.float32, device=form.device, found=found)
        adapters.join(model, trained)
        model = model.to(form.dtype)
        return quantization.int8(model) if form.int8 else model
    model = loading.module(folder, auto, dtype=form.dtype, device=form.device, found=found)
    whole = stored is None or not config.model.source.converted
    return quantization.int8(model, stored, weights=weights, whole=whole) if form.int8 else model


def _stored(folder: Path, config: AnyConfig) -> Path | None:
    """The folder, where it is the store's: nothing is written into a folder of the user's, nor believed of it."""
    return folder if store.folder(config.model.source, name=config.model.stored) is not None else None


def _check_base(model: ModelConfig) -> None:
    """Raise ModelError where what was trained was trained on other weights."""
    if model.base_weights and store.identity(model.model_copy(update={"trained": None})) != model.base_weights:
        raise ModelError(f"{model.name}: its base model {model.base} is not the one that it was trained on",
                         code="changed-base", hint="train it again")  # fmt: skip


def _weights(model: ModelConfig) -> ModelConfig:
    """The model whose weights they are: a probe, and settings alone, leave those of the base as they are."""
    return model if adapters.adapted(model.trained) else model.model_copy(update={"trained": None})


def _quantized(family: str, config: AnyConfig, device: str) -> bool:
    """Whether to use int8 weights. Raises UsageError where there is no kernel for them, ModelError for a family whose
    answers they would change.
    """
    from llmcli.pipelines.fast import known

    asked, origins = config.settings.quantize or "auto", config.origins
    if asked == "int8" and device != "cpu":
        raise UsageError("--quantize int8 is for a CPU", hint="use --dtype bfloat16")
    if config.settings.plain:
        if asked == "int8" and origins.get("quantize") == origins.get("plain"):
            raise UsageError("--plain leaves the weights as they are", hint="leave out --quantize int8")
        return False
    chosen = config.model.pipeline == "causal" and device == "cpu" and config.settings.dtype in (None, "auto")
    if not (asked == "int8" or (asked == "auto" and chosen)):
        return False
    if asked == "int8" and not known.int8(family):
        raise ModelError(f"8-bit weights are not known to suit {family}", code="no-int8",
                         hint="leave out --quantize int8")  # fmt: skip
    return known.int8(family)
