"""What each layer of a model would say next: its state, read by the model's own output matrix.

Method: the logit lens, nostalgebraist, "interpreting GPT: the logit lens" (LessWrong, 2020). A layer's state is not
made to be read so: what it would say is a view of it, not what it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from llmcli.errors import ModelError
from llmcli.inspecting import forward, pieces, scores
from llmcli.inspecting.forward import Target
from llmcli.inspecting.pieces import Token
from llmcli.inspecting.scores import Likely

CLOSE = 1e-4
"""How far the last layer's logits may be from the model's own."""


@dataclass(frozen=True)
class Layer:
    """A layer's likeliest next tokens; 0 is the word embedding. ``change``: the cosine of its state and the one
    before, 1 where it changed nothing.
    """

    number: int
    likely: list[Likely]
    change: float | None


@dataclass(frozen=True)
class Lens:
    """What all layers say behind one token. ``states``: all of them at all tokens, (layers + 1, tokens, width)."""

    tokens: list[Token]
    place: int
    layers: list[Layer]
    states: torch.Tensor


def lens(model: Any, text: str, target: Target | None, *, token: str | None, top: int) -> Lens:
    """Read the states of all layers behind a token: the first of this text, else of this number; None: the last.

    Of an encoder-decoder it is a token of what is written. Raises ModelError, UsageError.
    """
    module = model.model
    if not scores.tells(module):
        raise ModelError(f"a {type(module).__name__} says no next token", code="wrong-task",
                         hint="give a model that generates text: -m gemma-3-270m")  # fmt: skip
    with _children(module) as calls:
        found = forward.run(model, text, target, output_hidden_states=True)
    states = found.output.decoder_hidden_states if found.written else found.output.hidden_states
    if not states or any(state is None for state in states):
        raise ModelError(f"a {type(module).__name__} does not tell its layers' states", code="no-states")
    tokens = found.written or found.read
    place = len(tokens) - 1 if token is None else pieces.place(tokens, token)
    whole = torch.stack([forward.finite(state[0]) for state in states])
    norm = _norm(calls, states[-1])
    read = _reader(module, states[-1][0], found.output.logits[0])
    with torch.inference_mode():
        rows = [state[0, place : place + 1] for state in states]
        logits = [read(norm(row)) for row in rows[:-1]] + [read(rows[-1])]
    named = [scores.likeliest(model, scores.log_probabilities(row[0]), top) for row in logits]
    changes = [None, *torch.cosine_similarity(whole[1:, place], whole[:-1, place], dim=-1).tolist()]
    return Lens(tokens, place, [Layer(number, likely, change) for number, (likely, change) in
                                enumerate(zip(named, changes, strict=True))], whole)  # fmt: skip


@contextmanager
def _children(module: Any) -> Iterator[list[tuple[Any, Any]]]:
    """The modules that stand right below the model's own, or its decoder's, each with what it gave last."""
    calls: list[tuple[Any, Any]] = []
    body = module.base_model
    tops = [body, *(getattr(body, name) for name in ("decoder", "transformer") if hasattr(body, name))]
    kept = [child.register_forward_hook(lambda one, _, output: calls.append((one, output)))
            for top in tops for child in top.children()]  # fmt: skip
    try:
        yield calls
    finally:
        for handle in kept:
            handle.remove()


def _norm(calls: list[tuple[Any, Any]], last: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """The norm behind the last layer, known by what it gave; none where the last state is a layer's own."""
    for one, output in reversed(calls):
        width = getattr(getattr(one, "weight", None), "shape", ())
        a_norm = isinstance(output, torch.Tensor) and output.shape == last.shape and len(width) == 1
        if a_norm and torch.equal(output, last):
            return one  # type: ignore[no-any-return]
    return lambda state: state


def _reader(module: Any, state: torch.Tensor, logits: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """From a state to logits, as the model itself does it: of the ways that are known the one that gives the same.

    Raises ModelError where none does.
    """
    from llmcli.pipelines.fast import known
    from llmcli.pipelines.scores import Head

    head, bias = module.get_output_embeddings(), getattr(module, "final_logits_bias", None)
    ways: list[Callable[[torch.Tensor], torch.Tensor]] = [head]
    if cap := getattr(module.config.get_text_config(), "final_logit_softcapping", None):
        ways = [Head(head, cap=cap).logits]
    if module.config.model_type in known.FAMILIES:
        ways.append(known.head(module).logits)
    if isinstance(bias, torch.Tensor):
        ways.append(lambda state: head(state) + bias)
    if width := getattr(module.config, "d_model", None):
        ways.append(lambda state: head(state * width**-0.5))  # T5's, whose word embeddings are its output matrix
    with torch.inference_mode():
        for way in ways:
            if torch.allclose(way(state).float(), logits.float(), atol=CLOSE, rtol=CLOSE):
                return way
    raise ModelError(f"how a {type(module).__name__} reads its last state is not known", code="no-states")
