"""What a training run leaves on the disk, so that one that was cut off goes on: JSON with a check, and safetensors.

An entry is replaced whole: its tensors are in a file of their own name, which the JSON names with its digest.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from llmcli.errors import OutputError, UsageError, shown

if TYPE_CHECKING:
    import torch

HEAD = "fingerprint"
ANEW = "--no-resume starts anew"


@dataclass(frozen=True)
class Entry:
    """What was kept under a name."""

    values: dict[str, Any]
    tensors: dict[str, torch.Tensor]


class State:
    """A folder of entries; only one run at a time holds it. Everything raises OutputError where it cannot be written.

    ``resume``: go on with what is there, or (False) begin anew; None: neither, where something is there.
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, str], *, resume: bool | None) -> None:
        self.folder = folder
        with self._written():
            folder.mkdir(parents=False, exist_ok=True)
            self._lock = self._locked()
        if not resume and self._path(HEAD).exists():
            if resume is None:
                raise UsageError(f"{shown(folder)}: an unfinished run left its state here", code="unfinished",
                                 hint=f"--resume goes on, {ANEW}")  # fmt: skip
            self.clear()
        before = self.get(HEAD)
        if before is None:
            self.put(HEAD, dict(fingerprint))
        elif changed := sorted(name for name in {**before.values, **fingerprint}
                               if before.values.get(name) != fingerprint.get(name)):  # fmt: skip
            raise UsageError(f"{shown(folder)}: the state was made with other rows or settings: {', '.join(changed)}",
                             code="changed", hint=f"give the same ones, or {ANEW}")  # fmt: skip

    def _locked(self) -> IO[bytes]:
        lock = open(self.folder / "lock", "ab")  # noqa: SIM115  held until the process ends
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{shown(self.folder)}: another run is training there", code="locked",
                             hint="wait for it to end") from None  # fmt: skip
        return lock

    @contextlib.contextmanager
    def _written(self) -> Any:
        from safetensors import SafetensorError

        try:
            yield
        except (OSError, SafetensorError) as error:
            raise unwritten(self.folder, error) from error

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def get(self, name: str) -> Entry | None:
        """An entry; None where there is none. Raises UsageError for one that is damaged."""
        try:
            raw = self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        check, _, payload = raw.partition(b"\n")
        if check != _digest(payload):
            raise self._damaged(self._path(name))
        held = json.loads(payload)
        return Entry(held["values"], self._tensors(held["file"], held["digest"]) if held["file"] else {})

    def _tensors(self, name: str, digest: str) -> dict[str, torch.Tensor]:
        from safetensors.torch import load

        path = self.folder / name
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise self._damaged(path) from error
        if _digest(raw).decode() != digest:
            raise self._damaged(path)
        return load(raw)

    def _damaged(self, path: Path) -> UsageError:
        return UsageError(f"{shown(path)}: damaged", code="damaged", hint=ANEW)

    def put(self, name: str, values: Mapping[str, Any], tensors: Mapping[str, torch.Tensor] | None = None) -> None:
        """Keep an entry in place of an older one: either is there whole, whenever the process ends."""
        with self._written():
            file = digest = ""
            if tensors:
                from safetensors.torch import save

                raw = save({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()})
                digest = _digest(raw).decode()
                file = f"{name}-{digest[:16]}.safetensors"
                _replace(self.folder / file, raw)
            payload = json.dumps({"values": dict(values), "file": file, "digest": digest}).encode()
            _replace(self._path(name), _digest(payload) + b"\n" + payload)
            for old in self.folder.glob(f"{name}-*.safetensors"):
                if old.name != file:
                    old.unlink()

    def clear(self) -> None:
        """Remove all entries, and what was being built."""
        for path in self.folder.iterdir():
            if path.name != "lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def close(self, *, remove: bool) -> None:
        """Let go of the folder; ``remove``: nothing of it is needed any more."""
        if remove:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()


def unwritten(place: Path, error: Exception) -> OutputError:
    """The one line for what cannot be written."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    full = "No space left" in why or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return OutputError(f"{shown(place)}: {why}", code="write", hint="free some room, then --resume" if full else "")


def _digest(raw: bytes) -> bytes:
    return hashlib.blake2b(raw, digest_size=16).hexdigest().encode()


def _replace(path: Path, raw: bytes) -> None:
    partial = path.with_name(f"{path.name}.new")
    try:
        with partial.open("wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    partial.replace(path)
