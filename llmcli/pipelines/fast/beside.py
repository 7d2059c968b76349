"""A low-rank adapter beside 8-bit weights, which stay those of the base model: all its adapters share them.

Joined, the weights would be read whole, added up and rounded anew at each load, and held once an adapter. Beside them
an adapter takes a fiftieth of that memory, and is exact while they are rounded; each layer takes two small products
more. Method: Dettmers et al., "QLoRA" (NeurIPS 2023).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from llmcli.models import adapters
from llmcli.pipelines.fast.fused import FusedLayer
from llmcli.pipelines.fast.quantization import Int8Linear, few


class Beside(torch.nn.Module):
    """An 8-bit layer and its change: ``down`` (rank, in), ``up`` (out, rank)."""

    def __init__(self, layer: Int8Linear, down: torch.Tensor, up: torch.Tensor) -> None:
        super().__init__()
        self.layer = layer
        self.down, self.up = (torch.nn.Parameter(part, requires_grad=False) for part in (down, up))
        self._rounded = down.to(torch.bfloat16), up.to(torch.bfloat16)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(…, in) to (…, out), in the type that came."""
        rows = states.reshape(-1, states.shape[-1])
        if self.layer.dense is not None and len(rows) > few():
            # Rounded once, as a sum: small changes to what is rounded already would be lost each time.
            down, up = self._rounded
            made = torch.addmm(rows @ down.t() @ up.t(), rows, self.layer.dense.t())
            made = made if self.layer.bias is None else made + self.layer.bias
        else:
            made = torch.addmm(self.layer(rows).float(), rows.float() @ self.down.t(), self.up.t()).to(states.dtype)
        return made.view(*states.shape[:-1], -1)


@dataclass(frozen=True)
class _Place:
    """Which outputs of a module a layer of the checkpoint became."""

    module: str
    begin: int
    size: int


def attach(model: Any, adapter: adapters.Adapter, folder: Path) -> bool:
    """Put an adapter beside a model's 8-bit layers, in place; False, and no change, where it changes other weights too.

    Raises ModelError for one that does not fit.
    """
    places = _places(model)
    others = adapter.layers.keys() - places.keys()
    if others - {name for name, _ in model.named_modules()}:
        raise adapters.unfit(folder)  # before the base's own weights are made again, to be joined with it
    if others or adapter.whole or adapter.transposed:
        return False
    changes: defaultdict[str, list[str]] = defaultdict(list)
    for layer in adapter.layers:
        changes[places[layer].module].append(layer)
    for name, layers in changes.items():
        owner, _, own = name.rpartition(".")
        module = model.get_submodule(name)
        downs, ups = zip(*(adapter.layers[layer] for layer in layers), strict=True)
        up = torch.zeros(len(module.weight), sum(len(down) for down in downs))
        column = 0
        for layer, down, part in zip(layers, downs, ups, strict=True):
            place, rank = places[layer], len(down)
            if down.shape[1] != module.weight.shape[1] or part.shape != (place.size, rank):
                raise adapters.unfit(folder)
            up[place.begin : place.begin + place.size, column : column + rank] = part
            column += rank
        setattr(model.get_submodule(owner), own, Beside(module, torch.cat(downs), up))
    return True


def _places(model: Any) -> dict[str, _Place]:
    """Where the 8-bit layers are, by their names in the checkpoint; the output matrix is not among them."""
    found = {name: _Place(name, 0, len(module.weight)) for name, module in model.base_model.named_modules()
             if isinstance(module, Int8Linear)}  # fmt: skip
    for name, module in model.base_model.named_modules():
        if isinstance(module, FusedLayer):
            for joined, parts in module.parts.items():
                begin = 0
                for part, size in parts.items():
                    found[f"{name}.{part}"] = _Place(f"{name}.{joined}", begin, size)
                    begin += size
                del found[f"{name}.{joined}"]
    prefix = f"{model.base_model_prefix}."
    return {prefix + name: _Place(prefix + place.module, place.begin, place.size) for name, place in found.items()}
