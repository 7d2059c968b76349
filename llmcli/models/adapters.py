"""What was trained on a checkpoint: a low-rank adapter in peft's two files, or a probe. Read and joined without peft.

An adapter is joined into plain weights when a model is loaded, or stays beside 8-bit ones
(:mod:`llmcli.pipelines.fast.beside`). Method: Hu et al., "LoRA" (ICLR 2022).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmcli.errors import ModelError
from llmcli.models import checking

if TYPE_CHECKING:
    import torch

WEIGHTS, CONFIG, PROBE = "adapter_model.safetensors", "adapter_config.json", "probe.safetensors"
PREFIX, DOWN, UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
"""How peft calls tensors: of the whole model, and a layer's two matrices, (rank, in) and (out, rank)."""
PLAIN: Mapping[str, Any] = {"use_dora": False, "use_rslora": False, "bias": "none", "rank_pattern": {},
                            "alpha_pattern": {}}  # fmt: skip
"""Settings of peft that must be so: what others mean is not known here."""


@dataclass(frozen=True)
class Probe:
    """A logistic regression on the state of a prompt's last token behind a layer, (labels, width) and (labels)."""

    layer: int
    labels: tuple[str, ...]
    weight: torch.Tensor
    bias: torch.Tensor


def adapted(folder: Path | None) -> bool:
    """Whether a folder holds an adapter."""
    return folder is not None and (folder / WEIGHTS).is_file()


@dataclass(frozen=True)
class Adapter:
    """An adapter as it was read: a layer's two matrices by its name, and what was trained whole.

    ``layers``: (rank, in) and (out, rank), the second with the scale in it, in float32. ``transposed``: whether the
    layers' own weights are (in, out).
    """

    layers: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    whole: Mapping[str, torch.Tensor]
    transposed: bool


def read(folder: Path) -> Adapter:
    """The adapter that a folder holds. Raises ModelError for one that is damaged, empty, or of another kind."""
    config, tensors = checking.read_json(folder / CONFIG), _read(folder / WEIGHTS)
    if config.get("peft_type") != "LORA" or any((config.get(name) or value) != value for name, value in PLAIN.items()):
        raise ModelError(f"{folder / CONFIG}: another kind of adapter than llmcli reads", code="bad-adapter")
    layers = [name.removesuffix(DOWN) for name in tensors if name.endswith(DOWN)]
    if sum(name.endswith(UP) for name in tensors) != len(layers):
        raise ModelError(f"{folder}: its adapter lacks matrices", code="bad-adapter")
    if not tensors:
        raise ModelError(f"{folder}: its adapter is empty", code="bad-adapter")
    try:
        scale = float(config["lora_alpha"]) / int(config["r"])
        pairs = {layer.removeprefix(PREFIX): (tensors[layer + DOWN].float(), tensors[layer + UP].float() * scale)
                 for layer in layers}  # fmt: skip
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise unfit(folder) from error
    whole = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items() if not name.endswith((DOWN, UP))}
    return Adapter(pairs, whole, bool(config.get("fan_in_fan_out")))


def unfit(folder: Path) -> ModelError:
    """The error for an adapter of other sizes, or other layers, than its base model has."""
    return ModelError(f"{folder}: its adapter does not fit its base model", code="bad-adapter")


def join(model: Any, folder: Path) -> None:
    """Add an adapter to a model's weights, in float32, in place. Raises ModelError for one that does not fit."""
    import torch

    adapter = read(folder)
    try:
        with torch.no_grad():
            for layer, (down, up) in adapter.layers.items():
                change, weight = up @ down, model.get_submodule(layer).weight
                weight += (change.T if adapter.transposed else change).to(weight.device)
            for name, tensor in adapter.whole.items():
                model.get_parameter(name).copy_(tensor)
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise unfit(folder) from error


def _read(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: damaged, or not there", code="bad-adapter") from error


def probe(folder: Path | None) -> Probe | None:
    """The probe that a folder holds, if it holds one. Raises ModelError."""
    if folder is None or not (folder / PROBE).is_file():
        return None
    import json

    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / PROBE, framework="pt") as file:
            said = file.metadata() or {}
            labels = tuple(json.loads(said["labels"]))
            return Probe(int(said["layer"]), labels, file.get_tensor("weight"), file.get_tensor("bias"))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ModelError(f"{folder / PROBE}: damaged", code="bad-adapter") from error
