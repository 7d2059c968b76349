"""What the store keeps beside a checkpoint for the next time: rounded weights, and what constant prompts came to."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import __version__ as transformers_version

from llmcli import __version__
from llmcli.models import manifest
from llmcli.models.originals import FULL

log = logging.getLogger("llmcli")
"""Heard under ``-v``."""
PREFIX, PREFIXES = "prefix-", 8
"""How files of constant prompt parts begin, and how many there are at most."""
LARGEST = 1 << 26
"""The most bytes of such a file."""
ALIGNED = 64
"""Kernels of matrix products want memory that begins at a multiple of so many bytes; elsewhere one ends with a
segmentation fault. The checkpoint's own file holds float32, which torch's own kernels read anywhere."""


def of(name: str, weights: str) -> str:
    """The file of what was made of these weights: of a model that is pulled anew meanwhile, nothing old is believed."""
    return f"{name}-{weights[:12]}.safetensors"


class Tensors(dict[str, torch.Tensor]):
    """The tensors of a file, by name: a model that holds them shares them with the next one of the same file."""


_held: weakref.WeakValueDictionary[tuple[Path, int, int], Tensors] = weakref.WeakValueDictionary()
"""What models of this process hold, by the file as it was."""


def read(folder: Path | None, name: str) -> Tensors | None:
    """The tensors of a file of the store, mapped; None where it is not there whole. Nobody writes to them."""
    if folder is None or not _there(folder, name):
        return None
    aligned = ALIGNED if name != FULL else 1
    try:
        facts = (folder / name).stat()
        key = (folder / name, facts.st_ino, facts.st_mtime_ns)
        if (held := _held.get(key)) is not None:
            return held
        loaded = load_file(folder / name)
    except (OSError, SafetensorError):
        return None  # another process removed it just now; what is damaged, loading the whole checkpoint will say
    held = _held[key] = Tensors(
        {name: value.clone() if value.data_ptr() % aligned else value for name, value in loaded.items()}
    )
    return held


def _there(folder: Path, name: str) -> bool:
    return name in (manifest.read(folder) or {"files": {}})["files"] and (folder / name).is_file()


def write(folder: Path, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Store tensors, unless another process just did.

    Where the cache cannot be written, they are made again the next time.
    """
    with _dispensable(folder), manifest.locked(folder):
        if not _there(folder, name):
            _write(folder, name, tensors)


@contextlib.contextmanager
def _dispensable(folder: Path) -> Iterator[None]:
    """Do without a file that can be made again, where the cache cannot be written; ``-v`` says so."""
    try:
        yield
    except OSError as error:
        log.info("%s: nothing is stored for the next time: %s", folder, error.strerror or error)


def _write(folder: Path, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
    partial = folder / f"{name}.{os.getpid()}.partial"
    try:
        save_file(dict(tensors), partial, metadata={"format": "pt", "pad": ""})
        # The tensors follow a header, whose length is the file's first number; with padding in it they are aligned.
        with partial.open("rb") as stream:
            begin = 8 + int.from_bytes(stream.read(8), "little")
        if pad := -begin % ALIGNED:
            save_file(dict(tensors), partial, metadata={"format": "pt", "pad": "." * pad})
        partial.replace(folder / name)
        manifest.add(folder, name)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        log.info("%s: not stored for the next time: %s", folder / name, error)


def discard(folder: Path | None, name: str) -> None:
    """Remove a file that is of no use: an earlier version of llmcli wrote it."""
    if folder is not None and _there(folder, name):
        with _dispensable(folder), manifest.locked(folder):
            manifest.remove(folder, name)
            (folder / name).unlink(missing_ok=True)


class Prefixes:
    """Keys and values of constant prompt parts, each in a file; the last few are kept.

    Implements :class:`llmcli.pipelines.fast.prefix.Kept`.
    """

    def __init__(self, folder: Path, *, facts: str) -> None:
        self._folder = folder
        versions = f"{__version__} {torch.__version__} {transformers_version}"
        self._facts = f"{facts} {versions} {torch.backends.cpu.get_cpu_capability()}"
        """What decides the numbers, besides the weights."""

    def _name(self, prefix: tuple[int, ...]) -> str:
        digest = hashlib.blake2b(f"{self._facts} {prefix}".encode(), digest_size=8).hexdigest()
        return f"{PREFIX}{digest}.safetensors"

    def get(self, prefix: tuple[int, ...]) -> dict[str, torch.Tensor] | None:
        """What was put there; None where nothing was."""
        return read(self._folder, self._name(prefix))

    def put(self, prefix: tuple[int, ...], tensors: Mapping[str, torch.Tensor]) -> None:
        """Keep the tensors of a prefix, unless they are large; the oldest go where there are too many."""
        if sum(tensor.nbytes for tensor in tensors.values()) > LARGEST:
            return
        write(self._folder, self._name(prefix), tensors)
        with _dispensable(self._folder), manifest.locked(self._folder):
            files = sorted(self._folder.glob(f"{PREFIX}*.safetensors"), key=lambda file: file.stat().st_mtime_ns)
            for file in files[:-PREFIXES]:
                manifest.remove(self._folder, file.name)
                file.unlink(missing_ok=True)
