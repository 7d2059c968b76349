"""Shortcuts run where they are known and agree, and one switch turns all of them off."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmcli import tasks
from llmcli.config.schemas import Generation
from llmcli.errors import ModelError
from llmcli.run import resolve
from llmcli.run.fingerprint import fingerprint
from llmcli.text.prompts import Rendered
from tests.support import Done, families, tiny

FAST = "llmcli_shared_prefix"


def saved(folder: Path, name: str, **sizes: Any) -> Path:
    families.build(name, **sizes).save_pretrained(folder)
    tiny.byte_tokenizer().save_pretrained(folder)
    return folder


def loaded(folder: Path, **flags: Any) -> Any:
    from llmcli.pipelines import load

    run = resolve.resolve(tasks.get("sentiment"), {"model": str(folder), **flags})
    return load.load(run, report=lambda stage, share: None)


def rounded(model: Any) -> bool:
    return any(type(layer).__name__ == "Int8Linear" for layer in model.model.modules())


@pytest.mark.parametrize("name", ["deepseek-v2", "deepseek-v3", "gemma3n", "gemma4", "diffllama", "falcon", "llama4"])
def test_a_family_that_is_wrongly_listed_is_found_out(monkeypatch, name: str):
    """What is listed is compared with plain transformers all the same, when it is loaded."""
    from llmcli.pipelines.fast import known, prefix

    model = families.build(name)
    usual, kind = model.config._attn_implementation, model.config.model_type
    monkeypatch.setattr(known, "FAMILIES", {**known.FAMILIES, kind: known.Family()})
    # Llama 4 is unfit by its layers, Gemma 4 by its positions.
    assert bool(known.unfit(model)) == (name in ("llama4", "gemma4"))
    assert prefix.reader(model) is None
    assert model.config._attn_implementation == usual


@pytest.mark.parametrize(
    ("name", "listed"), [("cohere", True), ("granite", True), ("cohere", False), ("granite", False)]
)
def test_scores_that_are_not_the_models_own_are_found_out(monkeypatch, name: str, listed: bool):
    from llmcli.pipelines.fast import known, prefix

    if not listed:
        monkeypatch.setattr(known, "FAMILIES", {name: known.Family()})
    assert (prefix.reader(families.build(name)) is not None) == listed


@pytest.mark.parametrize("compared", [True, False])
def test_another_version_of_transformers_is_looked_at(monkeypatch, compared: bool):
    """With a version that was compared, the embedded models' families cost no forward pass."""
    from llmcli.pipelines.fast import known, prefix

    looks: list[Any] = []
    agrees = prefix._agrees
    monkeypatch.setattr(known, "tested_version", lambda: compared)
    monkeypatch.setattr(prefix, "_agrees", lambda *arguments: looks.append(arguments) or agrees(*arguments))
    assert prefix.reader(families.build("llama")) is not None
    assert len(looks) == (not compared)


@pytest.mark.parametrize("change", [None, "a norm", "a name"])
def test_fused_layers_of_another_version_are_compared_first(checkpoint, monkeypatch, change: str | None):
    from transformers import AutoModelForCausalLM

    from llmcli.pipelines.fast import fused, known

    monkeypatch.setattr(known, "TESTED", ("5.1",))
    if change == "a norm":
        monkeypatch.setattr(fused.Norm, "forward", lambda self, states: states * 0.9)
    model = AutoModelForCausalLM.from_pretrained(checkpoint("llama"))
    if change == "a name":
        del model.base_model.layers[0].self_attn.scaling
    names = set(model.state_dict())
    assert bool(fused.fuse(model)) == (change is None)
    assert (set(model.state_dict()) == names) == (change is not None)


def test_keys_that_are_not_the_caches_are_no_silent_answer():
    import torch

    from llmcli.pipelines.fast import attention

    keys = torch.randn(1, 2, 3, 4)
    own, _ = attention.SharedLayer(keys, keys).update(keys[:, :, :1], keys[:, :, :1])
    with pytest.raises(RuntimeError):
        attention.attend(None, own, own.clone(), own, None, scaling=1.0)
    assert attention.attend(None, own, own, own, None, scaling=1.0)[0].shape == (1, 1, 2, 4)


