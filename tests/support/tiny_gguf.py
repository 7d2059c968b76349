"""A GGUF file that loads, small enough for a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

WIDTH, INNER, LAYERS = 32, 64, 2


def write(path: Path) -> Path:
    """A llama of two LAYERS with random weights, its tokenizer one byte a token."""
    import gguf
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    tokens = ["<s>", "</s>", *letters, "th"]
    writer = gguf.GGUFWriter(path, "llama")
    _keys(writer, tokens)
    for name, weight in _weights(len(tokens)):
        writer.add_tensor(name, weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _keys(writer: Any, tokens: list[str]) -> None:
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, *[1] * (len(tokens) - 2)])
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)


def _weights(vocabulary: int) -> Iterator[tuple[str, np.ndarray]]:
    """Random matrices, and norms of ones."""
    random = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (vocabulary, WIDTH), "output_norm.weight": (WIDTH,), "output.weight": (vocabulary, WIDTH),
    }  # fmt: skip
    for layer in range(LAYERS):
        at = f"blk.{layer}."
        shapes |= {f"{at}{name}_norm.weight": (WIDTH,) for name in ("attn", "ffn")}
        shapes |= {f"{at}attn_{name}.weight": (WIDTH, WIDTH) for name in ("q", "k", "v", "output")}
        shapes |= {f"{at}ffn_{name}.weight": (INNER, WIDTH) for name in ("gate", "up")}
        shapes[f"{at}ffn_down.weight"] = (WIDTH, INNER)
    for name, shape in shapes.items():
        norm = len(shape) == 1
        yield name, np.ones(shape, np.float32) if norm else random.normal(0, 0.3, shape).astype(np.float32)
