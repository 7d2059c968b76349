"""``--cost``: tokens, seconds, peak memory, and the energy that the machine's counters tell: nothing is guessed."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmcli.reports import human

POWERCAP = Path("/sys/class/powercap")
"""Where Linux has the processors' energy counters; on many machines only root may read them."""
NVML = "libnvidia-ml.so.1"


@dataclass(frozen=True)
class Cost:
    """``memory``: the most bytes that the process which worked has held since it began. ``joules``: of the whole
    machine while the run lasted, what else it did and its idling too, by source; empty where no counter tells.
    """

    input_tokens: int
    output_tokens: int
    seconds: float
    memory: int | None
    joules: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens,
                "seconds": round(self.seconds, 3), "peak_memory": self.memory,
                "energy_joules": {name: round(value, 3) for name, value in self.joules.items()} or None}  # fmt: skip

    def line(self) -> str:
        """For people."""
        memory = "not known" if self.memory is None else human(self.memory)
        told = ", ".join(f"{value:.1f} J ({name})" for name, value in self.joules.items())
        energy = f"energy of the whole machine {told}" if told else "energy not measurable here"
        return (f"cost: {self.input_tokens:,} tokens in, {self.output_tokens:,} out, {self.seconds:.1f} s, "
                f"peak memory {memory}, {energy}")  # fmt: skip


class Meter:
    """Measures from when it is made."""

    def __init__(self) -> None:
        self._start, self._counters = time.monotonic(), counters()

    def cost(self, *, input_tokens: int, output_tokens: int, pid: int) -> Cost:
        """What it was until now; ``pid`` is the process that works."""
        seconds, now = time.monotonic() - self._start, counters()
        joules = {
            name: self._counters[name].until(now[name]) for name in self._counters.keys() & now.keys()
        }  # a counter that came or went tells nothing
        return Cost(input_tokens, output_tokens, seconds, peak(pid), dict(sorted(joules.items())))


@dataclass(frozen=True)
class Counter:
    """Joules counted, and where the counter begins anew; 0: nowhere."""

    joules: float
    ends: float = 0.0

    def until(self, later: Counter) -> float:
        """Joules between the two."""
        spent = later.joules - self.joules
        return spent + self.ends if spent < 0 else spent


def counters() -> dict[str, Counter]:
    """The counters that this process can read."""
    return processors() | graphics()


def processors() -> dict[str, Counter]:
    """RAPL's counters of whole packages; their parts are counted in them."""
    found = {}
    for zone in sorted(POWERCAP.glob("*:*")) if POWERCAP.is_dir() else []:
        if zone.name.count(":") == 1:
            with contextlib.suppress(OSError, ValueError):
                name = (zone / "name").read_text().strip()
                joules, ends = (int((zone / file).read_text()) / 1e6 for file in ("energy_uj", "max_energy_range_uj"))
                if name.startswith("package"):
                    found[name] = Counter(joules, ends)
    return found


def graphics() -> dict[str, Counter]:
    """NVIDIA's counters, where its driver is."""
    import ctypes

    try:
        nvml = ctypes.CDLL(NVML)
        if nvml.nvmlInit_v2():
            return {}
    except (OSError, AttributeError):
        return {}
    found, count, spent = {}, ctypes.c_uint(), ctypes.c_ulonglong()
    nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
    for place in range(count.value):
        device = ctypes.c_void_p()
        if not nvml.nvmlDeviceGetHandleByIndex_v2(place, ctypes.byref(device)) and not (
            nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(spent))
        ):
            found[f"gpu-{place}"] = Counter(spent.value / 1e3)
    nvml.nvmlShutdown()
    return found


def peak(pid: int) -> int | None:
    """The most bytes of memory that a process has held; None where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().split("\n")
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    if pid != os.getpid():
        return None
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024
