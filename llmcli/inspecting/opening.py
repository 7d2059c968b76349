"""A model as it is looked into: plain weights in float32, and attention that tells its weights."""

from __future__ import annotations

import contextlib
from typing import Any

from llmcli import tasks
from llmcli.config.run_config import AnyConfig
from llmcli.errors import GenerationError, ModelError
from llmcli.models import loading, store
from llmcli.reports import LOADING, READY, Introduced
from llmcli.run import resolve

DEFAULT = "gemma-3-270m"
"""The model that is looked into where the user's settings name none."""
PLAIN = {"plain": True, "dtype": "float32"}
LONGEST = 1024
"""Tokens of a text: what is kept of each grows with their number, attention with its square."""


def config(*, model: str | None, device: str | None = None, offline: bool = False) -> AnyConfig:
    """The settings of a look into a model: those that are given, else the user's for generate.

    Raises ModelError, UsageError, ConfigError.
    """
    task = tasks.get("generate")
    given: dict[str, Any] = PLAIN | {"model": model or resolve.users_model(task) or DEFAULT}
    given |= {"device": device} if device is not None else {}
    run = resolve.merged(task, given | ({"options": {"offline": True}} if offline else {}))
    if run.model.source.server is not None:
        raise ModelError("a server does not tell what goes on inside its model", code="wrong-task",
                         hint="give a model that is loaded here")  # fmt: skip
    return run


def encoder(run: AnyConfig, *, report: Introduced) -> Any:
    """The tokenizer alone, as a :class:`llmcli.pipelines.tokens.Encoder`. Raises ModelError."""
    report.introduce(run.model.name, store.introduction(run.model))
    folder = store.checkpoint(run.model, offline=run.offline, report=report)
    report(LOADING, 0.0)
    found = loading.examined(folder, allow_pickle=False)
    with loading.reported(folder, pickled=found.pickled):
        from llmcli.pipelines.tokens import Encoder

        stored = store.folder(run.model.source, name=run.model.stored) is not None
        read = loading.tokenizer(folder, converted=stored and run.model.source.converted)
    report(READY, 1.0)
    return Encoder(read)


def model(run: AnyConfig, *, report: Introduced) -> Any:
    """The model of a pipeline (``model``: torch's module, ``encoder``), its attention eager. Raises ModelError."""
    from llmcli.pipelines import load

    report.introduce(run.model.name, store.introduction(run.model))
    found = load.load(run, report=report)
    eager(found.model, required=False)  # type: ignore[attr-defined]
    report(READY, 1.0)
    return found


def eager(module: Any, name: str = "eager", *, required: bool = True) -> None:
    """Have a module compute attention in the way that tells its weights. Raises ModelError where it cannot."""
    from llmcli.models import foreign

    # Where it cannot be set, transformers says so, and leaves it: with any other than eager, it is not told.
    with foreign.quiet(), contextlib.suppress(ValueError, NotImplementedError):
        module.set_attn_implementation(name)
    if required and module.config._attn_implementation != name:
        raise ModelError(f"a {type(module).__name__} does not tell attention weights", code="no-attention",
                         hint="give another --model")  # fmt: skip


def fit(ids: list[int], window: int) -> None:
    """Raise GenerationError for a text that is too long to be looked into."""
    most = min(window, LONGEST)
    if len(ids) > most:
        raise GenerationError(f"the text has {len(ids):,} tokens, more than the {most:,} that can be looked into",
                              code="too-long", hint="give a part of it")  # fmt: skip
