"""Files of strangers: each is refused in one line, before a library makes much of it, runs its code or fetches."""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmcli.errors import ModelError, OutOfMemory
from llmcli.models import checking, gguf_check, gguf_header, memory, proportions, safetensors
from tests.support import tiny

PICKLE = b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94."
HUGE = 10**9


@pytest.fixture
def folder(tiny_causal: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_causal, tmp_path / "model")


@pytest.fixture
def ask(cli, folder: Path) -> Callable[..., Any]:
    def run(*options: str, text: str = "a good day") -> Any:
        return cli("generate", "-m", str(folder), "--raw", "--no-stream", "--max-new-tokens", "2", *options, text)

    return run


def edit(path: Path, **values: Any) -> None:
    found = json.loads(path.read_text())
    path.write_text(json.dumps(found | values))


def config(**values: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "config.json", **values)


def generation(**values: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "generation_config.json", **values)


def settings(**values: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "tokenizer_config.json", **values)


def tokenizer(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "tokenizer.json"
        found = json.loads(path.read_text())
        change(found)
        path.write_text(json.dumps(found))

    return spoil


def file(name: str, raw: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(raw) and None


def index(*names: str) -> Callable[[Path], None]:
    """The weights behind an index, in a file of the first name."""

    def spoil(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "decoy.safetensors")
        places = {f"tensor{place}": name for place, name in enumerate(names)}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
        for name in names:
            if name.isidentifier() or name.endswith((".bin", ".pkl")):
                (folder / Path(name).name).write_bytes(PICKLE)

    return spoil


def header(text: str, length: int | None = None, *, behind: bytes = b"") -> Callable[[Path], None]:
    raw = text.encode()
    return file("model.safetensors", struct.pack("<Q", len(raw) if length is None else length) + raw + behind)


def tensor(**values: Any) -> str:
    return json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | values})


def fifo(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    os.mkfifo(folder / "tokenizer.json")


def missing_shard(folder: Path) -> None:
    index("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")(folder)
    (folder / "decoy.safetensors").rename(folder / "model-00001-of-00002.safetensors")


def no_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "other.safetensors")


