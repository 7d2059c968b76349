"""Decoder layers of the Llama, Qwen 2 and Gemma 3 kinds in fewer steps: for 8-bit weights, which round anyway.

At one token a step, a layer's arithmetic is over in a fraction of a millisecond, and starting each operation takes as
long. Here one product gives queries, keys and values, one the two halves of the feed-forward layer, and norms and
rotations are single operations; attention and the cache are transformers' own.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch.nn.functional import rms_norm
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from llmcli.pipelines.fast import known

LLAMA = ("input_layernorm", None, "post_attention_layernorm", None)
NORMS = {
    "LlamaDecoderLayer": LLAMA,
    "Qwen2DecoderLayer": LLAMA,
    "Gemma3DecoderLayer": ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
                           "post_feedforward_layernorm"),
}  # fmt: skip
"""The norms before and behind attention, and before and behind the feed-forward layer, of each kind of layer."""
FEW = 16
"""Tokens below which what is between two products stays bfloat16, as the 8-bit kernel reads and writes it."""
MULTIPLE = 32
"""The kernel takes sizes that are multiples of it."""
PARTS = {"self_attn": ("qkv", ("q_proj", "k_proj", "v_proj")), "mlp": ("gate_up", ("gate_proj", "up_proj"))}
"""What is joined: in which module, under which name, of which linear layers."""


class Norm(torch.nn.Module):
    """Root mean square norm in float32. Gemma's weights are differences from one."""

    def __init__(self, norm: Any, *, offset: float) -> None:
        super().__init__()
        self.weight, self._offset = norm.weight, offset
        self._eps = float(getattr(norm, "eps", None) or norm.variance_epsilon)
        self._scale: torch.Tensor | None = None

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(…, width) to (…, width)."""
        if self._scale is None:
            self._scale = self.weight.detach().float() + self._offset
        return rms_norm(states.float(), self._scale.shape, self._scale, self._eps).to(states.dtype)


class FusedLayer(torch.nn.Module):
    """Stands for a decoder layer, whose modules it takes over under their names."""

    def __init__(self, layer: Any, parts: dict[str, dict[str, int]]) -> None:
        super().__init__()
        self.parts = parts
        """The outputs of each joined module: whose they were, and how many, in order."""
        offset = 1.0 if type(layer).__name__.startswith("Gemma") else 0.0
        self.self_attn, self.mlp = layer.self_attn, layer.mlp
        for name in filter(None, NORMS[type(layer).__name__]):
            setattr(self, name, Norm(getattr(layer, name), offset=offset))
        for name in ("q_norm", "k_norm"):
            if hasattr(self.self_attn, name):
                setattr(self.self_attn, name, Norm(getattr(self.self_attn, name), offset=offset))
        self._norms = [getattr(self, name) if name else torch.nn.Identity() for name in NORMS[type(layer).__name__]]
        config, attention = self.self_attn.config, self.self_attn
        self._heads = config.num_attention_heads, config.num_key_value_heads
        self._normed = hasattr(attention, "q_norm")
        self._window = {"sliding_window": attention.sliding_window} if hasattr(attention, "sliding_window") else {}

    def forward(
        self, hidden_states: torch.Tensor, *, attention_mask: torch.Tensor | None = None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor], cache: Any = None, past_key_values: Any = None,
        **_: Any,
    ) -> torch.Tensor:  # fmt: skip
        """(rows, tokens, width) to (rows, tokens, width), as the layer that it stands for."""
        before, behind, before_mlp, behind_mlp = self._norms
        mlp, held = self.mlp, cache if cache is not None else past_key_values
        few = hidden_states.shape[0] * hidden_states.shape[1] < FEW
        kind = torch.bfloat16 if few else hidden_states.dtype
        mixed = self.self_attn.qkv(before(hidden_states).to(kind)).to(hidden_states.dtype)
        made = self._attend(mixed, attention_mask, position_embeddings, held).to(kind)
        hidden_states = hidden_states + behind(self.self_attn.o_proj(made))
        gate, up = mlp.gate_up(before_mlp(hidden_states).to(kind)).chunk(2, dim=-1)
        after: torch.Tensor = behind_mlp(mlp.down_proj(mlp.act_fn(gate) * up))
        return hidden_states + after

    def _attend(
        self, mixed: torch.Tensor, mask: torch.Tensor | None, places: tuple[torch.Tensor, torch.Tensor], held: Any
    ) -> torch.Tensor:
        """From queries, keys and values side by side to what attention makes of them, (rows, tokens, width)."""
        attention, (queries, keys) = self.self_attn, self._heads
        rows, tokens, _ = mixed.shape
        mixed = mixed.view(rows, tokens, -1, attention.head_dim).transpose(1, 2)
        turned, value = mixed[:, : queries + keys], mixed[:, queries + keys :]
        if self._normed:
            turned = torch.cat([attention.q_norm(turned[:, :queries]), attention.k_norm(turned[:, queries:])], dim=1)
        cos, sin = places
        first, second = turned.chunk(2, dim=-1)
        turned = torch.addcmul(turned * cos[:, None], torch.cat([-second, first], dim=-1), sin[:, None])
        query, key = turned[:, :queries], turned[:, queries:]
        if held is not None:
            key, value = held.update(key, value, attention.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS[attention.config._attn_implementation]
        made: torch.Tensor = attend(attention, query, key, value, mask, dropout=0.0, scaling=attention.scaling,
                                    **self._window)[0]  # fmt: skip
        return made.reshape(rows, tokens, -1)


def fuse(model: Any, *, empty: bool = False) -> set[str]:
    """Replace the layers that are of a known kind, in place; the names of the weights that were joined.

    With a version of transformers that the kinds were not compared with, one layer is compared first, if it has its
    weights: ``empty`` tells that they are not there yet.
    """
    layers = getattr(model.base_model, "layers", [])
    fit = model.config._attn_implementation == "sdpa" and all(type(layer).__name__ in NORMS and _whole(layer)
                                                              for layer in layers)  # fmt: skip
    if not (len(layers) and fit and (known.tested_version() or (not empty and _faithful(layers[0])))):
        return set()
    gone = set()
    for place, layer in enumerate(layers):
        layers[place], joined = _fused(layer, empty=empty)
        gone |= joined
    names = [name for name, module in model.named_modules() if isinstance(module, FusedLayer)]
    return {f"{name}.{tensor}" for name in names for tensor in gone}


def fast(model: Any) -> bool:
    """Whether a model has such layers."""
    return any(isinstance(module, FusedLayer) for module in model.modules())


def _fused(layer: Any, *, empty: bool = False) -> tuple[FusedLayer, set[str]]:
    """What stands for a layer, and the names of the weights that were joined in it."""
    gone: set[str] = set()
    sizes: dict[str, dict[str, int]] = {}
    for owner, (name, parts) in PARTS.items():
        module = getattr(layer, owner)
        sizes[f"{owner}.{name}"] = {f"{owner}.{part}": getattr(module, part).out_features for part in parts}
        setattr(module, name, _joined([getattr(module, part) for part in parts], empty=empty))
        for part in parts:
            gone |= {f"{owner}.{part}.{tensor}" for tensor, _ in getattr(module, part).named_parameters()}
            delattr(module, part)
    return FusedLayer(layer, sizes), gone


@torch.inference_mode()
def _faithful(layer: Any) -> bool:
    """Whether what stands for a layer gives what the layer itself gives, of any states and rotations."""
    weight, width = layer.self_attn.o_proj.weight, layer.self_attn.head_dim
    states, *places = (torch.randn(1, FEW, size).to(weight) for size in (weight.shape[0], width, width))
    options = {"attention_mask": None, "position_embeddings": tuple(places)}
    try:
        found = layer(states, **options), _fused(deepcopy(layer))[0](states, **options)
    except (RuntimeError, TypeError, ValueError, AttributeError, LookupError):
        return False
    close = 1e-3 if weight.dtype == torch.float32 else 0.1
    return bool((found[0] - found[1]).abs().max() <= close * found[0].std())


def _whole(layer: Any) -> bool:
    """Whether all its products can have 8-bit weights, so that all of them read bfloat16."""
    joined = [[getattr(getattr(layer, owner), part) for part in parts] for owner, (_, parts) in PARTS.items()]
    sizes = [sum(part.out_features for part in parts) for parts in joined]
    return all(not size % MULTIPLE for size in sizes) and fits(layer.self_attn.o_proj) and fits(layer.mlp.down_proj)


def fits(layer: torch.nn.Linear) -> bool:
    """Whether a layer's sizes are such that it can have 8-bit weights."""
    return not (layer.in_features % MULTIPLE or layer.out_features % MULTIPLE)


def _joined(parts: list[Any], *, empty: bool) -> torch.nn.Linear:
    """One linear layer whose outputs are those of several."""
    first, bias = parts[0], parts[0].bias is not None
    size = sum(part.out_features for part in parts)
    whole = torch.nn.Linear(first.in_features, size, bias=bias, device="meta", dtype=first.weight.dtype)
    if not empty:
        whole.weight = torch.nn.Parameter(torch.cat([part.weight.detach() for part in parts]), requires_grad=False)
        if bias:
            whole.bias = torch.nn.Parameter(torch.cat([part.bias.detach() for part in parts]), requires_grad=False)
    return whole
