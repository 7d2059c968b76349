"""Where a model runs, in which number format, on how many cores."""

from __future__ import annotations

import pytest
import torch

from llmcli.errors import UsageError
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
    if picked is None:
        with pytest.raises(UsageError, match=f"no {asked} device"):
            devices.pick(asked)
    else:
        assert devices.pick(asked) == picked


@pytest.mark.parametrize(
    ("name", "fast", "dtype"),
    [("auto", True, torch.bfloat16), ("auto", False, torch.float32), ("float16", True, torch.float16)],
)
def test_dtype(monkeypatch: pytest.MonkeyPatch, name: str, fast: bool, dtype: torch.dtype):
    monkeypatch.setattr(devices, "bfloat16", lambda: fast)
    assert devices.dtype(name, "cpu") == dtype
