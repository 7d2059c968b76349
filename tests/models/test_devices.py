"""Where a model runs, in which number format, on how many cores."""

from __future__ import annotations

import pytest
import torch

from llmcli.errors import LlmcliError, UsageError
from llmcli.models import devices

PICKED = {
    # name: asked, CUDA there, MPS there, picked (None: refused)
    "nothing but a processor": (None, False, False, "cpu"),
    "auto takes CUDA": ("auto", True, True, "cuda"),
    "auto takes MPS": ("auto", False, True, "mps"),
    "the processor all the same": ("cpu", True, True, "cpu"),
    "CUDA": ("cuda", True, False, "cuda"),
    "no CUDA": ("cuda", False, True, None),
    "no CUDA of a number": ("cuda:1", False, False, None),
    "no MPS": ("mps", True, False, None),
}


@pytest.mark.parametrize("name", PICKED)
def test_pick(monkeypatch: pytest.MonkeyPatch, name: str):
    asked, cuda, mps, picked = PICKED[name]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(cuda))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1, 2))
    if picked is None:
        with pytest.raises(UsageError, match=f"no {asked} device"):
            devices.pick(asked)
    else:
        assert devices.pick(asked) == picked


BUSY = "CUDA error: CUDA-capable device(s) is/are busy or unavailable\nSearch for it"
FULL = "CUDA error: out of memory\nSearch for it"
SEVERAL = {
    # asked, what each device has free (or says), picked or the exit code and what is said
    "the most free": ("cuda", [3, 9, 5], "cuda:1"),
    "auto too": (None, [3, 2], "cuda:0"),
    "the one that was asked for": ("cuda:2", [3, 9, 5], "cuda:2"),
    "a busy one is left": ("cuda", [BUSY, 1], "cuda:1"),
    "one": ("cuda", [5], "cuda"),
    "busy": ("cuda", [BUSY], (2, "cuda cannot be used: CUDA error: CUDA-capable device")),
    "full": ("cuda:1", [9, FULL], (8, "cuda:1 has no memory left")),
    "all full": ("cuda", [FULL, FULL], (8, "cuda has no memory left")),
    "not so many": ("cuda:7", [9, 9], (2, "no cuda:7 device on this machine: it has 2")),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_several_devices(monkeypatch: pytest.MonkeyPatch, name: str):
    asked, free, picked = SEVERAL[name]

    def info(device: str) -> tuple[int, int]:
        found = free[int(device.partition(":")[2] or 0)]
        if isinstance(found, str):
            raise RuntimeError(found)
        return found, 99

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(free))
    monkeypatch.setattr(torch.cuda, "mem_get_info", info)
    if isinstance(picked, str):
        assert devices.pick(asked) == picked
        return
    with pytest.raises(LlmcliError) as error:
        devices.pick(asked)
    assert (error.value.exit_code, picked[1] in str(error.value), "\n" in str(error.value)) == (picked[0], True, False)


@pytest.mark.parametrize(
    ("name", "fast", "dtype"),
    [("auto", True, torch.bfloat16), ("auto", False, torch.float32), ("float16", True, torch.float16)],
)
def test_dtype(monkeypatch: pytest.MonkeyPatch, name: str, fast: bool, dtype: torch.dtype):
    monkeypatch.setattr(devices, "bfloat16", lambda: fast)
    assert devices.dtype(name, "cpu") == dtype
