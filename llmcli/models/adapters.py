"""What was trained on a checkpoint: a low-rank adapter in peft's two files, or a probe. Read and joined without peft.

An adapter is joined into the plain weights when a model is loaded, before any are rounded: from then on it is a model
like any other. Method: Hu et al., "LoRA" (ICLR 2022).
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


def join(model: Any, folder: Path) -> None:
    """Add an adapter to a model's weights, in float32, in place. Raises ModelError for one that does not fit."""
    import torch

    config, tensors = checking.read_json(folder / CONFIG), _read(folder / WEIGHTS)
    if config.get("peft_type") != "LORA" or any((config.get(name) or value) != value for name, value in PLAIN.items()):
        raise ModelError(f"{folder / CONFIG}: another kind of adapter than llmcli reads", code="bad-adapter")
    layers = [name.removesuffix(DOWN) for name in tensors if name.endswith(DOWN)]
    saved = [name for name in tensors if not name.endswith((DOWN, UP))]
    if sum(name.endswith(UP) for name in tensors) != len(layers):
        raise ModelError(f"{folder}: its adapter lacks matrices", code="bad-adapter")
    try:
        scale = float(config["lora_alpha"]) / int(config["r"])
        with torch.no_grad():
            for layer in layers:
                change = tensors[layer + UP].float() @ tensors[layer + DOWN].float() * scale
                weight = model.get_submodule(layer.removeprefix(PREFIX)).weight
                weight += (change.T if config.get("fan_in_fan_out") else change).to(weight.device)
            for name in saved:
                model.get_parameter(name.removeprefix(PREFIX)).copy_(tensors[name])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, ZeroDivisionError) as error:
        raise ModelError(f"{folder}: its adapter does not fit its base model", code="bad-adapter") from error
    if not layers and not saved:
        raise ModelError(f"{folder}: its adapter is empty", code="bad-adapter")


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
