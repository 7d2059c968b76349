"""Weight-only int8: each output channel's weights as whole numbers from -127 to 127, times a scale of its own.

A processor waits for memory at every token; weights of a quarter the size come four times as fast. Activations stay as
they are but for bfloat16 rounding before each product: quantizing them too is what breaks such models (their few huge
activations; Dettmers et al., "LLM.int8()", NeurIPS 2022).

With many rows it is arithmetic that takes the time. A processor with bfloat16 instructions then multiplies by the
weights as they were, which are kept beside the whole numbers; one with AVX2 alone by the whole numbers as float32, made
a block at a time so that they stay in its cache; others are quicker with torch's own kernel still.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from llmcli.models import derived, originals
from llmcli.pipelines.fast import fused

CHUNK = 1 << 14
"""Channels that are rounded at a time, so that a large output matrix needs little memory more."""
WEIGHT, SCALE = ".weight", ".scale"
FEW, FEW_BESIDE_TILES = 8, 4
"""Rows up to which whole numbers are quicker than bfloat16 weights: measured on an AVX512_BF16 processor, 1 to 8 rows
take 0.5 to 0.7 of the time for an output matrix of (262144, 640), 32 rows twice the time. Where products in bfloat16
have tiles (AMX), up to 4 rows take 0.3 to 0.8 of the time for eight sizes of matrices, 6 rows 0.9 to 1.5 of it."""
MANY = 64
"""Rows from which blocks of float32 are quicker than the kernel, measured on a processor with AVX2: for a matrix of
(2048, 640) 0.8 of its time at 128 rows, 0.65 from 480 rows on."""
BLOCK = 1024 * 640
"""Weights of a block."""


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
        if self.dense is not None and len(flat) > few():
            return torch.nn.functional.linear(states, self.dense, self.bias)
        if _blocks() and len(flat) >= MANY:
            made = self._widened(flat.float()).to(states.dtype)
        else:
            made = torch._weight_int8pack_mm(flat.to(torch.bfloat16), self.weight, self.scale).to(states.dtype)
        made = made if self.bias is None else made + self.bias
        return made.view(*states.shape[:-1], -1)

    def _widened(self, rows: torch.Tensor) -> torch.Tensor:
        """(rows, in) to (rows, out) in float32, as fast as with float32 weights."""
        made = rows.new_empty(len(rows), len(self.weight))
        size = max(BLOCK // rows.shape[1], 1)
        for begin in range(0, len(self.weight), size):
            part = slice(begin, begin + size)
            torch.mm(rows, _wide(self.weight[part]).t(), out=made[:, part])
        return made.mul_(self.scale.float())

    def blocks(self, rows: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
        """(rows, in) to blocks of (channels, rows) in float32, and each one's first channel."""
        size = max(2 * BLOCK // rows.shape[1], 1)
        columns = rows.float().t()
        for begin in range(0, len(self.weight), size):
            part = slice(begin, begin + size)
            made = torch.mm(_wide(self.weight[part]), columns).mul_(self.scale[part, None].float())
            yield begin, made if self.bias is None else made.add_(self.bias[part, None])

    @property
    def by_blocks(self) -> bool:
        """Whether many rows are quickest by blocks."""
        return self.dense is None and _blocks()

    def rows(self, channels: torch.Tensor) -> torch.Tensor:
        """The weights of some output channels, (channels, in), in float32."""
        return self.weight[channels].float() * self.scale[channels, None].float()


@cache
def few() -> int:
    """Rows up to which whole numbers are quicker than bfloat16 weights on this processor."""
    return FEW_BESIDE_TILES if torch.cpu.get_capabilities().get("amx_bf16") else FEW


@cache
def _blocks() -> bool:
    return torch.backends.cpu.get_cpu_capability() == "AVX2"


_scratch = threading.local()


def _wide(whole: torch.Tensor) -> torch.Tensor:
    """Whole numbers as float32, in memory that the thread's next call uses again: fresh memory takes longer."""
    if getattr(_scratch, "kept", None) is None or _scratch.kept.numel() < whole.numel():
        with torch.inference_mode(False):  # what is made inside could not be written to outside
            _scratch.kept = torch.empty(max(whole.numel(), 2 * BLOCK))
    wide: torch.Tensor = _scratch.kept[: whole.numel()].view(whole.shape)
    return wide.copy_(whole)


def stored(dtype: torch.dtype, weights: str) -> tuple[str, str]:
    """The files of 8-bit weights, and of those beside them, whose numbers are of ``dtype``."""
    rest = originals.HALF if dtype == torch.bfloat16 else originals.REST
    return derived.of(originals.WHOLE, weights), derived.of(rest, weights)


def int8(model: Any, folder: Path | None = None, *, weights: str = "", whole: bool = True) -> Any:
    """Quantize a model's linear layers, the output matrix among them, in place; some are joined first.

    What is made is kept in ``folder``, of the store, as made of these ``weights``: rounding takes longer than reading.
    What is not rounded is kept too, in bfloat16 with the rest, where the checkpoint itself will not do: it is of
    another dtype, or not to stay ``whole``.
    """
    if hasattr(model, "base_model"):
        fused.fuse(model)
    if folder is None:
        return replaced(model, _all_rounded(model))
    rounded, beside = stored(model.dtype, weights)
    tensors: Mapping[str, torch.Tensor] | None = derived.read(folder, rounded)
    if tensors is None or set(tensors) != names(model):
        derived.discard(folder, rounded)
        tensors = _all_rounded(model)
        derived.write(folder, rounded, tensors)
    if model.dtype == torch.bfloat16 or not whole:
        left_out = set(model.all_tied_weights_keys) | _not_beside(model)
        own = {name: weight for name, weight in model.state_dict().items() if name not in left_out}
        if set(derived.read(folder, beside) or {}) != set(own):
            derived.discard(folder, beside)
            derived.write(folder, beside, own)
    return replaced(model, tensors)


def _not_beside(model: Any) -> set[str]:
    """The weights that 8-bit ones stand for; those in bfloat16 are there too, for many rows."""
    return set() if model.dtype == torch.bfloat16 else {f"{layer}.weight" for layer in layers(model)}


def restored(folder: Path | None, auto: Any, dtype: torch.dtype, *, weights: str) -> Any:
    """The 8-bit model of a stored checkpoint that was loaded before; None where it has to be loaded whole.

    Rounded weights take the place of those that they were made of; what remains is mapped, and read where it is used:
    of a table of 262,144 embeddings a few rows. ``auto`` is the class of transformers that loads it, ``dtype`` of the
    weights that are not rounded, ``weights`` which they are.
    """
    from transformers import AutoConfig, GenerationConfig
    from transformers.initialization import no_init_weights, no_tie_weights

    rounded, beside = stored(dtype, weights)
    whole, rest = derived.read(folder, rounded), derived.read(folder, beside)
    if rest is None and dtype != torch.bfloat16:
        rest = derived.read(folder, originals.FULL)
    if folder is None or whole is None or rest is None or any(weight.dtype != dtype for weight in rest.values()):
        return None
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    with no_init_weights(), no_tie_weights():
        model = auto.from_config(config, dtype=dtype, trust_remote_code=False)
    joined = fused.fuse(model, empty=True)
    if not joined:
        return None  # other kinds of layers were not compared; some fill buffers while weights are set
    found = model.load_state_dict(rest, strict=False, assign=True)
    model.tie_weights()
    if (
        set(found.missing_keys) - _not_beside(model) - set(model.all_tied_weights_keys)
        or set(found.unexpected_keys) - joined
    ):
        return None
    if set(whole) != names(model):
        return None
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    model.held = whole, rest  # as long as it lives, the next model of the same weights has them too
    return replaced(model.eval(), whole)


def layers(model: Any) -> dict[str, Any]:
    """The linear layers that can be quantized, by name."""
    return {
        name: layer for name, layer in model.named_modules()
        if type(layer) is torch.nn.Linear and fused.fits(layer)
    }  # fmt: skip


def names(model: Any) -> set[str]:
    """What the tensors of a quantized model's layers are called."""
    return {name + end for name in layers(model) for end in (WEIGHT, SCALE)}


def replaced(model: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """The model with whole numbers in place of its layers' weights."""
    for name, layer in layers(model).items():
        owner, _, own = name.rpartition(".")
        whole = Int8Linear(tensors[name + WEIGHT], tensors[name + SCALE], layer)
        setattr(model.get_submodule(owner), own, whole)
    return model


def _all_rounded(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor for key, layer in layers(model).items() for name, tensor in _rounded(key, layer.weight)}


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
