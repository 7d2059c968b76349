"""The store: sources refused or damaged leave nothing behind, a finished store needs no writing."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmcli.config.model_config import ModelConfig, PackageSource, Source
from llmcli.errors import ModelError, OutputError
from llmcli.models import packages, store

SILENT = staticmethod(lambda stage, share: None)


def model(sha256: str = "0" * 64) -> ModelConfig:
    package = PackageSource(requirements=["typer"], files=["typer/__init__.py"], sha256=sha256)
    return ModelConfig(name="m", source=Source(package=package))


def test_wrong_checksum(tmp_path: Path):
    with pytest.raises(ModelError, match="wrong checksum"):
        store.checkpoint(model(), offline=True, report=SILENT)
    assert [path.name for path in (tmp_path / "cache" / "models").iterdir()] == ["m-000000000000.lock"]


def test_not_a_gguf_file(tmp_path: Path):
    import hashlib

    import typer

    digest = hashlib.sha256(Path(typer.__file__).read_bytes()).hexdigest()
    with pytest.raises(ModelError, match="not a GGUF"):
        store.checkpoint(model(digest), offline=True, report=SILENT)
    assert len(list((tmp_path / "cache" / "models").iterdir())) == 1


def test_missing_package_offline(tmp_path: Path):
    package = PackageSource(requirements=["no-such-package-here==1"], files=["x"], sha256="0" * 64)
    with pytest.raises(ModelError, match="--offline"):
        packages.package_files(package, folder=tmp_path, offline=True)


def test_unwritable_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LLMCLI_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(OutputError) as error:
        store.checkpoint(model(), offline=True, report=SILENT)
    assert error.value.exit_code == 10


def test_what_a_killed_builder_left_is_removed(tmp_path: Path):
    left = tmp_path / "cache" / "models" / "m-000000000000.partial"
    (left / "checkpoint").mkdir(parents=True)
    with pytest.raises(ModelError):
        store.checkpoint(model(), offline=True, report=SILENT)
    assert not left.exists()


def test_a_gguf_file_is_read_once_and_as_the_library_reads_it(tmp_path: Path):
    import gguf

    from llmcli.models.gguf import read_once

    path = tmp_path / "x.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_token_list(["<s>", "é", "\n"])
    writer.add_token_scores([0.0, -1.5, 2.0])
    writer.add_context_length(512)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    plain = gguf.GGUFReader(path)
    with read_once():
        read = gguf.GGUFReader(str(path))
        assert gguf.GGUFReader(str(path)) is read
    assert gguf.GGUFReader is type(plain)
    assert {name: field.contents() for name, field in read.fields.items()} == {
        name: field.contents() for name, field in plain.fields.items()
    }