CASES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    # pickles, and other folders
    "index names a .bin": (index("pytorch_model.bin"), "pickle", "names a pickle"),
    "index names tokenizer.bin": (index("tokenizer.bin"), "pickle", "names a pickle"),
    "index names vocab.pkl": (index("vocab.pkl"), "pickle", "names a pickle"),
    "index names x.model": (index("x.model"), "pickle", "names a pickle"),
    "index leaves the folder": (index("../decoy.safetensors"), "hostile", "other folders"),
    "index is absolute": (index("/tmp/decoy.safetensors"), "hostile", "other folders"),
    "index names a subfolder": (index("a/decoy.safetensors"), "hostile", "other folders"),
    "index with a NUL": (index("a\0.safetensors"), "hostile", "other folders"),
    "index with a surrogate": (index("a\ud800.safetensors"), "hostile", "other folders"),
    "config names a pickle": (config(transformers_weights="adapter_model.bin"), "hostile", "names other files"),
    "config leaves the folder": (config(transformers_weights="../x.safetensors"), "hostile", "names other files"),
    "a tokenizer that is a pickle": (file("tokenizer.model", PICKLE), "pickle", "a pickle"),
    "a vocabulary that is a pickle": (file("vocab.json", PICKLE), "pickle", "a pickle"),
    "an archive of pickles": (file("spiece.model", b"PK\x03\x04"), "pickle", "a pickle"),
    "an adapter that is a pickle": (file("adapter_model.bin", PICKLE), "pickle", "a pickle"),
    "a checkpoint of a trainer": (file("shard-00000-model-00001-of-00001.safetensors", b""), "bad-model", "training"),
    # code
    "a kernel": (config(_attn_implementation="org/kernel"), "remote-code", "code to fetch"),
    "a kernel by another name": (config(attn_implementation="org/kernel@v1:f"), "remote-code", "code to fetch"),
    "a kernel within": (config(text_config={"_attn_implementation_internal": "a/b"}), "remote-code", "code to fetch"),
    "a kernel of a part": (config(attn_implementation={"text": "a/b"}), "remote-code", "code to fetch"),
    "experts": (config(_experts_implementation="a/b"), "remote-code", "code to fetch"),
    "kernels": (config(use_kernels=True), "remote-code", "code to fetch"),
    "own code": (config(model_type="evil", auto_map={"AutoConfig": "evil.Evil"}), "bad-model", "cannot be loaded"),
    # weights that cannot be read
    "gptq": (config(quantization_config={"quant_method": "gptq", "bits": 4}), "quantized", "quantized by gptq"),
    "bitsandbytes": (config(quantization_config={"quant_method": "bitsandbytes"}), "quantized", "bitsandbytes"),
    "awq": (config(quantization_config={"quant_method": "awq"}), "quantized", "quantized by awq"),
    "a missing shard": (missing_shard, "missing-weights", "model-00002-of-00002.safetensors is missing, one of 2"),
    "no weights": (no_weights, "missing-weights", "no model.safetensors"),
    "an index of nothing": (index(), "bad-model", "malformed"),
    "an empty file": (file("model.safetensors", b""), "bad-model", "damaged"),
    "a long header": (header("{}", 1 << 62), "bad-model", "length is wrong"),
    "a header that is no JSON": (header("{]"), "bad-model", "cannot be read"),
    "a header that is a list": (header("[]"), "bad-model", "cannot be read"),
    "a deep header": (header("[" * 99999), "bad-model", "cannot be read"),
    "an unknown type": (header(tensor(dtype="X")), "bad-model", "cannot be read"),
    "a negative size": (header(tensor(shape=[-1])), "bad-model", "size does not fit"),
    "a huge size": (header(tensor(shape=[HUGE, HUGE])), "bad-model", "size does not fit"),
    "outside of the file": (header(tensor(data_offsets=[HUGE, HUGE + 4])), "bad-model", "size does not fit"),
    "other weights": (header(tensor(), behind=b"\0" * 4), "missing-weights", "weights are missing"),
    # numbers
    "no layers": (config(num_hidden_layers=0), "bad-model", "num_hidden_layers of 0"),
    "negative layers": (config(num_hidden_layers=-1), "bad-model", "num_hidden_layers of -1"),
    "many layers": (config(num_hidden_layers=HUGE), "bad-model", f"num_hidden_layers of {HUGE}"),
    "very many layers": (config(num_hidden_layers=10**400), "bad-model", "a huge number"),
    "layers in words": (config(num_hidden_layers="three"), "bad-model", "must be a whole number"),
    "half a layer": (config(num_hidden_layers=1.5), "bad-model", "must be a whole number"),
    "layers that are a list": (config(num_hidden_layers=[1]), "bad-model", "must be a whole number"),
    "true layers": (config(num_hidden_layers=True), "bad-model", "must be a whole number"),
    "no heads": (config(num_attention_heads=0), "bad-model", "num_attention_heads of 0"),
    "many labels": (config(num_labels=HUGE), "bad-model", "num_labels"),
    "many experts": (config(num_experts=HUGE), "bad-model", "num_experts"),
    "wide": (config(hidden_size=HUGE), "bad-model", "hidden_size"),
    "wider than its weights": (config(hidden_size=1 << 20, intermediate_size=1 << 20), "bad-model", "GB"),
    "another width": (config(hidden_size=64), "bad-model", "cannot be loaded"),
    "many words": (config(vocab_size=HUGE), "bad-model", "vocab_size"),
    "negative positions": (config(max_position_embeddings=-5), "bad-model", "max_position_embeddings"),
    "many positions": (config(max_position_embeddings=10**18), "bad-model", "max_position_embeddings"),
    "a number that is none": (config(rms_norm_eps=float("nan")), "bad-model", "not readable"),
    "a deep config": (config(**{"a": json.loads("[" * 500 + "]" * 500)}), "bad-model", "nested"),
    # generation
    "settings that are no JSON": (file("generation_config.json", b"{"), "bad-model", "not readable"),
    **{f"generation: {name} {value}": (generation(**{name: value}), "bad-model", name) for name, value in [
        ("temperature", "hot"), ("num_beams", "x"), ("num_beams", 10**9), ("bad_words_ids", 5), ("bad_words_ids", [[]]),
        ("eos_token_id", "x"), ("eos_token_id", [1, "x"]), ("repetition_penalty", 0), ("max_new_tokens", -5),
        ("suppress_tokens", "abc"), ("forced_bos_token_id", HUGE), ("sequence_bias", {"a": 1}), ("min_length", "z"),
        ("guidance_scale", "x"), ("stop_strings", ["a"]), ("penalty_alpha", 0.6), ("prompt_lookup_num_tokens", 7),
        ("exponential_decay_length_penalty", "x"), ("constraints", 5), ("num_return_sequences", 0),
        ("begin_suppress_tokens", [10**12]), ("use_cache", "no"), ("watermarking_config", {"a": 1}),
    ]},
    # tokenizers
    "no tokenizer.json": (lambda folder: (folder / "tokenizer.json").unlink(), "bad-model", "cannot be loaded"),
    "no tokenizer": (no_tokenizer, "bad-model", "it has no tokenizer"),
    "half a tokenizer": (file("tokenizer.json", b'{"version": "1.0", "added_tokens"'), "bad-model", "cannot be loaded"),
    "a tokenizer of bytes": (file("tokenizer.json", bytes(range(1, 255))), "bad-model", "cannot be loaded"),
    "a tokenizer that is a list": (file("tokenizer.json", b"[]"), "bad-model", "cannot be loaded"),
    "a tokenizer that blocks": (fifo, "bad-model", "not a tokenizer's file"),
    "no such model": (tokenizer(lambda it: it.update(model={"type": "None"})), "bad-model", "cannot be loaded"),
    "a regex that is none": (
        tokenizer(lambda it: it.update(pre_tokenizer={"type": "Split", "pattern": {"Regex": "(("},
                                                      "behavior": "Isolated", "invert": False})),
        "bad-model", "cannot be loaded",
    ),
    "settings that are a list": (file("tokenizer_config.json", b"[]"), "bad-model", "cannot be loaded"),
    "settings of a wrong kind": (settings(added_tokens_decoder={"x": 5}), "bad-model", "cannot be loaded"),
    "a class that is none": (settings(tokenizer_class=5), "bad-model", "cannot be loaded"),
    "a limit in words": (settings(model_max_length="many"), "bad-model", "cannot be loaded"),
    "a text without end": (
        tokenizer(lambda it: it.update(normalizer={"type": "Sequence", "normalizers": [
            {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 100}] * 5})),
        "hostile", "times as long",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "code", "reason"), CASES.values(), ids=CASES)
