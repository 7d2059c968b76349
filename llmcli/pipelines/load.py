"""From a run's settings to a loaded model: its checkpoint read, its weights rounded, its pipeline around it."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from llmcli.config.model_config import ModelConfig
from llmcli.config.run_config import AnyConfig
from llmcli.errors import ModelError, UsageError
from llmcli.models import adapters, devices, loading, originals, store
from llmcli.models.checking import Checkpoint
from llmcli.pipelines import weights
from llmcli.pipelines.protocol import Model
from llmcli.pipelines.weights import Form, Source
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


SMALL = 1_000_000_000
"""Weights up to which a GPU chooses labels in float32 with short products (TF32): measured on an H200 with
gemma-3-270m, 872 rows of SST-2, as quick as in bfloat16 (3789 and 3686 rows/s) and right as often as in float32
(0.889 and 0.881)."""
MANY_CORES = 8
"""Cores from which a tokenizer reads many texts at once: on fewer they are the model's."""


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
    from llmcli.pipelines.tokens import Encoder

    if config.model.chat:
        renderer.start()  # it is ready when the weights are read
    source = Source(config.model, folder, _stored(folder, config), found, report)
    form = _form(config, found)
    tokenizer = loading.tokenizer(folder, converted=source.stored is not None and config.model.source.converted)
    model = weights.module(source, form)
    if watch is not None:
        watch(model)
    encoder = Encoder(tokenizer, chat_template_kwargs=config.model.chat_template_kwargs)
    loaded: Model = _kind(config.model)(model, encoder, **_options(source, config, form, model, tokenizer))
    rounded = ", int8" if form.int8 else ", tf32" if form.tf32 else ""
    loaded.running = f"{folder}, {model.device}, {str(model.dtype).removeprefix('torch.')}{rounded}"
    return loaded


def _options(source: Source, config: AnyConfig, form: Form, model: Any, tokenizer: Any) -> dict[str, Any]:
    """What the pipeline of a torch module is made with, besides the module and its tokenizer."""
    from llmcli.pipelines.tokens import context_window

    size = config.settings.batch_size
    options: dict[str, Any] = {
        "window": config.model.context_window or context_window(model.config, tokenizer),
        "batch_size": size if isinstance(size, int) else None,
    }
    if config.model.pipeline in ("causal", "seq2seq"):
        options["plain"] = bool(config.settings.plain)
    if config.model.pipeline == "causal":
        options["tf32"] = form.tf32
    if config.model.pipeline == "causal" and source.stored:
        from llmcli.models import derived

        trained = store.identity(_changed(config.model))
        facts = f"{trained} {model.dtype} {'int8' if form.int8 else 'whole'} {model.device}{' tf32' * form.tf32}"
        options["prefixes"] = derived.Prefixes(source.stored, facts=facts)
    if config.model.pipeline == "seq2seq":
        options["codes"] = config.model.language_codes
    if config.model.pipeline == "embedding":
        options["pooling"] = loading.pooling(source.folder)
    if probe := adapters.probe(config.model.trained):
        options["probe"] = probe
    return options


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


def _form(config: AnyConfig, found: Checkpoint) -> Form:
    device = devices.pick(config.settings.device)
    if labelling(config) and 0 < sum(one.numbers for one in found.tensors.values()) < SMALL:
        return Form(device, devices.dtype("float32", device), tf32=True)
    dtype = devices.dtype(config.settings.dtype, device)
    return Form(device, dtype, int8=_quantized(str(found.config.get("model_type")), config, device))


def labelling(config: AnyConfig) -> bool:
    """Whether a causal model chooses labels on a GPU, in numbers of our choice: see SMALL."""
    settings = config.settings
    asked = settings.dtype not in (None, "auto") or bool(settings.plain)
    labels = config.model.pipeline == "causal" and bool(settings.labels)
    return labels and not asked and devices.cuda(settings.device)


def _restorable(model: Any) -> bool:
    """Whether the next load can do with rounded weights: see :func:`quantization.restored`."""
    from llmcli.pipelines.fast import fused

    return fused.fast(model.model)


def _stored(folder: Path, config: AnyConfig) -> Path | None:
    """The folder, where it is the store's: nothing is written into a folder of the user's, nor believed of it."""
    return folder if store.folder(config.model.source, name=config.model.stored) is not None else None


def _check_base(model: ModelConfig) -> None:
    """Raise ModelError where what was trained was trained on other weights."""
    if model.base_weights and store.identity(model.model_copy(update={"trained": None})) != model.base_weights:
        raise ModelError(f"{model.name}: its base model {model.base} is not the one that it was trained on",
                         code="changed-base", hint="train it again")  # fmt: skip


def _changed(model: ModelConfig) -> ModelConfig:
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
