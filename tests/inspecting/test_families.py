"""What is told of every family equals transformers' own, in float32; what cannot be told is refused in a sentence."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from llmcli.errors import ModelError
from tests.support import families, tiny

pytestmark = pytest.mark.usefixtures("one_thread")
TEXT, TARGET = "a good day", "hello"
WITHOUT = {"mamba", "mamba2", "falcon-mamba", "rwkv", "prophetnet", "falcon", "falcon-alibi"}
"""No attention, or attention that has no such weights."""
NO_LENS = {"gemma3n", "prophetnet"}
"""Between their last state and their logits there is more than is known here."""
NOT_TAKEN_APART = {"bloom", "diffllama", "gpt-neo", "gpt-oss", "minimax", "mpt", "openai-gpt",
                   "xglm"}  # fmt: skip
"""Their attention is more than softmax of the scores, or transformers has no place to listen to it."""
SINKS = {"gpt-oss"}


@cache
def encoder() -> Any:
    from llmcli.pipelines.tokens import Encoder

    return Encoder(tiny.byte_tokenizer())


def opened(name: str) -> Any:
    from llmcli.inspecting import opening
    from llmcli.pipelines.causal import CausalModel
    from llmcli.pipelines.seq2seq import Seq2SeqModel

    kind = CausalModel if name in families.CAUSAL else Seq2SeqModel
    model = kind(families.build(name), encoder(), window=256, plain=True)
    opening.eager(model.model, required=False)
    return model


def by_hand(name: str) -> Any:
    """transformers' own output, from another copy of the model."""
    import torch

    module = families.build(name)
    module.set_attn_implementation("eager")
    ids = torch.tensor([encoder().sequence(TEXT)])
    options: dict[str, Any] = {"output_attentions": name not in WITHOUT}
    if module.config.is_encoder_decoder:
        start = module.config.decoder_start_token_id
        options["decoder_input_ids"] = torch.tensor([[start, *encoder().sequence(TARGET)[:-1]]])
    with torch.inference_mode():
        return module(input_ids=ids, attention_mask=torch.ones_like(ids), **options)


@pytest.mark.parametrize("name", sorted({*families.CAUSAL, *families.SEQ2SEQ} - {"recurrent-gemma"}))
def test_family(name: str):
    from llmcli.inspecting import attention, forward, layers, scores

    model, hand = opened(name), by_hand(name)
    target = None if name in families.CAUSAL else forward.Target(TARGET)
    log_p = hand.logits[0].log_softmax(-1)
    found = scores.scores(model, TEXT, target, top=1)[0 if target else 1 :]
    ids = encoder().sequence(TARGET) if target else encoder().sequence(TEXT)[1:]
    expected = [float(log_p[place, token]) for place, token in enumerate(ids)]
    # What is equal is the model's own: of random weights log-probabilities of -100, where 1e-5 is float32's last digit.
    assert [one.log_probability for one in found] == pytest.approx(expected, abs=1e-5, rel=1e-6)
    assert [one.likely[0].token.id for one in found] == log_p.argmax(-1).tolist()[: len(ids)]
    if name in NO_LENS:
        with pytest.raises(ModelError):
            layers.lens(model, TEXT, target, token=None, top=1)
    else:
        last = layers.lens(model, TEXT, target, token="0", top=1).layers[-1].likely[0]
        assert (last.token.id, last.probability) == (int(log_p[0].argmax()), pytest.approx(float(log_p[0].max().exp())))
    if name in WITHOUT:
        with pytest.raises(ModelError, match="does not tell"):
            attention.attention(model, TEXT, target, part=None)
        return
    told = attention.attention(model, TEXT, target, part=None)
    own = hand.cross_attentions if target else hand.attentions
    pairs = [(one, other) for one, other in zip(told.weights, own, strict=True) if one is not None]
    assert pairs
    for one, other in pairs:
        assert (one - other[0]).abs().max() < 1e-5
        assert name in SINKS or (one.sum(-1) - 1).abs().max() < 1e-5
    if target is None:
        taken_apart(name, model, told)


def taken_apart(name: str, model: Any, told: Any) -> None:
    """softmax of the scores of a head gives its weights."""
    import torch

    from llmcli.inspecting import attention

    layer, weights = told.layer(None)
    if name in NOT_TAKEN_APART:
        with pytest.raises(ModelError, match="softmax"):
            attention.row(model, TEXT, weights[1], layer=layer, head=1, query=4)
        return
    row = attention.row(model, TEXT, weights[1], layer=layer, head=1, query=4)
    scores = torch.tensor(row.scaled) + torch.tensor(row.masks)
    assert scores.softmax(-1).tolist() == pytest.approx(row.weights, abs=1e-4)
    assert [dot * row.scale for dot in row.dots] == pytest.approx(row.scaled, rel=1e-4)