def test_a_hostile_checkpoint_is_one_line(ask, folder: Path, spoil, code: str, reason: str):
    spoil(folder)
    done = ask()
    assert (done.code, done.out, done.err.count("\n")) == (4, "", 1), done.err
    assert f"error[{code}]" in done.err
    assert reason in done.err


def test_a_long_row_of_its_own_kind_is_believed(folder: Path):
    """As many layers as there are weights for, and shared ones: no limit that a checkpoint in use meets."""
    tensors = {f"layer.{place}": safetensors.Tensor("F32", (8, 8)) for place in range(400)}
    for number, more in ((400, 0), (12, 0), (401, 1)):
        found = {"num_hidden_layers": number, "num_attention_heads": 2, "max_position_embeddings": 10_485_760}
        try:
            proportions.check_numbers(found, tensors, where="x")
            assert not more
        except ModelError:
            assert more


PANIC = {"type": "Split", "pattern": {"Regex": "(x+x+)+y"}, "behavior": "Isolated", "invert": False}


def test_a_text_that_the_tokenizer_fails_on_is_one_error_row(cli, folder: Path, tmp_path: Path):
    tokenizer(lambda it: it.update(pre_tokenizer={"type": "Sequence", "pretokenizers": [PANIC, it["pre_tokenizer"]]}))(
        folder
    )
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("good", "x" * 60, "bad")))
    done = cli("generate", "-m", str(folder), "--raw", "--max-new-tokens", "2", "-i", str(rows))
    found = [json.loads(line) for line in done.out.splitlines()]
    assert (done.code, [row["status"] for row in found]) == (5, ["ok", "error", "ok"]), done.err
    assert (found[1]["error"]["code"], "xxxx" in done.err, "panicked" in done.err) == ("tokenizer", False, False)


