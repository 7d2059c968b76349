"""The weights that a run asks for: 8-bit ones that the store keeps, or a checkpoint's own; and what was trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmcli.config.model_config import ModelConfig
from llmcli.models import adapters, loading, originals, store
from llmcli.models.checking import Checkpoint
from llmcli.reports import Report


@dataclass(frozen=True)
class Form:
    """Where a model runs, and in which numbers: ``dtype`` is torch's, ``int8`` tells whether weights are rounded.

    ``tf32``: matrix products of float32 numbers may leave out digits, as a GPU does them quickest.
    """

    device: str
    dtype: Any
    int8: bool = False
    tf32: bool = False


@dataclass(frozen=True)
class Source:
    """The weights of a model: its checkpoint, ``stored`` where that is the store's, and what was ``found`` in it."""

    model: ModelConfig
    folder: Path
    stored: Path | None
    found: Checkpoint
    report: Report

    @property
    def weights(self) -> str:
        """What tells the weights of a stored checkpoint from others: its own, of whatever was trained on it."""
        return store.identity(self.model.model_copy(update={"trained": None})) if self.stored else ""

    @property
    def head(self) -> Any:
        """The class of transformers that loads it."""
        return loading.head(self.model.pipeline)

    def whole(self) -> Checkpoint:
        """The checkpoint once it has its own weights: they are made again where only rounded ones are left."""
        if self.stored is None or not originals.missing(self.stored):
            return self.found
        store.complete(self.model, self.stored, report=self.report)
        return loading.examined(self.folder, allow_pickle=False)  # llmcli wrote it


def module(source: Source, form: Form) -> Any:
    """The torch module, on its device. Raises ModelError, OutOfMemory, OutputError (the cache cannot be written)."""
    return (_rounded(source, form) if form.int8 else None) or _joined(source, form)


def _rounded(source: Source, form: Form) -> Any | None:
    """The torch module with 8-bit weights, those that the store keeps if it does, and what was trained beside them.

    None where an adapter changes other weights too.
    """
    from llmcli.pipelines.fast import beside, fused, quantization

    def restored() -> Any:
        return quantization.restored(source.stored, source.head, form.dtype, weights=source.weights)

    model = restored()
    if model is None:
        model = loading.module(source.folder, source.head, dtype=form.dtype, device=form.device, found=source.whole())
        keep = source.stored is None or not source.model.source.converted
        model = quantization.int8(model, source.stored, weights=source.weights, whole=keep)
        if fused.fast(model):
            model = restored() or model  # mapped, where it was just stored: the next model of a worker shares it
    trained = source.model.trained
    if trained is None or not adapters.adapted(trained) or beside.attach(model, adapters.read(trained), trained):
        return model
    return None


def _joined(source: Source, form: Form) -> Any:
    """The torch module of the checkpoint's own weights, and what was trained joined into them."""
    import torch

    from llmcli.pipelines.fast import quantization

    trained, found = source.model.trained, source.whole()
    if trained is None or not adapters.adapted(trained):
        return loading.module(source.folder, source.head, dtype=form.dtype, device=form.device, found=found)
    model = loading.module(source.folder, source.head, dtype=torch.float32, device=form.device, found=found)
    adapters.join(model, trained)
    model = model.to(form.dtype)
    return quantization.int8(model) if form.int8 else model
