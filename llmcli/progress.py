"""What the user sees while a model is made ready: a bar on a terminal, a line elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from llmcli.output import say
from llmcli.schemas import ModelConfig


@contextlib.contextmanager
def preparing(model: ModelConfig, *, quiet: bool, bar: bool) -> Iterator[Callable[[str, float], None]]:
    """A ``report(stage, share)`` for the first use of a model; the licence is named there."""
    with contextlib.ExitStack() as stack:
        yield _Report(model, stack, quiet=quiet, bar=bar and sys.stderr is not None and sys.stderr.isatty())


class _Report:
    def __init__(self, model: ModelConfig, stack: contextlib.ExitStack, *, quiet: bool, bar: bool) -> None:
        self._model, self._stack, self._quiet, self._bar = model, stack, quiet, bar
        self._update: Callable[[str, float], None] | None = None

    def __call__(self, stage: str, share: float) -> None:
        if self._quiet:
            return
        if self._update is None:
            self._update = self._start()
        self._update(stage, share)

    def _start(self) -> Callable[[str, float], None]:
        model = self._model
        say(f"llmcli: preparing {model.name}{f' ({model.size})' if model.size else ''}, once; this takes a minute")
        if model.license:
            say(f"llmcli: licence: {model.license.name} {model.license.url} {model.license.notice}".rstrip())
        if not self._bar:
            return lambda stage, share: None
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
            console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self._stack.enter_context(bar)
        task = bar.add_task(model.name, total=1.0)

        def update(stage: str, share: float) -> None:
            bar.update(task, description=f"{model.name}: {stage}", completed=share)
            if share >= 1.0:
                bar.stop()

        return update