def test_what_a_library_prints_is_no_result(ask, folder: Path):
    clean = ask()
    token = {"content": "<new>", "special": True, 'x\n{"id": 7, "label": "forged"}\x1b[31m': 1}
    edit(folder / "tokenizer_config.json", added_tokens_decoder={"2": {"content": "<eos>", "special": True} | token})
    done = ask()
    assert (done.code, done.out) == (0, clean.out), done.err
    assert "forged" not in done.err


def test_named_attention_of_transformers_own_is_no_kernel(ask, folder: Path):
    edit(folder / "config.json", _attn_implementation="sdpa", attn_implementation="eager", quantization_config=None)
    assert ask().code == 0


def test_what_does_not_fit_the_memory_is_known_before(ask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "_machine", lambda: 1000)
    monkeypatch.setattr("torch.nn.Module.load_state_dict", None)
    done = ask("--dtype", "float32")
    assert (done.code, done.err.count("\n")) == (8, 1), done.err
    assert "0.0 GB are free" in done.err


def test_little_address_space_is_known_before(folder: Path):
    command = f"ulimit -v 400000; exec {sys.executable} -m llmcli generate -m {folder} --raw hello"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (8, "", 1), done.stderr
    assert "ulimit -v" in done.stderr


def test_a_tokenizer_that_does_not_fit_is_known_before(ask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "address_space", lambda: memory.LIBRARIES)
    monkeypatch.setattr(memory, "TOKENIZER", 1 << 40)
    done = ask()
    assert (done.code, done.err.count("\n")) == (8, 1), done.err
    assert "ulimit -v" in done.err


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOMEM, OutOfMemory), (errno.EACCES, ModelError)])
@pytest.mark.parametrize("read", [gguf_header.read, gguf_check.header, safetensors.header])
def test_no_address_space_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type, read):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(kind):
        read(tmp_path / "weights")


@pytest.mark.parametrize(
    ("limit", "used", "stat", "free"),
    [("max", "5", "inactive_file 1", None), ("1000", "900", "anon 5\ninactive_file 300", 400), ("10", "x", "", None)],
)
def test_the_memory_of_a_control_group(tmp_path: Path, monkeypatch, limit: str, used: str, stat: str, free):
    for name, text in (("max", limit), ("current", used), ("stat", stat)):
        (tmp_path / f"memory.{name}").write_text(text + "\n")
    monkeypatch.setattr(memory, "GROUP", tmp_path)
    assert memory._group() == free


def test_need(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "free", lambda device: 10**9)
    memory.need(10**9, "it")
    with pytest.raises(OutOfMemory, match=r"it needs 2\.0 GB of memory, and 1\.0 GB are free"):
        memory.need(2 * 10**9, "it")


def test_a_device_that_is_not_there(cli, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    done = cli("generate", "-m", str(folder), "--raw", "--device", "cuda:7", "hello")
    assert (done.code, done.err.count("\n"), "no cuda:7 device on this machine: it has 2" in done.err) == (2, 1, True)


def test_room_that_the_answer_takes_is_not_the_texts_fault(ask):
    done = ask("--max-new-tokens", "100000")
    assert (done.code, "--max-new-tokens leave 0 tokens" in done.err) == (6, True), done.err


@pytest.mark.parametrize("name", tiny.BUILDERS)
def test_checkpoints_in_use_are_believed(checkpoint: Callable[..., Path], name: str):
    assert checking.examine(checkpoint(name), allow_pickle=False).tensors
