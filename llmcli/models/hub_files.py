"""Which files of a repository of the Hub are fetched."""

from __future__ import annotations

import fnmatch
from pathlib import PurePosixPath

from llmcli.errors import ModelError
from llmcli.models import checking

NEEDED = ("config.json", "generation_config.json", checking.POOLING, *checking.TOKENIZER)
INDEX, WEIGHTS = (checking.INDEX,), ("*.safetensors",)


def needed(sizes: dict[str, int], repo: str) -> tuple[list[str], list[str]]:
    """The small files and the weights: of the repository's top folder, and how a sentence embedding is pooled."""
    for name, size in sizes.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
            raise ModelError(f"{repo}: refused: it names a file outside its folder", code="hostile")
        if _top(name) and like(name, NEEDED + INDEX + WEIGHTS) and not (name.isprintable() and size >= 0):
            raise ModelError(f"{repo}: refused: a file of an impossible name or size", code="hostile")
    small = [name for name in sizes if _top(name) and like(name, NEEDED + INDEX)]
    weights = [name for name in sizes if _top(name) and like(name, WEIGHTS) and "consolidated" not in name]
    if "config.json" not in small:
        raise ModelError(f"{repo}: no config.json: not a checkpoint of transformers", code="bad-model")
    if not weights:
        raise ModelError(f"{repo}: no safetensors weights, and pickles are never fetched", code="no-safetensors",
                         hint="look for a converted revision of it, and give it in a YAML")  # fmt: skip
    return small, weights


def _top(name: str) -> bool:
    return "/" not in name or name == checking.POOLING


def like(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a name is like one of these, as the shell compares."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
