"""Where a model runs, in which number format, on how many cores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from llmcli.errors import OutOfMemory, UsageError
from llmcli.models import memory


def pick(name: str | None) -> str:
    """``auto``: CUDA, else MPS, else the CPU. Of several CUDA devices the one with the most free memory.

    Raises UsageError for a device that is not there or that cannot be used, OutOfMemory for one that is full.
    """
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name in (None, "auto"):
        name = "cuda" if cuda else "mps" if mps else "cpu"
    assert name is not None
    if (name.startswith("cuda") and not cuda) or (name == "mps" and not mps):
        raise UsageError(f"no {name} device on this machine", hint="use --device cpu")
    if name.startswith("cuda:") and int(name.removeprefix("cuda:")) >= (devices := torch.cuda.device_count()):
        raise UsageError(f"no {name} device on this machine: it has {devices}, and they count from 0",
                         hint="use --device cuda")  # fmt: skip
    return _usable(name) if name.startswith("cuda") else name


def cuda(name: str | None) -> bool:
    """Whether a device's name, or ``auto``, stands for a CUDA device here."""
    import torch

    return torch.cuda.is_available() if name in (None, "auto") else str(name).startswith("cuda")


def _usable(name: str) -> str:
    """A CUDA device that has memory to give."""
    import torch

    count = torch.cuda.device_count()
    names = [f"cuda:{number}" for number in range(count)] if name == "cuda" and count > 1 else [name]
    free: dict[str, int] = {}
    why = ""
    for one in names:
        try:
            free[one] = memory.free(one) or 0
        except RuntimeError as error:  # another process has it for itself, or all of its memory
            why = str(error).partition("\n")[0]
    if free:
        return max(free, key=lambda one: free[one])
    if "out of memory" in why:
        raise OutOfMemory(f"{name} has no memory left", hint="free some, or use --device cpu")
    raise UsageError(f"{name} cannot be used: {why}", code="busy-device", hint="use --device cpu")


def dtype(name: str | None, device: str) -> Any:
    """The torch dtype of a name; ``auto``: bfloat16 where the device has arithmetic for it, else float32."""
    import torch

    if name not in (None, "auto"):
        return getattr(torch, str(name))
    fast = bfloat16() if device == "cpu" else device.startswith("cuda") and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def bfloat16() -> bool:
    """Whether the processor has bfloat16 arithmetic; without it, float32 is quicker."""
    import torch

    found = torch.cpu.get_capabilities()
    return any(found.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def cores(group: Path = Path("/sys/fs/cgroup")) -> int:
    """Processor cores that this process may use: its affinity, and the share that its control group may take."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for quota, period in ((group / "cpu.max",) * 2, (group / "cpu/cpu.cfs_quota_us", group / "cpu/cpu.cfs_period_us")):
        try:
            share, whole = quota.read_text().split()[0], period.read_text().split()[-1]
        except OSError:
            continue
        if share.isdecimal():  # else "max", or -1
            return max(1, min(allowed, round(int(share) / int(whole))))
    return allowed
