"""Gradient descent on a loss, judged by the task's own measure: AdamW, warm-up and decay, early stopping.

Everything that decides the weights follows from the seed and the step, so that a run that was cut off, and goes on,
gives the weights of one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from llmcli.errors import GenerationError, OutOfMemory, out_of_memory
from llmcli.train.objectives import Item, Objective
from llmcli.train.state import State

WARM_UP = 0.1
"""The share of the steps in which the rate rises; then it falls to nothing."""
POOL = 8
"""Batches that are sorted by length together: so little is padded."""
PATIENCE = 2
"""Judgements without a better one after which training ends."""
CLIP = 1.0
"""The most that a step's gradient may measure."""
SAVE, SHARE = 20.0, 20
"""Seconds between two states, and how many times as long as saving one took."""
MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW remembers of a parameter."""
TRIED = 3
"""Steps after which it is known how many fit the time that there is."""


@dataclass(frozen=True)
class Plan:
    """How it is trained. ``end``: the time, of the monotonic clock, at which it must end."""

    epochs: int
    batch: int
    rate: float
    seed: int
    end: float | None = None
    stop: Callable[[], bool] = lambda: False
    """Whether it is to end now, with the best so far."""


@dataclass(frozen=True)
class Judgement:
    """How good it is: the task's measure, and where that is equal the loss, on rows that are not learnt from."""

    measure: float
    loss: float

    @property
    def key(self) -> tuple[float, float]:
        """More is better."""
        return self.measure, -self.loss


@dataclass
class Progress:
    """How far training is; ``left`` in seconds, None where it is not known yet."""

    method: str
    step: int
    steps: int
    loss: float
    best: float | None
    left: float | None


