"""Packages: pip runs apart from the user's folder and Python, and finds the user's index."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmcli.config.model_config import PackageSource
from llmcli.errors import ModelError
from llmcli.models import packages

SOURCE = PackageSource(requirements=["no-such-package-of-llmcli==1.0"], files=["x"], sha256="0" * 64)
PLANTED = "import pathlib, sys; pathlib.Path(__file__).with_name('ran').touch(); sys.exit(3)"


def test_a_planted_pip_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for folder in ("here", "path"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "pip.py").write_text(PLANTED)
        (tmp_path / folder / "sitecustomize.py").write_text(PLANTED)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "../empty")
    with pytest.raises(ModelError, match="could not fetch no-such-package-of-llmcli") as error:
        packages.package_files(SOURCE, folder=tmp_path / "target", offline=False)
    assert error.value.code == "fetch-failed"
    assert [*tmp_path.rglob("ran")] == []


def test_pip_finds_the_users_index_and_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ca.pem").touch()
    given = {"PIP_INDEX_URL": "https://mirror", "HTTPS_PROXY": "p", "PIP_CERT": "ca.pem", "PATH": "/bin", "HOME": "/h"}
    dropped = {"PYTHONPATH": "x", "PYTHONSTARTUP": "x", "PIP_TARGET": "x", "PIP_USER": "1", "PIP_REQUIREMENT": "x"}
    found = packages._environment(given | dropped)
    assert found == given | {"PIP_CERT": os.path.join(tmp_path, "ca.pem")}