@pytest.mark.parametrize(("rows", "queries"), [(1, 1), (2, 3), (3, 12), (9, 1), (9, 12)])
@pytest.mark.parametrize("way", ["chosen", "copied", "shared"])
def test_attention_is_that_to_a_copy_of_the_prefix(monkeypatch, rows: int, queries: int, way: str):
    """Rows of two groups of three heads behind a prefix of seven tokens, the last row's first key padding."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    from llmcli.pipelines.fast import attention

    if way != "chosen":
        monkeypatch.setattr(attention, "_copies", lambda query: way == "copied")
    torch.manual_seed(0)
    prefix = torch.randn(1, 2, 7, 8), torch.randn(1, 2, 7, 8)
    query, mask = torch.randn(rows, 6, queries, 8), torch.ones(rows, 1, queries, 7 + queries, dtype=torch.bool).tril(7)
    mask[-1, ..., 7] = queries == 1
    keys, values = attention.SharedLayer(*prefix).update(*torch.randn(2, rows, 2, queries, 8))
    made, _ = attention.attend(None, query, keys, values, mask, scaling=0.3)
    whole = [torch.cat([part.expand(rows, -1, -1, -1), own], 2).repeat_interleave(3, 1)
             for part, own in zip(prefix, (keys, values), strict=True)]  # fmt: skip
    expected = scaled_dot_product_attention(query, *whole, attn_mask=mask, scale=0.3)
    torch.testing.assert_close(made, expected.transpose(1, 2))


@pytest.mark.parametrize("quantize", [None, "none", "int8"])
@pytest.mark.parametrize("name", ["llama", "mixtral", "mamba"])
def test_which_weights_are_rounded(tmp_path: Path, name: str, quantize: str | None):
    """Those of dense families; experts would be chosen otherwise, and Mamba's kernels take no whole numbers."""
    folder = saved(tmp_path, name)
    flags = {"quantize": quantize} if quantize else {}
    if name != "llama" and quantize == "int8":
        with pytest.raises(ModelError, match="8-bit weights are not known to suit") as error:
            loaded(folder, **flags)
        assert error.value.code == "no-int8"
        return
    assert rounded(loaded(folder, **flags)) == (name == "llama" and quantize != "none")


DENSE = ["gemma", "gpt2", "gptj", "llama", "mistral", "olmo2", "opt", "phi3", "qwen2", "qwen3", "stablelm"]


@pytest.mark.parametrize("name", DENSE)
def test_rounded_weights_give_nearly_the_same(name: str):
    import torch

    from llmcli.pipelines.fast import known, quantization

    plain = families.build(name, vocab_size=256)
    assert known.int8(plain.config.model_type)
    quick = quantization.int8(copy.deepcopy(plain))
    with torch.inference_mode():
        whole, near = (model(torch.arange(5, 25)[None]).logits for model in (plain, quick))
    assert float((whole - near).norm() / whole.std()) < 0.1 * whole.numel() ** 0.5


SWITCHES: dict[str, Callable[[Path, pytest.MonkeyPatch], dict[str, Any]]] = {
    "flag": lambda folder, _: {"plain": True},
    "environment": lambda folder, patch: patch.setenv("LLMCLI_PLAIN", "1") or {},
    "config.yaml": lambda folder, _: (folder / "config.yaml").write_text("plain: true\n") and {},
}


@pytest.mark.parametrize("switch", SWITCHES.values(), ids=SWITCHES)
def test_one_switch_turns_all_of_them_off(checkpoint, tmp_path: Path, monkeypatch, switch: Any):
    folder = checkpoint("qwen3")
    (tmp_path / "config").mkdir()
    usual = loaded(folder)
    assert (usual.model.config._attn_implementation, rounded(usual)) == (FAST, True)
    flags = switch(tmp_path / "config", monkeypatch)
    plain = loaded(folder, **flags)
    assert (plain.model.config._attn_implementation, rounded(plain)) == ("sdpa", False)
    plain, exact = loaded(folder, dtype="float32", **flags), loaded(folder, dtype="float32", **flags | {"plain": False})
    assert (exact.model.config._attn_implementation, plain.model.config._attn_implementation) == (FAST, "sdpa")
    rows = [Rendered(prefix="Some examples.\n", row=text) for text in ("a good day", "h")]
    for settings in (Generation(max_new_tokens=9), Generation(max_new_tokens=9, num_beams=3)):
        quick, slow = (model.complete(rows, settings) for model in (exact, plain))
        assert [one[0].text for one in quick] == [one[0].text for one in slow]
    for quick, slow in zip(*(model.choose(rows, {"a": ["x"], "b": ["yz"]}) for model in (exact, plain)), strict=True):
        assert list(quick.scores.values()) == pytest.approx(list(slow.scores.values()), abs=1e-4)
    assert exact.ending("it rains") == pytest.approx(plain.ending("it rains"), abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "message"),
    [
        (["--plain"], "", 0, ""),
        ([], "1", 0, ""),
        (["--plain", "--quantize", "int8"], "", 2, "--plain leaves the weights as they are"),
        (["--quantize", "int8"], "1", 0, ""),
        ([], "yes", 2, "LLMCLI_PLAIN is neither 1 nor 0"),
    ],
)
def test_the_switch_on_the_command_line(
    cli: Callable[..., Done], checkpoint, monkeypatch, arguments: list[str], environment: str, code: int, message: str
):
    monkeypatch.setenv("LLMCLI_PLAIN", environment)
    done = cli("sentiment", "-m", str(checkpoint("llama")), *arguments, "a good day")
    assert (done.code, message in done.err, done.err.count("\n")) == (code, True, bool(message)), done.err


