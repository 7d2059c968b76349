"""What of other libraries is relied on though they do not promise it: a version that lacks it fails here first."""

from __future__ import annotations

import inspect
from typing import Any

import pytest


def gguf_reader() -> Any:
    """models/gguf.py gives GGUFReader's ``_get`` a plain array for its memory map."""
    import gguf

    return gguf.GGUFReader._get


def gguf_loading() -> Any:
    """models/gguf.py reads tensors with transformers' own reader."""
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    return load_gguf_checkpoint


def hub_hooks() -> Any:
    """models/transfer.py counts the bytes of huggingface_hub's client."""
    from huggingface_hub.utils import get_session

    return get_session().event_hooks["response"]


def typer_errors() -> Any:
    """cli/app.py turns Typer's errors into its own, by their context and message."""
    import typer

    assert {"format_message"} <= set(dir(typer.TyperException))
    return typer.Abort


def typer_parameters() -> Any:
    """cli/flatten.py hands Typer a signature in place of a function's own."""
    import typer

    def work(**values: Any) -> None: ...

    signature = inspect.Signature([inspect.Parameter("x", inspect.Parameter.KEYWORD_ONLY, default="", annotation=str)])
    work.__signature__ = signature  # type: ignore[attr-defined]
    work.__annotations__ = {"x": str}
    app = typer.Typer()
    app.command()(work)
    return typer.main.get_command(app).params[0].name == "x"


def typer_help() -> Any:
    """cli/quick_help.py gives the help option a value."""
    import typer.core

    return typer.core.TyperGroup.get_help_option


def recorded_attention() -> Any:
    """inspecting/recording.py listens to a model's own eager attention."""
    from transformers.masking_utils import eager_mask
    from transformers.models.llama.modeling_llama import eager_attention_forward

    return eager_mask and eager_attention_forward


def shared_layers() -> Any:
    """pipelines/fast/attention.py extends a layer of the cache, and registers attention and its mask."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.cache_utils import DynamicLayer

    assert callable(AttentionInterface.register)
    assert callable(AttentionMaskInterface.register)
    return DynamicLayer.batch_select_indices


def int8_kernel() -> Any:
    """pipelines/fast/quantization.py multiplies by 8-bit weights."""
    import torch

    return torch._weight_int8pack_mm


INTERNALS = [gguf_reader, gguf_loading, hub_hooks, typer_errors, typer_parameters, typer_help, recorded_attention,
             shared_layers, int8_kernel]  # fmt: skip


@pytest.mark.parametrize("internal", INTERNALS, ids=lambda internal: internal.__name__)
def test_it_is_there(internal: Any):
    assert internal() is not None
    assert internal.__doc__
