"""Steps that are recorded once on a GPU, as CUDA graphs, and replayed: launching them takes longer than they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Step = Callable[[], None]
ROUND = 128
"""A slot's room is a multiple of it on a GPU, so that what was recorded serves the next prompts too."""
SHRINKS = 4
"""A batch has all slots, or a fourth, or a sixteenth: each size is recorded by itself."""


def used(model: Any) -> bool:
    """Whether a model's steps are recorded."""
    return bool(model.device.type == "cuda")


def recorded(step: Step) -> Step:
    """What takes a step, all of it at once. It has run before: libraries prepare what they need the first time."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def slots(rows: int) -> int:
    """How many slots are made for so many rows: a power of two."""
    return 1 << (rows - 1).bit_length()


def room(tokens: int) -> int:
    """How many tokens a slot is made for."""
    return -(-tokens // ROUND) * ROUND


def size(count: int, rows: int) -> int:
    """Of how many of ``count`` slots a step for so many rows is."""
    while count // SHRINKS >= rows:
        count //= SHRINKS
    return count
