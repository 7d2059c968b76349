"""How much memory there is: for saying, before anything is made, that it would not fit."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

from llmcli.errors import LlmcliError, ModelError, OutOfMemory, out_of_memory

LIBRARIES = 800 << 20
"""Address space that torch and transformers take, measured: 680 MB."""
TOKENIZER = 10
"""Bytes that a tokenizer takes while it is read, for each of its file, measured: 8 for a file of 33 MB."""
GROUP = Path("/sys/fs/cgroup")


def need(size: int, what: str, *, device: str = "cpu") -> None:
    """Raise OutOfMemory for ``size`` bytes that cannot be had; ``what`` needs them."""
    there = free(device)
    if there is not None and size > there:
        raise OutOfMemory(f"{what} needs {size / 1e9:.1f} GB of memory, and {max(there, 0) / 1e9:.1f} GB are free",
                          hint="give a smaller model, or free some memory")  # fmt: skip


def unreadable(path: Path, error: OSError, *, code: str) -> LlmcliError:
    """The error of a model's file that cannot be opened, or for which there is no address space."""
    if out_of_memory(error):
        return OutOfMemory(f"{path}: out of memory while it was read", hint="give a smaller model")
    return ModelError(f"{path}: {error.strerror or error}", code=code)


def free(device: str = "cpu") -> int | None:
    """Bytes that this process can still have; None where the system does not say."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    known = [size for size in (_machine(), _group(), address_space()) if size is not None]
    return min(known) if known else None


def spare(device: str) -> int:
    """Bytes that a CUDA device can still give this process: free ones, and those that torch keeps for it."""
    import torch

    return (free(device) or 0) + int(torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def address_space() -> int | None:
    """Bytes left of the limit that ``ulimit -v`` set; None without one."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return None
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return soft - pages * os.sysconf("SC_PAGE_SIZE")
    return soft


def _machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    facts = {line.partition(":")[0]: int(line.split()[1]) << 10 for line in lines if line.endswith("kB")}
    return facts["MemAvailable"] + facts.get("SwapFree", 0) if "MemAvailable" in facts else None


def _group() -> int | None:
    """What the control group leaves; the files that it has cached can go."""
    try:
        limit, used = ((GROUP / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        facts = dict(line.split() for line in (GROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return int(limit) - int(used) + int(facts.get("inactive_file", 0)) if limit.isdecimal() else None
