"""Fixtures: the command line in this process or its own, a recording fake model, tiny checkpoints, the real models."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT, Done, tiny
from tests.support.fake import FakeModel


def pytest_configure() -> None:
    """Several test processes share the cores out, where the system lets them: torch's threads wait for each other."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker.startswith("gw") and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        own = cores[int(worker.removeprefix("gw")) :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])]
        os.sched_setaffinity(0, own or cores)


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """No test reads the user's configuration or leaves a worker; only real ones use the shared cache."""
    monkeypatch.setenv("LLMCLI_WORKER", "off")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # processes of other folders run this code, not the installed one
    monkeypatch.setenv("LLMCLI_CONFIG_DIR", str(tmp_path / "config"))
    if "real" not in request.fixturenames:
        monkeypatch.setenv("LLMCLI_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Tiny matrices: threads would only wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    model = FakeModel()
    monkeypatch.setattr("llmcli.pipelines.load.load", lambda config, *, report: model)
    return model


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfdbinary: Any, tmp_path: Path) -> Callable[..., Done]:
    """The command line in this process, with ``stdin`` as a file."""
    import io

    from llmcli.cli.main import main

    def run(*arguments: str, stdin: bytes | str = b"") -> Done:
        raw = stdin.encode() if isinstance(stdin, str) else stdin
        path = tmp_path / "stdin"
        path.write_bytes(raw)
        monkeypatch.setattr(sys, "argv", ["llmcli", *arguments])
        monkeypatch.setattr("llmcli.data.stdin.piped", lambda: bool(raw))
        monkeypatch.setattr("llmcli.cli.signals.end_at_once", lambda: None)  # pytest has handlers of its own
        capfdbinary.readouterr()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(path.open("rb")))
        with pytest.raises(SystemExit) as ended:
            main()
        gc.unfreeze()  # this process goes on
        out, err = capfdbinary.readouterr()
        return Done(int(ended.value.code or 0), out.decode(), err.decode())

    return run


@pytest.fixture
def process() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """The command line as a process of its own."""

    def run(*arguments: str, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "llmcli", *arguments],
            input=stdin, capture_output=True, env=os.environ | environment, timeout=300, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def copied(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``python -m`` in ``tmp_path``, with a copy of the package there, which a test may change."""
    for name in ("llmcli", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        return subprocess.run(
            [sys.executable, "-m", *arguments], cwd=tmp_path, env=environment | {"PYTHONPATH": str(tmp_path)},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of a tiny checkpoint, built once: a name of ``tiny.BUILDERS``, and what its builder takes."""
    built: dict[str, Path] = {}

    def build(name: str, **options: Any) -> Path:
        key = f"{name} {sorted(options.items())}"
        if key not in built:
            folder = tmp_path_factory.mktemp(f"tiny-{name}")
            tiny.BUILDERS[name](folder, **options)
            built[key] = folder
        return built[key]

    return build


@pytest.fixture(scope="session")
def tiny_causal(checkpoint: Callable[..., Path]) -> Path:
    """A Gemma 3 checkpoint with random weights and a real tokenizer."""
    return checkpoint("gemma3")


@pytest.fixture(scope="session")
def tiny_classifier(checkpoint: Callable[..., Path]) -> Callable[[int], Path]:
    """DistilBERT classifiers with random weights and so many labels."""
    return lambda labels: checkpoint("distilbert", labels=tuple(f"star{i + 1}" for i in range(labels)))


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for the embedded models, of all test processes; LLMCLI_CACHE_DIR, where set, is kept between runs."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    return Path(os.environ.get("LLMCLI_CACHE_DIR") or shared / "models")
