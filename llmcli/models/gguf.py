"""Convert a GGUF file to a safetensors checkpoint, once: loading GGUF takes half a minute every time."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from llmcli.errors import ModelError, OutputError
from llmcli.models import gguf_check, loading, memory
from llmcli.reports import Report

_converting = threading.Lock()
"""Libraries are changed meanwhile: one thread of a process at a time."""


def convert(source: Path, target: Path, *, report: Report) -> None:
    """Write ``target`` (a new folder) with config, tokenizer and float32 weights of the GGUF file ``source``.

    Raises ModelError for a file that is not GGUF or of an architecture that transformers cannot read, OutOfMemory or
    OutputError for one whose weights would fit neither the memory nor the disk.
    """
    _fits(source, target)
    place = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name,
             "local_files_only": True, "trust_remote_code": False}  # fmt: skip
    with _converting, loading.reported(source, code="bad-gguf"), _quiet(), read_once():
        report("tokenizer", 0.1)
        tokenizer = AutoTokenizer.from_pretrained(**place)
        config = AutoConfig.from_pretrained(**place)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        report("weights", 0.5)
        loaded = load_gguf_checkpoint(str(source), return_tensors=True, model_to_load=model, torch_dtype=torch.float32)
        report("writing", 0.8)
        _save(model, loaded["tensors"], target)
        tokenizer.save_pretrained(target)
    report("done", 1.0)


def _fits(source: Path, target: Path) -> None:
    found = gguf_check.header(source)
    size = 4 * sum(tensor.numbers for tensor in found.tensors.values())
    memory.need(size, source.name)
    if size > (free := shutil.disk_usage(target.parent).free):
        raise OutputError(f"{target.parent}: {source.name} needs {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free",
                          code="cache", hint="free some room, or set LLMCLI_CACHE_DIR")  # fmt: skip


def _save(model: Any, tensors: dict[str, torch.Tensor], target: Path) -> None:
    missing, unexpected = model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    if set(missing) - tied or unexpected:
        raise ModelError("the GGUF file lacks weights of its architecture", code="bad-gguf")
    model.config.dtype = torch.float32
    model.save_pretrained(target)


class _Reader(gguf.GGUFReader):  # type: ignore[misc]
    """Reads a vocabulary of 262,144 strings from a plain array: each slice of a memmap is a new memmap, slowly."""

    data: Any

    def _get(self, *arguments: Any, **options: Any) -> Any:
        self.data = np.asarray(self.data)
        return super()._get(*arguments, **options)


@contextlib.contextmanager
def read_once() -> Iterator[None]:
    """Within, transformers, which reads a GGUF file up to three times, is given one reader."""
    original = gguf.GGUFReader
    gguf.GGUFReader = cache(_Reader)
    try:
        yield
    finally:
        gguf.GGUFReader = original


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars of the libraries': llmcli shows its own."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    import tqdm.auto

    original = tqdm.auto.tqdm.__init__

    def silent(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs | {"disable": True})

    tqdm.auto.tqdm.__init__ = silent
    try:
        yield
    finally:
        tqdm.auto.tqdm.__init__ = original
