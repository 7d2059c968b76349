"""The header of a safetensors file: names and sizes of its tensors, without a byte of them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from llmcli.errors import ModelError
from llmcli.models import memory

LARGEST = 100_000_000
"""The most bytes of a header, as the format's own library has it."""
DIMENSIONS = 16
"""The most dimensions of a tensor."""
BITS = {"F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16,
        "U16": 16, "BOOL": 8, "I8": 8, "U8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F6_E2M3": 6, "F6_E3M2": 6,
        "F4": 4}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """What the header says of a tensor."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


def header(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name. Raises ModelError for a header that does not describe its file."""
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            room = path.stat().st_size - 8
            if not 2 <= length <= min(LARGEST, room):
                raise _damaged(path, "its header's length is wrong")
            found = json.loads(stream.read(length))
    except OSError as error:
        raise memory.unreadable(path, error, code="bad-model") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "its header cannot be read") from error
    if not isinstance(found, dict):
        raise _damaged(path, "its header cannot be read")
    return {name: _tensor(path, facts, room - length) for name, facts in found.items() if name != "__metadata__"}


def _tensor(path: Path, facts: object, room: int) -> Tensor:
    match facts:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)]} if dtype in BITS:
            tensor = Tensor(dtype, tuple(shape))
        case _:
            raise _damaged(path, "its header cannot be read")
    whole = len(shape) <= DIMENSIONS and all(type(size) is int and size >= 0 for size in shape)
    if not (whole and 0 <= begin <= end <= room and (end - begin) * 8 == tensor.numbers * BITS[dtype]):
        raise _damaged(path, "a tensor's size does not fit the file")
    return tensor


def _damaged(path: Path, what: str) -> ModelError:
    return ModelError(f"{path}: the weights are damaged: {what}", code="bad-model")
