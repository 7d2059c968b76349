"""An adapter beside 8-bit weights gives what joined weights give, and the base's weights are held once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from llmcli import tasks
from llmcli.errors import ModelError
from llmcli.models import adapters, devices, loading
from llmcli.pipelines import load
from llmcli.pipelines.fast.beside import Beside
from llmcli.pipelines.fast.quantization import Int8Linear
from llmcli.run import resolve
from llmcli.train import lora
from llmcli.worker.resident import Resident
from tests.support import families, tiny, tiny_gguf

WIDE: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 32, "num_key_value_heads": 1}
"""Sizes at which all products of a layer have 8-bit weights; queries are wider than keys."""


@pytest.fixture(params=["llama", "qwen2", "gemma3"])
def base(request: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    families.build(request.param, **WIDE).save_pretrained(folder)
    tiny.byte_tokenizer().save_pretrained(folder)
    return folder


def adapter(base: Path, folder: Path, *, only: tuple[str, ...] = (), seed: int = 5) -> Path:
    """A random adapter on the base's linear layers, or on those whose names end so."""
    folder.mkdir()
    module = loading.head("causal").from_pretrained(base, dtype=torch.float32, **loading.SAFE)
    made = lora.inject(module, rank=4, seed=3, pipeline="causal")
    draw = torch.Generator().manual_seed(seed)
    tensors = {name: tensor + 0.1 * torch.randn(tensor.shape, generator=draw)
               for name, tensor in made.parameters.items()
               if not only or name.removesuffix(adapters.UP).removesuffix(adapters.DOWN).endswith(only)}  # fmt: skip
    lora.save(made, tensors, folder, base=str(base), pipeline="causal")
    return describe(folder, {"path": str(base)})


def describe(folder: Path, source: dict[str, str]) -> Path:
    (folder / "model.yaml").write_text(yaml.safe_dump({"name": "trained", "source": source, "pipeline": "causal"}))
    return folder


def torch_module(folder: Path, **settings: Any) -> Any:
    run = resolve.resolve(tasks.get("generate"), {"model": str(folder), **settings})
    return load.load(run, report=lambda stage, share: None).model


def logits(module: Any, tokens: int) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = module(input_ids=torch.arange(10, 10 + tokens)[None]).logits
    return found.float()


def kinds(module: Any) -> set[type]:
    return {type(part) for part in module.modules()} & {Beside, Int8Linear}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("only", [(), ("v_proj", "down_proj")])
def test_it_gives_what_joined_weights_give(base: Path, tmp_path: Path, only: tuple[str, ...], dtype: str):
    """In a step of one token, of a few and of many: each is read in its own way."""
    folder = adapter(base, tmp_path / "adapter", only=only)
    beside = torch_module(folder, dtype=dtype, quantize="int8")
    assert kinds(beside) == {Beside, Int8Linear}
    joined = torch_module(folder, plain=True, dtype="float32")
    before = torch_module(base, plain=True, dtype="float32")
    for tokens in (1, 6, 90):
        found, whole = logits(beside, tokens), logits(joined, tokens)
        change = (whole - logits(before, tokens)).norm()
        assert change > 0.1 * whole.norm()
        assert (found - whole).norm() < 0.1 * change


def test_other_weights_than_of_8_bits_are_joined(base: Path, tmp_path: Path):
    """Here the output matrix, as peft trains it where it is asked to."""
    folder = adapter(base, tmp_path / "adapter")
    path = folder / adapters.WEIGHTS
    tensors = load_file(path)
    model = torch_module(base, plain=True, dtype="float32")
    rows, width = model.lm_head.weight.shape
    draw = torch.Generator().manual_seed(1)
    tensors[f"{adapters.PREFIX}lm_head{adapters.DOWN}"] = torch.randn(4, width, generator=draw) * 0.1
    tensors[f"{adapters.PREFIX}lm_head{adapters.UP}"] = torch.randn(rows, 4, generator=draw) * 0.1
    save_file(tensors, path)
    found = torch_module(folder, dtype="float32", quantize="int8")
    assert kinds(found) == {Int8Linear}
    whole = logits(torch_module(folder, plain=True, dtype="float32"), 6)
    assert (logits(found, 6) - whole).norm() < 0.1 * whole.norm()


@pytest.mark.parametrize("other", ["sizes", "layers"])
def test_an_adapter_of_another_base_is_refused(base: Path, tmp_path: Path, other: str, monkeypatch: pytest.MonkeyPatch):
    """At once: it is not tried on the base's whole weights too, which a store may have to make again."""
    folder = adapter(base, tmp_path / "adapter", only=("v_proj",))
    path = folder / adapters.WEIGHTS
    tensors = load_file(path)
    if other == "sizes":
        tensors = {name: tensor[:-1].contiguous() if name.endswith(adapters.UP) else tensor
                   for name, tensor in tensors.items()}  # fmt: skip
    else:
        tensors = {name.replace("layers.0", "layers.30"): tensor for name, tensor in tensors.items()}
    save_file(tensors, path)
    monkeypatch.setattr(adapters, "join", None)
    with pytest.raises(ModelError, match="does not fit its base model"):
        torch_module(folder, dtype="float32", quantize="int8")


class Holder:
    pass


def test_two_adapters_hold_one_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(devices, "bfloat16", lambda: True)
    file = tiny_gguf.write(tmp_path / "tiny.gguf")
    resident, holders = Resident(limit=1 << 40, check=lambda: None, used=lambda: 0), []

    def held(model: Path) -> int:
        """Bytes of all weights once this model is there too."""
        holders.append(Holder())
        run = resolve.resolve(tasks.get("generate"), {"model": str(model)})
        resident.get(run, holder=holders[-1], report=lambda stage, share: None)
        return resident.size

    base = held(file)
    checkpoint = next(path for path in (tmp_path / "cache" / "models").iterdir() if path.is_dir())
    torch_module(file, plain=True, dtype="float32")  # the adapter is made on the whole weights
    one = describe(adapter(checkpoint, tmp_path / "one"), {"path": str(file)})
    two = describe(adapter(checkpoint, tmp_path / "two", seed=6), {"path": str(file)})
    sizes = [path.joinpath(adapters.WEIGHTS).stat().st_size for path in (one, two)]
    assert base < held(one) < base + 2 * sizes[0]
    assert held(two) < base + 2 * sum(sizes)
    assert held(shutil.copytree(two, tmp_path / "three")) < base + 2 * (sizes[0] + 2 * sizes[1])
