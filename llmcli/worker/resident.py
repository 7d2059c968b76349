"""Models that stay loaded, within a memory limit: the least recently used goes first."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from llmcli.config.run_config import AnyConfig
from llmcli.errors import ModelError
from llmcli.models import store
from llmcli.pipelines import load
from llmcli.pipelines.protocol import Model
from llmcli.reports import Report
from llmcli.worker import memory

Key = tuple[str, str, str]


@dataclass
class Entry:
    """A loaded model: the bytes of its weights, by where they lie, and who holds it. What is held is never dropped."""

    name: str
    model: Model
    weights: dict[int, int]
    used: float = 0.0
    holders: weakref.WeakSet[Any] = field(default_factory=weakref.WeakSet)


class Resident:
    """The loaded models. ``check`` runs before each forward pass, and may raise to end it.

    ``limit``: the most bytes, of weights or of what the process ``used`` in all, whichever are more.
    """

    def __init__(self, *, limit: int, check: Callable[[], None], used: Callable[[], int] = memory.used) -> None:
        self.limit = limit
        self._check, self._used = check, used
        self._entries: dict[Key, Entry] = {}

    def get(self, config: AnyConfig, *, holder: object, report: Report) -> Model:
        """The model of a run, loaded if it is not, or if its weights have changed since."""
        key = _key(config)
        if key not in self._entries:
            self._drop(lambda old, _: old[0] == key[0] and old[1] != key[1])
            weights: dict[int, int] = {}
            model = load.load(config, report=report, watch=lambda module: weights.update(self._watch(module)))
            self._entries[key] = Entry(config.model.name, model, weights)
        entry = self._entries[key] = self._entries.pop(key)  # the last one is the newest
        entry.used = time.monotonic()
        entry.holders.add(holder)
        self.trim()
        return entry.model

    def trim(self) -> None:
        """Drop models that nobody holds, the least recently used first, until the limit is kept."""
        newest = next(reversed(self._entries), None)
        self._drop(lambda key, entry: key != newest and max(self.size, self._used()) > self.limit)

    def _drop(self, wanted: Callable[[Key, Entry], bool]) -> None:
        for key in [*self._entries]:
            if not self._entries[key].holders and wanted(key, self._entries[key]):
                del self._entries[key]
                gc.collect()  # pipelines hold themselves
                memory.give_back()

    @property
    def size(self) -> int:
        """Bytes of all weights: those that several models share count once."""
        every: dict[int, int] = {}
        for entry in self._entries.values():
            every |= entry.weights
        return sum(every.values())

    def list(self) -> list[dict[str, Any]]:
        """What is loaded: name, bytes, seconds since it was used."""
        now = time.monotonic()
        return [{"name": entry.name, "bytes": sum(entry.weights.values()), "idle": round(now - entry.used, 1)}
                for entry in tuple(self._entries.values())]  # fmt: skip

    def _watch(self, module: Any) -> dict[int, int]:
        """Hear of each forward pass, the inner model's too; the bytes of the weights, by where they lie."""
        for part in {id(part): part for part in (module, module.base_model)}.values():
            part.register_forward_pre_hook(lambda *_: self._check())
        return {weight.data_ptr(): weight.numel() * weight.element_size() for weight in module.parameters()}


def _key(config: AnyConfig) -> Key:
    """What decides the loaded model: the model, its weights, how it runs."""
    try:
        identity = store.identity(config.model, offline=config.offline)
    except ModelError:
        identity = ""  # loading it will say why
    names = {"device", "dtype", "quantize", "plain", "batch_size", "allow_pickle"}
    settings = config.settings.model_dump_json(include=names)
    return config.model.model_dump_json(), identity, f"{settings} {load.labelling(config)}"
