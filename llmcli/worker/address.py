"""Which worker is ours: its folder, socket, lock and log, and who is at the other end of a socket.

One worker serves one installation, cache and machine environment: these name its files.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

from llmcli import __version__
from llmcli.config import places
from llmcli.errors import WorkerError

LONGEST = 100
"""The system takes socket paths of 108 bytes, some systems of 104."""
MACHINE = ("CUBLAS_", "CUDA_", "GOMP_", "KMP_", "LD_LIBRARY_PATH", "LLMCLI_", "MKL_", "NVIDIA_", "OMP_", "OPENBLAS_",
           "PYTORCH_", "TORCH")  # fmt: skip
"""Variables, by their beginning, that libraries read once; and ours: one that no request brings along."""
APART = ("LLMCLI_CACHE_DIR", "LLMCLI_WORKER")
"""Those of ours that do not count: the cache is named as the folder that it is, and whom to ask is the client's."""
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True)
class Address:
    """A worker's files."""

    socket: Path
    lock: Path
    log: Path


def find() -> Address:
    """The worker of this installation and environment; nothing is created."""
    machine = sorted((name, value) for name, value in os.environ.items()
                     if name.startswith(MACHINE) and name not in (*places.CALLERS, *APART))  # fmt: skip
    facts = repr([str(places.PACKAGE), sys.prefix, str(places.cache()), machine])
    key = _digest(os.fsencode(facts))
    folder = _folder()
    if len(os.fsencode(folder / f"{key}.socket")) > LONGEST:
        folder = Path(f"/tmp/llmcli-{os.getuid()}")
    log = places.cache() / "logs" / f"worker-{key}.log"
    return Address(folder / f"{key}.socket", folder / f"{key}.lock", log)


def _folder() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime) and os.path.isdir(runtime):
        return Path(runtime) / "llmcli"
    return places.cache() / "worker"


def make(folder: Path) -> None:
    """Make the folder, or check that it is safe. Raises WorkerError."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise WorkerError(f"{folder}: {error.strerror or error}", code="worker-folder") from error
    check(folder)


def check(folder: Path) -> None:
    """Raise WorkerError unless the folder is a real one, ours, and closed to others."""
    try:
        found = os.lstat(folder)
    except OSError as error:
        raise WorkerError(f"{folder}: {error.strerror}", code="worker-folder") from error
    if not stat.S_ISDIR(found.st_mode):
        raise WorkerError(f"{folder}: not a folder", code="worker-folder", hint="remove it")
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise WorkerError(f"{folder}: open to other users", code="worker-folder", hint=f"chmod 700 {folder}")


def bind(place: Address) -> socket.socket:
    """A listening socket that only its owner can open. The lock is ours: what lies there is stale."""
    with contextlib.suppress(FileNotFoundError):
        place.socket.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        sock.bind(str(place.socket))
    finally:
        os.umask(before)
    return sock


def peer(sock: socket.socket) -> tuple[int, int]:
    """Process and user at the other end; where the system does not tell, 0 and ourselves: the folder is closed."""
    if not hasattr(socket, "SO_PEERCRED"):
        return 0, os.getuid()
    pid, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return pid, uid


def source() -> str:
    """What tells the code on disk from the code that a worker runs: version, files, installed packages."""
    facts = [__version__]
    for folder, inner, names in os.walk(places.PACKAGE):
        inner[:] = [name for name in inner if name not in ("__pycache__", "configs")]
        facts += [_fact(os.path.join(folder, name)) for name in names if name.endswith(".py")]
    facts += [_fact(path) for path in sys.path if path.startswith(sys.prefix) and path.endswith("-packages")]
    return _digest("\n".join(sorted(facts)).encode())


def _digest(facts: bytes) -> str:
    """64 bits that tell facts apart. Nobody gains by a collision, and hashlib takes 3 ms to import."""
    return f"{zlib.crc32(facts):08x}{zlib.crc32(facts[::-1]):08x}"


def _fact(path: str) -> str:
    try:
        found = os.stat(path)
    except OSError:
        return path
    return f"{path} {found.st_size} {found.st_mtime_ns}"
