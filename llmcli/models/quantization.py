"""Weight-only int8: each output channel's weights as whole numbers from -127 to 127, times a scale of its own.

A processor without bfloat16 arithmetic waits for memory at every token; weights of a quarter the size come four times
as fast. Activations stay as they are but for bfloat16 rounding before each product: quantizing them too is what breaks
such models (their few huge activations; Dettmers et al., "LLM.int8()", NeurIPS 2022).
"""

from __future__ import annotations

from typing import Any

import torch

CHUNK = 1 << 14
"""Channels that are rounded at a time, so that a large output matrix needs little memory more."""
MULTIPLE = 32
"""The kernel takes sizes that are multiples of it."""


class Int8Linear(torch.nn.Module):
    """Stands for a ``torch.nn.Linear`` of the same sizes."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        weight, scale = _rounded(linear.weight.detach())
        self.weight = torch.nn.Parameter(weight, requires_grad=False)
        self.scale = torch.nn.Parameter(scale, requires_grad=False)
        self.bias = linear.bias

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(…, in) to (…, out), in the type that came."""
        flat = states.reshape(-1, states.shape[-1]).to(torch.bfloat16)
        made = torch._weight_int8pack_mm(flat, self.weight, self.scale).to(states.dtype)
        made = made if self.bias is None else made + self.bias
        return made.view(*states.shape[:-1], -1)


def _rounded(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Whole numbers (out, in) and scales (out)."""
    whole = torch.empty(weight.shape, dtype=torch.int8)
    scale = torch.empty(len(weight), dtype=torch.bfloat16)
    for begin in range(0, len(weight), CHUNK):
        part = weight[begin : begin + CHUNK].float()
        # The scale is rounded first: the numbers then are of the scale that the kernel uses.
        scale[begin : begin + CHUNK] = (part.abs().amax(1) / 127).clamp(min=1e-12).to(torch.bfloat16)
        steps = part / scale[begin : begin + CHUNK, None].float()
        whole[begin : begin + CHUNK] = steps.round_().clamp_(-127, 127).to(torch.int8)
    return whole, scale


def int8(model: Any) -> Any:
    """Quantize a model's linear layers, the output matrix among them, in place."""
    for name, layer in [*model.named_modules()]:
        if type(layer) is torch.nn.Linear and not (layer.in_features % MULTIPLE or layer.out_features % MULTIPLE):
            owner, _, own = name.rpartition(".")
            setattr(model.get_submodule(owner), own, Int8Linear(layer))
    return model