@dataclass
class Run:
    """Training of some parameters, by name. ``judge`` says how good they are; ``hear`` how far it is."""

    objective: Objective
    parameters: Mapping[str, torch.nn.Parameter]
    items: Sequence[Item]
    plan: Plan
    judge: Callable[[], Judgement]
    state: State
    name: str
    hear: Callable[[Progress], None] = lambda progress: None
    step: int = 0
    best: Judgement | None = None
    found: dict[str, torch.Tensor] = field(default_factory=dict)
    """The best parameters so far."""
    worse: int = 0
    rows: int = 0
    """Rows that are worked on together: fewer than a batch where memory is short."""

    def __post_init__(self) -> None:
        self._each = -(-len(self.items) // self.plan.batch)
        self.steps = self._each * self.plan.epochs
        self.rows = self.rows or self.plan.batch
        self._optimizer = torch.optim.AdamW([*self.parameters.values()], lr=self.plan.rate, weight_decay=0.0)
        self._epoch: tuple[int, list[list[int]]] | None = None
        self._saved, self._pause = time.monotonic(), SAVE
        self._resume()

    def __call__(self) -> dict[str, torch.Tensor]:
        """Train; gives the best parameters, none where not a step was done. Raises GenerationError, OutOfMemory."""
        begin, first = time.monotonic(), self.step
        while self.step < self.steps and self.worse < PATIENCE:
            loss = self._step(self._batch())
            self.step += 1
            done, spent = self.step - first, time.monotonic() - begin
            if self.plan.end is not None and self.step == TRIED:
                fit = int((self.plan.end - time.monotonic()) * 0.8 / (spent / done))
                self.steps = min(self.steps, max(self.step + fit, TRIED))
            left = spent / done * (self.steps - self.step) if done >= TRIED else None
            self.hear(Progress(self.name, self.step, self.steps, loss, self.best.measure if self.best else None, left))
            over = self.plan.stop() or (self.plan.end is not None and time.monotonic() > self.plan.end)
            if over or self.step == self.steps or not self.step % self._each:
                self._judge()
            elif time.monotonic() - self._saved > self._pause:
                self._save()
            if over:
                break
        return self.found

    def _batch(self) -> list[Item]:
        """The rows of this step. Rows of like length are together, batches in any order."""
        epoch, place = divmod(self.step, self._each)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, self._batches(epoch)
        return [self.items[at] for at in self._epoch[1][place]]

    def _batches(self, epoch: int) -> list[list[int]]:
        draw = torch.Generator().manual_seed(self.plan.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.items), generator=draw).tolist()
        size = self.plan.batch
        batches = []
        for begin in range(0, len(order), size * POOL):
            pool = sorted(order[begin : begin + size * POOL], key=lambda at: (len(self.items[at]), at))
            batches += [pool[at : at + size] for at in range(0, len(pool), size)]
        mixed = torch.randperm(len(batches), generator=draw).tolist()
        return [batches[at] for at in mixed]

    def _rate(self) -> float:
        warm = max(int(self.steps * WARM_UP), 1)
        rising, falling = (self.step + 1) / warm, (self.steps - self.step) / max(self.steps - warm, 1)
        return self.plan.rate * min(rising, falling, 1.0)

    def _step(self, batch: Sequence[Item]) -> float:
        """One step; its mean loss. Where memory runs out, half as many rows are worked on together."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate()
        while True:
            self._optimizer.zero_grad(set_to_none=True)
            try:
                total = 0.0
                for begin in range(0, len(batch), self.rows):
                    loss = self.objective.loss(batch[begin : begin + self.rows]) / len(batch)
                    loss.backward()  # type: ignore[no-untyped-call]
                    total += float(loss.detach())
                break
            except (RuntimeError, MemoryError) as error:
                self._halve(error)
        if total != total or total in (float("inf"), float("-inf")):
            raise GenerationError(f"the loss is no number at step {self.step + 1}", code="non-finite",
                                  hint="give a lower --rate")  # fmt: skip
        torch.nn.utils.clip_grad_norm_([*self.parameters.values()], CLIP)
        self._optimizer.step()
        return total

    def _halve(self, error: BaseException) -> None:
        if not out_of_memory(error):
            raise error
        if self.rows == 1:
            raise OutOfMemory("out of memory with a single row", hint="give a smaller model") from error
        self.rows = -(-self.rows // 2)

    def _judge(self) -> None:
        judged = self.judge()
        if self.best is None or judged.key > self.best.key:
            self.best, self.worse = judged, 0
            self.found = {name: part.detach().clone() for name, part in self.parameters.items()}
        else:
            self.worse += 1
        self._save()

    def _save(self) -> None:
        begin = time.monotonic()
        tensors: dict[str, torch.Tensor] = {f"now {name}": part for name, part in self.parameters.items()}
        for name, part in self.parameters.items():
            held = self._optimizer.state.get(part, {})
            tensors |= {f"{key} {name}": held[key] for key in MOMENTS if key in held}
        tensors |= {f"best {name}": part for name, part in self.found.items()}
        best = None if self.best is None else [self.best.measure, self.best.loss]
        self.state.put(self.name, {"step": self.step, "steps": self.steps, "worse": self.worse, "rows": self.rows,
                                   "best": best}, tensors)  # fmt: skip
        self._saved = time.monotonic()
        self._pause = max(SAVE, SHARE * (self._saved - begin))

    def _resume(self) -> None:
        held = self.state.get(self.name)
        if held is None:
            return
        values: dict[str, Any] = held.values
        self.step, self.steps, self.worse = values["step"], values["steps"], values["worse"]
        self.rows = values["rows"]
        self.best = Judgement(*values["best"]) if values["best"] else None
        tensors = held.tensors
        with torch.no_grad():
            for name, part in self.parameters.items():
                part.copy_(tensors[f"now {name}"])
                if f"step {name}" in tensors:
                    self._optimizer.state[part] = {  # the count of steps stays where it is: AdamW reads it as a number
                        key: tensors[f"{key} {name}"].to("cpu" if key == "step" else part.device) for key in MOMENTS
                    }
                if f"best {name}" in tensors:
                    self.found[name] = tensors[f"best {name}"].to(part)
