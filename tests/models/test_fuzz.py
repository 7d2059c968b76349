"""Whatever a checkpoint's files hold: exit 0, 4, 6 or 8, one line, no internal error. Bounded and seeded."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmcli.errors import LlmcliError
from llmcli.models import gguf_check, proportions, safetensors
from llmcli.pipelines import templates
from tests.support.fuzz import bounded

BOUNDED, LOADED = bounded(300), bounded(40)
NUMBERS = st.sampled_from([-(2**63), -1, 0, 1, 2, 3, 64, 2**31, 10**9, 2**62, 10**30, 0.5, 1e308])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def expected(work: Callable[[], Any]) -> None:
    """It ends well, or with an error of llmcli's own that is one line and no bug."""
    errors: list[LlmcliError] = []
    try:
        work()
    except LlmcliError as error:
        errors.append(error)
    assert not [error for error in errors if error.exit_code not in (4, 8) or "\n" in error.line()]


@BOUNDED
@given(st.binary(max_size=200) | st.builds(lambda n, raw: struct.pack("<Q", n) + raw, st.integers(0, 300),
                                            st.binary(max_size=200)))  # fmt: skip
def test_safetensors_bytes(tmp_path: Path, raw: bytes):
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw)
    expected(lambda: safetensors.header(path))


@BOUNDED
@given(st.dictionaries(st.text(max_size=5), VALUES | st.fixed_dictionaries(
    {"dtype": st.sampled_from(["F32", "F4", "BF16", "X"]) | VALUES, "shape": st.lists(NUMBERS, max_size=20) | VALUES,
     "data_offsets": st.lists(NUMBERS, min_size=2, max_size=2) | VALUES}), max_size=4))  # fmt: skip
def test_safetensors_headers(tmp_path: Path, header: dict[str, Any]):
    raw = json.dumps(header).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + b"\0" * 64)
    expected(lambda: safetensors.header(path))


@BOUNDED
@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 40), max_size=12), st.binary(max_size=60))
def test_gguf_headers(tmp_path: Path, numbers: list[int], behind: bytes):
    path = tmp_path / "x.gguf"
    words = struct.pack(f"<{len(numbers)}Q", *numbers)
    path.write_bytes(b"GGUF" + struct.pack("<I", 3) + words + behind)
    expected(lambda: gguf_check.header(path))


KEYS = ["num_hidden_layers", "hidden_size", "vocab_size", "num_attention_heads", "num_key_value_heads", "head_dim",
        "intermediate_size", "max_position_embeddings", "sliding_window", "rope_theta", "layer_types",
        "rope_parameters", "rms_norm_eps", "attention_bias", "hidden_activation", "pad_token_id", "eos_token_id",
        "dtype", "torch_dtype", "tie_word_embeddings", "architectures", "model_type", "quantization_config",
        "attn_implementation", "id2label", "num_labels", "transformers_weights", "use_cache", "text_config",
        "_name_or_path"]  # fmt: skip


@pytest.fixture
def ask(cli, tiny_causal: Path, tmp_path: Path) -> Callable[[str, bytes], None]:
    """Ask a checkpoint with one file replaced."""

    def run(name: str, raw: bytes) -> None:
        shutil.rmtree(tmp_path / "model", ignore_errors=True)
        folder = shutil.copytree(tiny_causal, tmp_path / "model")
        (folder / name).write_bytes(raw)
        done = cli("sentiment", "-m", str(folder), "good")
        assert done.code in (0, 3, 4, 6, 8), done.err
        assert (done.err.count("\n") <= 1, "internal" in done.err) == (True, False), done.err

    return run


@LOADED
@example(values={"sliding_window": None})
@given(st.dictionaries(st.sampled_from(KEYS), VALUES, min_size=1, max_size=3))
def test_configs(ask, tiny_causal: Path, values: dict[str, Any]):
    ask("config.json", json.dumps(json.loads((tiny_causal / "config.json").read_text()) | values).encode())


PARTS = ["version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder",
         "model"]  # fmt: skip


@LOADED
@given(st.dictionaries(st.sampled_from(PARTS), VALUES, min_size=1, max_size=2))
def test_tokenizers(ask, tiny_causal: Path, values: dict[str, Any]):
    ask("tokenizer.json", json.dumps(json.loads((tiny_causal / "tokenizer.json").read_text()) | values).encode())


SETTINGS = ["added_tokens_decoder", "model_max_length", "tokenizer_class", "eos_token", "pad_token", "chat_template",
            "extra_special_tokens", "additional_special_tokens", "padding_side", "model_input_names", "auto_map",
            "chat_control_tokens", "fast_tokenizer_files", "vocab_file", "init_inputs"]  # fmt: skip


@LOADED
@given(st.dictionaries(st.sampled_from(SETTINGS), VALUES, min_size=1, max_size=3))
def test_tokenizer_settings(ask, tiny_causal: Path, values: dict[str, Any]):
    found = json.loads((tiny_causal / "tokenizer_config.json").read_text())
    ask("tokenizer_config.json", json.dumps(found | values).encode())


@BOUNDED
@given(st.recursive(VALUES, lambda inner: st.dictionaries(st.sampled_from(KEYS), inner, max_size=4), max_leaves=8))
def test_numbers(values: Any):
    config = values if isinstance(values, dict) else {"a": values}
    expected(lambda: proportions.check_numbers(config, {"a": safetensors.Tensor("F32", (4, 4))}, where="x"))


PIECES = ["{{", "}}", "{%", "%}", "messages", "[0]", ".content", " for m in ", "endfor", "'x'", " * ", " ** ", "999",
          "range(", ")", " | ", "tojson", "center(", " + ", "if ", "endif", "set a = ", "namespace(",
          "raise_exception(", "loop.index", "\n", "-", "<eos>"]  # fmt: skip


@BOUNDED
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_templates(template: str):
    messages = [{"role": "user", "content": "a"}]
    expected(lambda: templates.renderer.render(template, {"messages": messages}))
