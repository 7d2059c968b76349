"""What the store keeps beside a checkpoint: the second load is made of it, and answers as the first one did."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmcli.models import derived, devices, manifest, originals
from llmcli.pipelines.fast.prefix import PrefixCache
from tests.support import Done


@pytest.fixture
def stored(tiny_causal: Path, tmp_path: Path) -> Path:
    """A tiny checkpoint as the store has it."""
    folder = tmp_path / "cache" / "models" / "hub" / "org--tiny@main"
    shutil.copytree(tiny_causal, folder)
    manifest.write(folder, repo="org/tiny", revision="main", commit="c0ffee")
    return folder


def answers(cli: Callable[..., Done], folder: Path, *arguments: str) -> tuple[dict[str, float], str]:
    """What a label's scores and a text say of the weights; behind a long prompt, and behind none."""
    model = ["-m", "org/tiny" if "hub" in folder.parts else str(folder), "--offline", *arguments, "a good day"]
    done = cli("sentiment", "--json", "--all-scores", *model)
    text = cli("generate", "--raw", "--max-new-tokens", "12", *model)
    assert (done.code, text.code) == (0, 0), done.err + text.err
    return json.loads(done.out)["scores"], text.out


WHOLE, HALF = derived.of(originals.WHOLE, "c0ffee"), derived.of(originals.HALF, "c0ffee")


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("this was kept")


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
def test_a_second_load_reads_what_is_kept(cli, stored: Path, monkeypatch: pytest.MonkeyPatch, half: bool):
    """On a processor with bfloat16 instructions, and on one without."""
    from transformers import AutoModelForCausalLM

    from llmcli.pipelines.fast import quantization

    monkeypatch.setattr(devices, "bfloat16", lambda: half)
    first = answers(cli, stored)
    names = {WHOLE, HALF} if half else {WHOLE}
    assert names <= set(manifest.read(stored)["files"])  # type: ignore[index]
    for owner, name in ((AutoModelForCausalLM, "from_pretrained"), (quantization, "_rounded"),
                        (PrefixCache, "_computed")):  # fmt: skip
        monkeypatch.setattr(owner, name, refuse)
    assert answers(cli, stored) == first


def test_what_is_kept_is_of_one_number_format(cli, stored: Path):
    """Prefixes of 8-bit weights are not those of 32-bit ones."""
    whole = answers(cli, stored, "--dtype", "float32")
    answers(cli, stored)
    assert len(list(stored.glob("prefix-*.safetensors"))) == 2
    assert answers(cli, stored, "--dtype", "float32") == whole


