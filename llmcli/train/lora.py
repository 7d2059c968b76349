"""A low-rank adapter on a model's linear layers, in peft's format. Method: Hu et al., "LoRA" (ICLR 2022)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers.pytorch_utils import Conv1D

from llmcli.errors import ModelError
from llmcli.models.adapters import CONFIG, DOWN, PREFIX, UP, WEIGHTS

TASK_TYPES = {"causal": "CAUSAL_LM", "seq2seq": "SEQ_2_SEQ_LM", "classification": "SEQ_CLS"}
"""What peft calls pipelines."""
LEFT_ALONE = ("router", "gate", "score", "classifier", "lm_head", "embed_out", "pooler", "qa_outputs")
"""Layers that choose experts, and heads: by the last part of their names."""


class Adapted(torch.nn.Module):
    """A linear layer and a change of it, of low rank: ``down`` (rank, in), ``up`` (out, rank), which begins as zero."""

    def __init__(self, layer: Any, *, rank: int, alpha: int, draw: torch.Generator) -> None:
        super().__init__()
        self.layer, self.transposed = layer, isinstance(layer, Conv1D)
        rows, columns = layer.weight.T.shape if self.transposed else layer.weight.shape
        self.scale = alpha / rank
        # As peft begins: Kaiming's uniform distribution with a = sqrt(5).
        bound = 1 / math.sqrt(columns)
        down = (torch.rand(rank, columns, generator=draw) * 2 - 1) * bound
        self.down = torch.nn.Parameter(down.to(layer.weight))
        self.up = torch.nn.Parameter(torch.zeros(rows, rank).to(layer.weight))

    @property
    def weight(self) -> Any:
        """For code that looks at the layer's weight."""
        return self.layer.weight

    @property
    def bias(self) -> Any:
        """For code that looks at the layer's bias."""
        return self.layer.bias

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(…, in) to (…, out)."""
        change = torch.nn.functional.linear(torch.nn.functional.linear(states, self.down), self.up)
        made: torch.Tensor = self.layer(states) + change * self.scale
        return made


@dataclass(frozen=True)
class Adapter:
    """An adapter on a model: its layers by name, and heads that are trained whole."""

    layers: Mapping[str, Adapted]
    heads: Mapping[str, torch.nn.Parameter]
    rank: int
    alpha: int

    @property
    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """What is trained, as peft's file names it."""
        found = {PREFIX + name + end: part for name, layer in self.layers.items()
                 for end, part in ((DOWN, layer.down), (UP, layer.up))}  # fmt: skip
        return found | {PREFIX + name: head for name, head in self.heads.items()}

    @torch.no_grad()
    def merge(self, model: Any) -> None:
        """Put the changes into the weights, and the plain layers back."""
        for name, layer in self.layers.items():
            change = layer.up @ layer.down * layer.scale
            layer.layer.weight += change.T if layer.transposed else change
            owner, _, own = name.rpartition(".")
            setattr(model.get_submodule(owner), own, layer.layer)


def inject(model: Any, *, rank: int, seed: int, pipeline: str) -> Adapter:
    """Put an adapter of rank ``rank`` on all linear layers of a model, in place; a classifier's head is trained whole.

    Nothing else is trained. Raises ModelError where there is no such layer.
    """
    model.requires_grad_(False)
    heads = {}
    if pipeline == "classification":
        heads = {name: parameter for name, parameter in model.named_parameters()
                 if not name.startswith(f"{model.base_model_prefix}.")}  # fmt: skip
    within = {id(module) for module in model.base_model.modules()}
    names = [name for name, module in model.named_modules()
             if isinstance(module, torch.nn.Linear | Conv1D) and id(module) in within
             and name.rpartition(".")[2] not in LEFT_ALONE]  # fmt: skip
    if not names:
        raise ModelError(f"a {type(model).__name__} has no linear layers that an adapter could stand on",
                         code="wrong-task", hint="give another base model with --model")  # fmt: skip
    draw = torch.Generator().manual_seed(seed)
    layers = {}
    for name in names:
        owner, _, own = name.rpartition(".")
        layer = Adapted(model.get_submodule(name), rank=rank, alpha=2 * rank, draw=draw)
        setattr(model.get_submodule(owner), own, layer)
        layers[name] = layer
    for head in heads.values():
        head.requires_grad_(True)
    return Adapter(layers, heads, rank, 2 * rank)


def save(adapter: Adapter, tensors: Mapping[str, torch.Tensor], folder: Path, *, base: str, pipeline: str) -> None:
    """Write peft's two files. ``tensors`` are named as :attr:`Adapter.parameters`."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS,
              metadata={"format": "pt"})  # fmt: skip
    transposed = {layer.transposed for layer in adapter.layers.values()}
    if len(transposed) > 1:
        raise ModelError("its layers are of two kinds, which one adapter file cannot hold", code="wrong-task")
    config = {
        "peft_type": "LORA", "task_type": TASK_TYPES[pipeline], "base_model_name_or_path": base, "r": adapter.rank,
        "lora_alpha": adapter.alpha, "target_modules": sorted(adapter.layers), "fan_in_fan_out": True in transposed,
        "lora_dropout": 0.0, "bias": "none", "inference_mode": True, "use_rslora": False, "use_dora": False,
        "init_lora_weights": True, "modules_to_save": sorted({name.split(".")[0] for name in adapter.heads}) or None,
    }  # fmt: skip
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