def test_plain_answers_are_other_answers(checkpoint):
    """To a batch that is resumed, and to the worker."""
    from llmcli.worker.resident import _key

    usual, plain = (
        resolve.resolve(tasks.get("sentiment"), {"model": str(checkpoint("llama")), **flags})
        for flags in ({}, {"plain": True})
    )
    assert _key(usual) != _key(plain)
    assert fingerprint(usual) != fingerprint(plain)


@pytest.mark.parametrize("name", ["mamba", "deepseek-v3", "gpt-neo", "bamba"])
@pytest.mark.parametrize("task", ["sentiment", "generate --max-new-tokens 4"])
def test_commands_on_families_without_shortcuts(cli: Callable[..., Done], tmp_path: Path, name: str, task: str):
    """Behind a prompt of examples, and with the settings of a user who says nothing."""
    folder = saved(tmp_path / "model", name, max_position_embeddings=4096)
    done = cli(*task.split(), "-m", str(folder), "--json", "a day")
    assert (done.code, json.loads(done.out)["status"]) == (0, "ok"), done.err


def test_a_family_that_mixes_texts_up_is_refused(cli: Callable[..., Done], tmp_path: Path):
    done = cli("generate", "-m", str(saved(tmp_path, "recurrent-gemma")), "a day")
    assert (done.code, done.out, done.err.count("\n")) == (4, "", 1)
    assert "mixes the texts" in done.err


def test_rows_behind_shared_messages_are_answered_as_whole_chats(checkpoint):
    chats = [({"role": "user", "content": "a day"}, {"role": "assistant", "content": "so long"},
              {"role": "user", "content": text}) for text in ("rest", "or read", "on")]  # fmt: skip
    model, generation = loaded(checkpoint("qwen3"), dtype="float32"), Generation(max_new_tokens=8, num_beams=1)
    together, whole = ([completion.text for (completion, *_) in model.complete(
        [Rendered(messages=chat, shared=shared) for chat in chats], generation)] for shared in (2, 0))  # fmt: skip
    assert together == whole


def test_labels_are_chosen_in_short_products_on_a_gpu(checkpoint, monkeypatch):
    import torch

    from llmcli.models import devices
    from llmcli.pipelines import load

    monkeypatch.setattr(devices, "cuda", lambda name: True)
    run = resolve.resolve(tasks.get("sentiment"), {"model": str(checkpoint("llama")), "device": "cpu"})
    asked = loaded(checkpoint("llama"), device="cpu", dtype="float32")
    model, seen = load.load(run, report=lambda stage, share: None), list[str]()
    model.model.base_model.register_forward_pre_hook(lambda *_: seen.append(torch.get_float32_matmul_precision()))
    asked.model.base_model.register_forward_pre_hook(lambda *_: seen.append(torch.get_float32_matmul_precision()))
    rows = [Rendered(prefix="P: ", row="a")]
    for one in (model, asked):
        one.choose(rows, {"a": ["x"], "b": ["y"]})
    assert (seen[0], seen[-1], torch.get_float32_matmul_precision()) == ("high", "highest", "highest")
    assert (model.model.dtype, model.running.rpartition(", ")[2]) == (torch.float32, "tf32")
    plain = resolve.resolve(tasks.get("sentiment"), {"model": str(checkpoint("llama")), "plain": True})
    assert (load.labelling(run), load.labelling(plain)) == (True, False)


@pytest.mark.parametrize("plain", [False, True])
def test_a_row_without_tokens_is_read_behind_its_prefix(checkpoint, plain: bool):
    import torch
    from transformers import AutoModelForCausalLM

    folder = checkpoint("llama")
    choice = loaded(folder, dtype="float32", plain=plain).choose(
        [Rendered(prefix="P: ", row="")], {"a": ["x"], "b": ["y"]}
    )
    hand, tokenizer = AutoModelForCausalLM.from_pretrained(folder), tiny.byte_tokenizer()
    with torch.inference_mode():
        logits = hand(torch.tensor([tokenizer("P: ")["input_ids"]])).logits[0, -1]
    p = logits[tokenizer.convert_tokens_to_ids(["x", "y"])].softmax(0)
    assert list(choice[0].scores.values()) == pytest.approx(p.tolist(), abs=1e-4)