def test_pulled_anew_while_weights_are_rounded(cli, stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The answer then is of the old commit, the next of the new one; so is what is kept."""
    from safetensors.torch import load_file, save_file

    newer = tmp_path / "newer"
    shutil.copytree(stored, newer)
    changed = {name: weight.flip(0).contiguous() for name, weight in load_file(newer / originals.FULL).items()}
    save_file(changed, newer / originals.FULL, metadata={"format": "pt"})
    manifest.write(newer, repo="org/tiny", revision="main", commit="beef")
    mine = shutil.copytree(newer, tmp_path / "mine")
    write = derived.write

    def pulled(*arguments: Any) -> None:
        if newer.exists():
            shutil.rmtree(stored)
            newer.rename(stored)
        write(*arguments)

    monkeypatch.setattr(derived, "write", pulled)
    answers(cli, stored)
    for _ in range(2):
        assert answers(cli, stored) == answers(cli, mine)


def test_a_user_s_folder_is_left_as_it_is(cli, tiny_causal: Path, tmp_path: Path):
    folder = tmp_path / "mine"
    shutil.copytree(tiny_causal, folder)
    before = sorted(folder.iterdir())
    answers(cli, folder)
    assert sorted(folder.iterdir()) == before


def test_a_copy_of_a_stored_folder_is_the_user_s(cli, stored: Path, tmp_path: Path):
    """Its weights may have been trained on: nothing that was made of the old ones is used."""
    answers(cli, stored)
    copy = tmp_path / "copy"
    shutil.copytree(stored, copy)
    before = {path: path.stat().st_mtime_ns for path in copy.iterdir()}
    for name in (WHOLE, *(path.name for path in copy.glob("prefix-*"))):
        (copy / name).write_bytes(b"of no use")
        before[copy / name] = (copy / name).stat().st_mtime_ns
    assert answers(cli, copy) == answers(cli, stored)
    assert {path: path.stat().st_mtime_ns for path in copy.iterdir()} == before


def test_bfloat16_weights_of_an_earlier_version_are_replaced(cli, stored: Path, monkeypatch: pytest.MonkeyPatch):
    import torch

    monkeypatch.setattr(devices, "bfloat16", lambda: True)
    first = answers(cli, stored)
    for name in (WHOLE, HALF):
        derived.discard(stored, name)
        derived.write(stored, name, {"model.norm.weight": torch.ones(32, dtype=torch.bfloat16)})
    assert answers(cli, stored) == first
    assert answers(cli, stored) == first


def test_a_damaged_prefix_is_refused(cli, stored: Path):
    answers(cli, stored)
    path = next(stored.glob("prefix-*.safetensors"))
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(Exception, match="has changed since it was stored"):
        manifest.check(stored, name="stored")


def test_what_is_gone_is_made_again(cli, stored: Path):
    first = answers(cli, stored)
    for path in [*stored.glob("prefix-*.safetensors"), stored / WHOLE]:
        path.unlink()
    assert answers(cli, stored) == first
    assert (stored / WHOLE).is_file()


def test_what_an_earlier_version_kept_is_replaced(cli, stored: Path):
    import torch

    derived.write(stored, WHOLE, {"other": torch.zeros(64, dtype=torch.int8)})
    assert answers(cli, stored) == answers(cli, stored)
    assert "other" not in (derived.read(stored, WHOLE) or {"other": None})


def test_the_first_of_two_processes_writes(stored: Path):
    import torch

    for value in (1.0, 2.0):
        derived.write(stored, "x.safetensors", {"a": torch.full((16,), value)})
    assert float((derived.read(stored, "x.safetensors") or {})["a"][0]) == 1.0
    manifest.check(stored, name="stored", whole=True)


def test_few_prefixes_are_kept(stored: Path, monkeypatch: pytest.MonkeyPatch):
    import torch

    monkeypatch.setattr(derived, "PREFIXES", 3)
    shelf = derived.Prefixes(stored, facts="x")
    for number in range(5):
        shelf.put((number,), {"0.keys": torch.full((1, 1, 2, 4), float(number))})
    assert [shelf.get((number,)) is None for number in range(5)] == [True, True, False, False, False]
    assert len(list(stored.glob("prefix-*"))) == 3
    manifest.check(stored, name="stored", whole=True)


@pytest.mark.parametrize("size", range(1, 12))
def test_mapped_tensors_are_aligned(stored: Path, size: int):
    """Whatever the length of the header: kernels end with a segmentation fault otherwise."""
    import torch

    tensors = {"n" * size + str(place): torch.arange(64, dtype=torch.int8) + place for place in range(size)}
    derived.write(stored, WHOLE, tensors)
    found = derived.read(stored, WHOLE)
    assert found
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    from safetensors.torch import load_file

    assert all(tensor.data_ptr() % derived.ALIGNED == 0 for tensor in load_file(stored / WHOLE).values())


def test_a_cache_that_cannot_be_written_is_said_under_v(caplog, tmp_path: Path):
    import torch

    (tmp_path / "manifest.lock").mkdir()
    with caplog.at_level("INFO", logger="llmcli"):
        derived.write(tmp_path, "x.safetensors", {"a": torch.zeros(1)})
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: nothing is stored for the next time: Is a directory"
    ]
