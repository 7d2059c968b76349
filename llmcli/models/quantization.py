"""Weight-only int8: each output channel's weights as whole numbers from -127 to 127, times a scale of its own.

A processor waits for memory at every token; weights of a quarter the size come four times as fast. Activations stay as
they are but for bfloat16 rounding before each product: quantizing them too is what breaks such models (their few huge
activations; Dettmers et al., "LLM.int8()", NeurIPS 2022).

With many rows it is arithmetic that takes the time. A processor with bfloat16 instructions then multiplies by the
weights as they were, which are kept beside the whole numbers; one without them is quicker with the whole numbers still.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from llmcli.models import manifest

CHUNK = 1 << 14
"""Channels that are rounded at a time, so that a large output matrix needs little memory more."""
NAME = "int8.safetensors"
WEIGHT, SCALE = ".weight", ".scale"
FEW = 8
"""Rows up to which whole numbers are quicker than bfloat16 weights: measured on an AVX512_BF16 processor, 1 to 8 rows
take 0.5 to 0.7 of the time for an output matrix of (262144, 640), 32 rows twice the time."""
MULTIPLE = 32
"""The kernel takes sizes that are multiples of it."""


class Int8Linear(torch.nn.Module):
    """Stands for a ``torch.nn.Linear`` of the same sizes: whole numbers (out, in) and scales (out)."""

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor, layer: torch.nn.Linear) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(weight, requires_grad=False)
        self.scale = torch.nn.Parameter(scale, requires_grad=False)
        self.bias = layer.bias
        self.dense = layer.weight if layer.weight.dtype == torch.bfloat16 else None

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(…, in) to (…, out), in the type that came."""
        flat = states.reshape(-1, states.shape[-1])
        if self.dense is not None and len(flat) > FEW:
            return torch.nn.functional.linear(states, self.dense, self.bias)
        flat = flat.to(torch.bfloat16)
        made = torch._weight_int8pack_mm(flat, self.weight, self.scale).to(states.dtype)
        made = made if self.bias is None else made + self.bias
        return made.view(*states.shape[:-1], -1)


def int8(model: Any, kept: Path | None = None) -> Any:
    """Quantize a model's linear layers, the output matrix among them, in place.

    ``kept`` is a folder of the store, for the next time: rounding takes longer than reading.
    """
    layers = {
        name: layer for name, layer in model.named_modules()
        if type(layer) is torch.nn.Linear and not (layer.in_features % MULTIPLE or layer.out_features % MULTIPLE)
    }  # fmt: skip
    tensors = _kept(kept, layers)
    if tensors is None:
        tensors = {name: tensor for key, layer in layers.items() for name, tensor in _rounded(key, layer.weight)}
        if kept is not None:
            _keep(kept, tensors)
    for name, layer in layers.items():
        owner, _, own = name.rpartition(".")
        whole = Int8Linear(tensors[name + WEIGHT], tensors[name + SCALE], layer)
        setattr(model.get_submodule(owner), own, whole)
    return model


def _rounded(name: str, weight: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """A layer's whole numbers and scales, by name."""
    whole = torch.empty(weight.shape, dtype=torch.int8)
    scale = torch.empty(len(weight), dtype=torch.bfloat16)
    for begin in range(0, len(weight), CHUNK):
        part = weight[begin : begin + CHUNK].detach().float()
        # The scale is rounded first: the numbers then are of the scale that the kernel uses.
        scale[begin : begin + CHUNK] = (part.abs().amax(1) / 127).clamp(min=1e-12).to(torch.bfloat16)
        steps = part / scale[begin : begin + CHUNK, None].float()
        whole[begin : begin + CHUNK] = steps.round_().clamp_(-127, 127).to(torch.int8)
    yield name + WEIGHT, whole
    yield name + SCALE, scale


def _kept(folder: Path | None, layers: Mapping[str, Any]) -> dict[str, torch.Tensor] | None:
    """What was rounded before; None where it is not there whole."""
    if folder is None or NAME not in (manifest.read(folder) or {"files": {}})["files"]:
        return None
    # Copied, because the kernel needs aligned memory, which a mapped file is not: it ends with a segmentation fault.
    found = {name: tensor.clone() for name, tensor in load_file(folder / NAME).items()}
    return found if {name + end for name in layers for end in (WEIGHT, SCALE)} == set(found) else None


def _keep(folder: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Store what was rounded. Where the cache cannot be written, it is rounded again the next time."""
    partial = folder / f"{NAME}.{os.getpid()}.partial"
    try:
        save_file(dict(tensors), partial)
        partial.replace(folder / NAME)
        manifest.add(folder, NAME)
    except (OSError, SafetensorError):
        partial.unlink(missing_ok=True)
