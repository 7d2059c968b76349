"""One pass of a model over a text, and what transformers tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from llmcli.errors import GenerationError, ModelError
from llmcli.inspecting import opening, pieces
from llmcli.inspecting.pieces import Token
from llmcli.text.prompts import Rendered


@dataclass(frozen=True)
class Target:
    """What an encoder-decoder writes: ``text``, or, where that is empty, what it would write itself.

    ``source`` and ``language``: of a translation, as BCP-47 codes.
    """

    text: str = ""
    source: str = ""
    language: str = ""


@dataclass(frozen=True)
class Pass:
    """The tokens that were read, those that an encoder-decoder's decoder got, and transformers' output.

    ``answers``: the token that should follow each of the decoder's, or of a causal model's.
    """

    read: list[Token]
    written: list[Token]
    answers: list[Token]
    output: Any


@torch.inference_mode()
def run(model: Any, text: str, target: Target | None = None, **wanted: bool) -> Pass:
    """Read a text, as one row. ``wanted``: ``output_attentions``, ``output_hidden_states``.

    Raises GenerationError where it is too long, or what comes out is not finite.
    """
    module = model.model
    if module.config.is_encoder_decoder and hasattr(model, "encode"):
        return _both(model, text, target or Target(), wanted)
    if target is not None and (target.text or target.language or target.source):
        raise ModelError(f"a {type(module).__name__} has no decoder that writes a target", code="wrong-task",
                         hint="leave out --target, --from and --to")  # fmt: skip
    read = pieces.tokens(model.encoder, text)
    ids = [token.id for token in read]
    if not ids:
        raise GenerationError("the text has no token", code="empty")
    opening.fit(ids, model.context_window)
    output = module(input_ids=_row(module, ids), attention_mask=torch.ones_like(_row(module, ids)), **wanted)
    return Pass(read, [], read[1:], output)


def _both(model: Any, text: str, target: Target, wanted: dict[str, bool]) -> Pass:
    """An encoder-decoder: its decoder gets its start token, and then what is to be written."""
    module, encoder = model.model, model.encoder
    ids, forced = model.encode(Rendered(row=text, source=target.source, target=target.language))
    opening.fit(list(ids), model.context_window)
    given = model.written(target.text, target=target.language) if target.text else None
    written = _generated(module, ids, forced) if given is None else given
    written = ([forced] if forced is not None and written[:1] != [forced] else []) + written
    start = module.generation_config.decoder_start_token_id
    start = module.config.decoder_start_token_id if start is None else start
    if start is None or not written:
        raise GenerationError("there is nothing to write", code="empty", hint="give --target")
    opening.fit(written, model.context_window)
    decoder = [int(start), *written[:-1]]
    output = module(
        input_ids=_row(module, list(ids)), attention_mask=torch.ones_like(_row(module, list(ids))),
        decoder_input_ids=_row(module, decoder), **wanted,
    )  # fmt: skip
    answers = pieces.of_ids(encoder, written)
    return Pass(pieces.placed(encoder.tokenizer, list(ids), text), pieces.of_ids(encoder, decoder), answers, output)


def _generated(module: Any, ids: tuple[int, ...], forced: int | None) -> list[int]:
    options = {"forced_bos_token_id": forced} if forced is not None else {}
    made = module.generate(input_ids=_row(module, list(ids)), num_beams=1, do_sample=False, max_new_tokens=64,
                           **options)  # fmt: skip
    return [int(token) for token in made[0, 1:]]


def _row(module: Any, ids: list[int]) -> torch.Tensor:
    return torch.tensor([ids], device=module.device)


def finite(values: torch.Tensor) -> torch.Tensor:
    """The values in float32, on the CPU. Raises GenerationError where they are not finite."""
    values = values.float().cpu()
    if not bool(values.isfinite().all()):
        raise GenerationError("the model's numbers are not finite", code="non-finite", hint="its weights are broken")
    return values
