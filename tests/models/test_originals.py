"""The 32-bit weights of a GGUF file go when rounded ones are stored, and come back for those who ask for them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmcli.config.model_config import ModelConfig, Source
from llmcli.models import devices, manifest, originals
from llmcli.pipelines.fast import fused
from tests.support import tiny_gguf

ASKED = ("generate", "--raw", "--max-new-tokens", "9", "--offline", "a good day")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tiny_gguf.write(tmp_path / "tiny.gguf")


def folder(tmp_path: Path) -> Path:
    return next(path for path in (tmp_path / "cache" / "models").iterdir() if path.is_dir())


def kinds(folder: Path) -> list[str]:
    """How the stored files of weights begin; all that are listed are there."""
    names = [path.name for path in folder.glob("*.safetensors") if not path.name.startswith("prefix-")]
    listed = (manifest.read(folder) or {})["files"]
    assert set(names) <= set(listed)
    return sorted(name.partition("-")[0] for name in names)


@pytest.mark.parametrize(("half", "beside"), [(True, "bfloat16"), (False, "float32")])
def test_weights_go_and_come(cli, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half: bool, beside: str):
    """The same answers before and after; what was asked for stays."""
    monkeypatch.setattr(devices, "bfloat16", lambda: half)
    asked = (*ASKED, "-m", str(file))
    first = cli(*asked)
    assert (first.code, kinds(folder(tmp_path))) == (0, sorted([beside, "int8"])), first.err
    assert cli(*asked).out == first.out
    plain = cli(*asked, "--plain", "--dtype", "float32")
    assert (plain.code, kinds(folder(tmp_path))) == (0, sorted([beside, "int8", originals.FULL])), plain.err
    assert cli(*asked).out == first.out
    assert cli(*asked, "--plain", "--dtype", "float32").out == plain.out
    assert originals.FULL in kinds(folder(tmp_path))


def test_weights_stay_that_each_load_reads(cli, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Rounded weights alone are loaded where layers are of a known kind: else the whole ones are read each time."""
    monkeypatch.setattr(fused, "NORMS", {})
    for _ in range(2):
        assert cli(*ASKED, "-m", str(file)).code == 0
        assert originals.FULL in kinds(folder(tmp_path))


def test_the_path_of_a_model_is_of_a_whole_checkpoint(cli, file: Path, tmp_path: Path):
    """Other programs read it; a copy of a folder without its weights is no checkpoint."""
    cli(*ASKED, "-m", str(file))
    copy = shutil.copytree(folder(tmp_path), tmp_path / "copy")
    done = cli(*ASKED, "-m", str(copy))
    assert (done.code, done.err.count("\n"), "missing-weights" in done.err) == (4, 1, True), done.err
    for _ in range(2):
        done = cli("models", "path", str(file))
        assert (done.code, done.out) == (0, f"{folder(tmp_path)}\n"), done.err
        assert originals.FULL in kinds(folder(tmp_path))


def test_rounded_weights_that_are_gone_are_made_again(cli, file: Path, tmp_path: Path):
    first = cli(*ASKED, "-m", str(file))
    for path in folder(tmp_path).glob("int8-*"):
        path.unlink()
    again = cli(*ASKED, "-m", str(file))
    assert (again.code, again.out) == (0, first.out), again.err


def test_weights_that_another_process_reads_stay(cli, file: Path, tmp_path: Path):
    cli(*ASKED, "-m", str(file), "--plain")
    stored = folder(tmp_path)
    code = "import sys, pathlib; from llmcli.models import originals\n"
    code += "with originals.held(pathlib.Path(sys.argv[1])): print(1, flush=True); sys.stdin.read()"
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, str(stored)], **pipes) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        assert cli(*ASKED, "-m", str(file)).code == 0
        assert originals.FULL in kinds(stored)
        reader.communicate()
    assert cli(*ASKED, "-m", str(file)).code == 0
    assert originals.FULL not in kinds(stored)


def test_nothing_goes_that_could_not_come_again(file: Path, tmp_path: Path):
    """A package that was fetched for its file, of which no copy is left: as earlier versions stored it."""
    stored = tmp_path / "stored"
    stored.mkdir()
    for name in (originals.FULL, f"{originals.WHOLE}-1.safetensors", f"{originals.HALF}-1.safetensors"):
        (stored / name).touch()
    manifest.write(stored)
    package = {"requirements": ["no-such-package-here==1"], "files": ["x"], "sha256": "0" * 64}
    for source, left in (({"package": package}, True), ({"path": file}, False)):
        with originals.held(stored) as lock:
            assert lock is not None
            originals.let_go(ModelConfig(name="m", source=Source.model_validate(source)), stored, lock)
        assert (stored / originals.FULL).exists() == left
