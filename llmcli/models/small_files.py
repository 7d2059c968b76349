"""What is known of a Hub repository: a few kB of its files, of one commit. Its weights are fetched from that commit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from llmcli.config import places
from llmcli.config.model_config import HubSource
from llmcli.models import building, manifest


def slug(source: HubSource) -> str:
    """The name of a repository's folders in the cache."""
    return f"{source.repo}@{source.revision}".replace("/", "--")


def folder(source: HubSource) -> Path:
    """Where the small files are, or will be."""
    return places.cache() / "descriptions" / slug(source)


def read(source: HubSource) -> dict[str, Any] | None:
    """The repository's facts: repo, revision, commit, license, size. None where nothing was fetched yet."""
    return manifest.read(folder(source))


def fetch(source: HubSource, *, anew: bool = False) -> dict[str, Any]:
    """The repository's facts, and its small files in their folder; ``anew``: at the revision's newest commit.

    Raises ModelError (missing, gated, unreachable, refused) or OutputError (the cache cannot be written).
    """
    from llmcli.models import hub

    target = folder(source)
    work = target.with_name(f"{target.name}.partial")
    with building.lock(target):
        known = manifest.read(target)
        if known is not None and (not anew or hub.newest(source) == known["commit"]):
            return known
        shutil.rmtree(work, ignore_errors=True)
        try:
            work.mkdir()
            manifest.write(work, **hub.describe(source, work))
            building.place(work, target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return manifest.read(target) or {}


def remove(source: HubSource) -> None:
    """Forget a repository."""
    target = folder(source)
    shutil.rmtree(target, ignore_errors=True)
    Path(f"{target}.lock").unlink(missing_ok=True)
