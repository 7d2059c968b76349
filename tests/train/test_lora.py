"""An adapter's files: what was trained, what peft reads, and what is joined at load give the same logits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode

from llmcli.errors import ModelError
from llmcli.models import adapters, loading
from llmcli.train import lora

KINDS = {"gemma3": "causal", "gpt2": "causal", "qwen3": "causal", "marian": "seq2seq", "distilbert": "classification"}


def module(folder: Path, kind: str) -> Any:
    return loading.head(kind).from_pretrained(folder, dtype=torch.float32, **loading.SAFE).eval()


def logits(model: Any, kind: str) -> torch.Tensor:
    ids = torch.tensor([[5, 6, 7, 8, 9], [10, 11, 12, 13, 14]])
    more = {"decoder_input_ids": ids[:, :3]} if kind == "seq2seq" else {}
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=ids, **more).logits
    return found


@pytest.fixture(params=KINDS)
def trained(request: Any, checkpoint: Any, tmp_path: Path) -> tuple[Path, Path, str, torch.Tensor]:
    """The base's folder, the adapter's, the pipeline, and the logits of the model as it was trained."""
    kind, base = KINDS[request.param], checkpoint(request.param)
    model = module(base, kind)
    plain = logits(model, kind)
    adapter = lora.inject(model, rank=4, seed=3, pipeline=kind)
    assert torch.equal(logits(model, kind), plain)  # it begins as no change
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in adapter.parameters.values():
            parameter += 0.2 * torch.randn(parameter.shape, generator=draw)
    lora.save(adapter, adapter.parameters, tmp_path, base=str(base), pipeline=kind)
    found = logits(model, kind)
    assert (found - plain).abs().max() > 0.01
    adapter.merge(model)
    assert torch.allclose(logits(model, kind), found, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(inner, lora.Adapted) for inner in model.modules())
    return base, tmp_path, kind, found


def test_peft_gives_the_same_logits(trained):
    from peft import PeftModel

    base, folder, kind, found = trained
    model = PeftModel.from_pretrained(module(base, kind), folder).eval()
    assert torch.allclose(logits(model, kind), found, atol=1e-4, rtol=1e-4)


def test_joined_weights_give_the_same_logits(trained):
    base, folder, kind, found = trained
    model = module(base, kind)
    adapters.join(model, folder)
    assert torch.allclose(logits(model, kind), found, atol=1e-4, rtol=1e-4)


class OneDevice(TorchDispatchMode):
    """Sums are of one device, as a GPU asks for; the device "meta", which has no values, would let it pass."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket is torch.ops.aten.add_:
            assert len({part.device for part in args if isinstance(part, torch.Tensor)}) == 1
        return func(*args, **(kwargs or {}))


def test_weights_of_another_device_are_joined(trained):
    """As on a GPU: the model is there before its adapter is read."""
    base, folder, kind, _ = trained
    with OneDevice():
        adapters.join(module(base, kind).to("meta"), folder)


def test_what_peft_wrote_is_joined(checkpoint, tmp_path: Path):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    config = LoraConfig(r=4, lora_alpha=12, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    model = get_peft_model(module(checkpoint("gemma3"), "causal"), config).eval()
    model.save_pretrained(tmp_path)
    joined = module(checkpoint("gemma3"), "causal")
    adapters.join(joined, tmp_path)
    assert torch.allclose(logits(joined, "causal"), logits(model, "causal"), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"use_dora": True}, "another kind of adapter"),
        ({"bias": "all"}, "another kind of adapter"),
        ({"rank_pattern": {"q_proj": 2}}, "another kind of adapter"),
        ({"peft_type": "LOHA"}, "another kind of adapter"),
        ({"r": 0}, "does not fit"),
    ],
)
def test_another_kind_of_adapter_is_refused(change, said, checkpoint, tmp_path: Path):
    base = checkpoint("gemma3")
    lora.save(
        lora.inject(module(base, "causal"), rank=2, seed=0, pipeline="causal"), {}, tmp_path, base="", pipeline="causal"
    )
    path = tmp_path / adapters.CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    save_file({f"{adapters.PREFIX}model.layers.0.self_attn.q_proj{end}": torch.ones(2, 2) for end in (adapters.UP, adapters.DOWN)},  # noqa: E501
              tmp_path / adapters.WEIGHTS)  # fmt: skip
    with pytest.raises(ModelError, match=said):
        adapters.join(module(base, "causal"), tmp_path)


@pytest.mark.parametrize("damage", ["lacks a matrix", "other sizes", "cut off", "another layer", "empty"])
def test_a_damaged_adapter_is_refused(damage: str, trained, tmp_path_factory: pytest.TempPathFactory):
    base, folder, kind, _ = trained
    folder = Path(shutil.copytree(folder, tmp_path_factory.mktemp("damaged") / "m"))
    path = folder / adapters.WEIGHTS
    tensors = load_file(path)
    first = next(name for name in tensors if name.endswith(adapters.UP))
    if damage == "lacks a matrix":
        tensors.pop(first)
    elif damage == "other sizes":
        tensors[first] = tensors[first][:-1].contiguous()
    elif damage == "another layer":
        tensors[first.replace(adapters.PREFIX, adapters.PREFIX + "x.")] = tensors.pop(first)
    save_file({} if damage == "empty" else tensors, path)
    if damage == "cut off":
        path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ModelError):
        adapters.join(module(base, kind), folder)
