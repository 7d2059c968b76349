"""How large batches are: on a CPU a measured size, on a GPU what its free memory holds, up to what is quicker."""

from __future__ import annotations

from typing import Any

from llmcli.models import memory
from llmcli.pipelines.batching import Budget

ROWS, TOKENS = 32, 4096
"""A CPU's most rows and most padded tokens; measured on two cores, larger batches are no faster."""
BEGIN, MOST = 256, 2048
"""A GPU's rows at the beginning and at the most."""
SHARE = 0.6
"""Of the free memory, what batches may take: what passes need besides is estimated."""
STATES, INNER = 16, 4
"""Hidden states, and states of feed-forward layers, that a pass holds at a time for each of its tokens."""
COPIES = 4
"""Copies of a vocabulary's scores, in float32, that choosing a token takes."""


def budget(model: Any, batch_size: int | None) -> Budget:
    """The budget of a model's batches; a user's ``batch_size`` is taken as it is."""
    if batch_size is not None:
        return Budget(batch_size, 1 << 40)
    config, width = model.config.get_text_config(), model.dtype.itemsize
    if model.device.type == "cuda":
        return fitting(config, free=memory.spare(str(model.device)), width=width)
    return on_cpu(config, free=memory.free(), width=width)


def on_cpu(config: Any, *, free: int | None, width: int) -> Budget:
    """The budget of a model on a CPU: rows that are written together take the room of their whole length at once."""
    holds = max(int(free * SHARE) // (_held(config) * width), 1) if free is not None else 0
    return Budget(ROWS, TOKENS, holds=holds)


def fitting(config: Any, *, free: int, width: int) -> Budget:
    """The budget of a model on a device with ``free`` bytes left, whose numbers have ``width`` bytes."""
    room = int(free * SHARE)
    held, read = _held(config) * width, _read(config) * width
    # Half for what is read at once, half for what is kept of rows that are written.
    tokens, holds = max(room // 2 // (held + read), 1), max(room // 2 // held, 1)
    scores = max(room // 2 // (4 * COPIES * int(config.vocab_size)), 1)
    most = max(min(MOST, 1 << (scores.bit_length() - 1)), 1)
    return Budget(min(BEGIN, most), tokens, most=most, holds=holds)


def _held(config: Any) -> int:
    """Numbers that a token's keys and values are, in all layers."""
    layers, heads = _one(config, "num_hidden_layers", "n_layer", "num_layers"), _one(config, "num_attention_heads")
    width = _one(config, "head_dim") or _hidden(config) // max(heads, 1)
    groups = _one(config, "num_key_value_heads") or heads
    return max(2 * layers * groups * width, 1)


def _read(config: Any) -> int:
    """Numbers that a pass holds for a token."""
    inner = _one(config, "intermediate_size", "n_inner", "d_ff", "encoder_ffn_dim", "ffn_dim") or 4 * _hidden(config)
    return STATES * _hidden(config) + INNER * inner


def _hidden(config: Any) -> int:
    return _one(config, "hidden_size", "n_embd", "d_model", "dim")


def _one(config: Any, *names: str) -> int:
    return next((int(value) for name in names if isinstance(value := getattr(config, name, None), int)), 0)
