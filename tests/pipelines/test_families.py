"""Every family against transformers by hand, in float32: what is accepted answers as transformers does."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from llmcli.config.schemas import Generation
from llmcli.errors import ModelError
from llmcli.text.prompts import Rendered
from tests.support import families, tiny

pytestmark = pytest.mark.usefixtures("one_thread")
TEXTS = ["a good day", "h", "the longest of these rows"]
PREFIXES = ["", "Some examples before.\n"]
WORDS = {"a": ["x"], "b": ["yes", "yet"]}
REFUSED = {"recurrent-gemma"}
NO_BEAMS = {"rwkv"}
READ_PLAINLY = {
    "llama-dynamic", "phi3-longrope", "gemma2", "gemma3n", "gemma4", "gpt-oss", "deepseek-v2", "deepseek-v3", "llama4",
    "diffllama", "qwen3-next", "gpt-neo", "xglm", "bloom", "mpt", "falcon", "falcon-alibi", "ctrl", "openai-gpt",
    "rwkv", "mamba", "mamba2", "falcon-mamba", "jamba", "bamba", "falcon-h1", "granite-hybrid", "lfm2", "minimax",
}  # fmt: skip
"""Families that have no shortcuts."""


@cache
def tokenizer() -> Any:
    return tiny.byte_tokenizer()


def causal(module: Any, **options: Any) -> Any:
    from llmcli.pipelines.causal import CausalModel
    from llmcli.pipelines.tokens import Encoder

    return CausalModel(module, Encoder(tokenizer()), window=256, **options)


def generated(hand: Any, text: str, **settings: Any) -> tuple[str, float]:
    """What transformers makes of a text, and its score."""
    import torch

    from llmcli.pipelines.tokens import Encoder

    ids = tokenizer()(text, return_tensors="pt")["input_ids"]
    made = hand.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, **settings,
                         return_dict_in_generate=True, output_scores=True)  # fmt: skip
    tokens = made.sequences[0, 1 if hand.config.is_encoder_decoder else ids.shape[1] :].tolist()
    ends = hand.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    end = next((place for place, token in enumerate(tokens) if token in ends), None)
    score = float(made.sequences_scores[0]) if settings.get("num_beams", 1) > 1 else 0.0
    return Encoder(tokenizer()).decode(tokens[:end]), score


def likelihoods(hand: Any, text: str, words: list[str]) -> list[list[float]]:
    """The log-probability of each token of some words behind a text; words of one length are read at once."""
    import torch

    begin = tokenizer()(text)["input_ids"]
    tails = [tokenizer()(word, add_special_tokens=False)["input_ids"] for word in words]
    found = []
    for tail in tails:
        with torch.inference_mode():
            log_p = hand(torch.tensor([begin + tail])).logits[0].float().log_softmax(-1)
        found.append([float(log_p[len(begin) - 1 + place, token]) for place, token in enumerate(tail)])
    return found


@pytest.mark.parametrize("name", sorted(families.CAUSAL))
def test_causal(name: str):
    hand, module = families.build(name), families.build(name)
    if name in REFUSED:
        with pytest.raises(ModelError):
            causal(module)
        return
    model = causal(module)
    assert (model.model.config._attn_implementation == "llmcli_shared_prefix") == (name not in READ_PLAINLY)
    compare(model, hand, beams=name not in NO_BEAMS)
    if name in NO_BEAMS:
        with pytest.raises(ModelError):
            model.complete([Rendered(row="a")], Generation(max_new_tokens=6, num_beams=3))


def compare(model: Any, hand: Any, *, beams: bool) -> None:
    """Greedy texts, beams, labels and likelihoods; in a batch without a prefix, in a batch and alone behind one."""
    import torch

    for prefix in PREFIXES:
        rows = [Rendered(prefix=prefix, row=text) for text in TEXTS]
        for settings in ({"num_beams": 1}, *([{"num_beams": 3, "length_penalty": 0.5}] if beams else [])):
            expected = [generated(hand, prefix + text, max_new_tokens=4, **settings) for text in TEXTS]
            given = Generation(max_new_tokens=4, **settings)
            found = [made[0] for made in model.complete(rows, given)]
            found += [model.complete([row], given)[0][0] for row in rows if prefix]
            wanted = expected * (len(found) // len(expected))
            assert [one.text for one in found] == [text for text, _ in wanted]
            assert [one.score for one in found] == pytest.approx([score for _, score in wanted], abs=1e-4)
    flat = [word for group in WORDS.values() for word in group]
    by_hand = [likelihoods(hand, PREFIXES[1] + text, flat) for text in TEXTS]
    chosen = [*model.choose(rows, WORDS), *model.choose(rows[:1], WORDS)]
    for choice, words in zip(chosen, [*by_hand, by_hand[0]], strict=True):
        sums = torch.tensor([sum(word) for word in words])
        totals = torch.stack([sums[0], sums[1:].logsumexp(0)])
        assert list(choice.scores.values()) == pytest.approx(totals.softmax(0).tolist(), abs=1e-4)
    means = [sum(words[1]) / len(words[1]) for words in by_hand]
    assert model.likelihood(rows, ["yes"] * len(rows)) == pytest.approx(means, abs=1e-4)


@pytest.mark.parametrize("name", ["llama", "gemma3", "granite"])
def test_plain_is_the_same(name: str):
    """The switch: nothing of llmcli's own is there, and the answers are those of transformers."""
    model = causal(families.build(name), plain=True)
    assert model.model.config._attn_implementation == "sdpa"
    compare(model, families.build(name), beams=True)


@pytest.mark.parametrize("name", sorted(families.SEQ2SEQ))
def test_encoder_decoders(name: str):
    from llmcli.pipelines.seq2seq import Seq2SeqModel
    from llmcli.pipelines.tokens import Encoder

    hand = families.build(name)
    model = Seq2SeqModel(families.build(name), Encoder(tokenizer()), window=256)
    rows = [Rendered(row=text) for text in TEXTS]
    for settings in ({"num_beams": 1}, {"num_beams": 3}):
        expected = [generated(hand, text, max_new_tokens=6, **settings) for text in TEXTS]
        given = Generation(max_new_tokens=6, **settings)
        for found in (model.complete(rows, given), [model.complete([row], given)[0] for row in rows]):
            assert [one[0].text for one in found] == [text for text, _ in expected]
            assert [one[0].score for one in found] == pytest.approx([score for _, score in expected], abs=1e-4)


OWN: dict[str, dict[str, Any]] = {
    "guidance": {"guidance_scale": 4.0},
    "bias": {"sequence_bias": [[[66], 5.0], [[70, 71], 3.0]]},
    "bad words": {"bad_words_ids": [[66], [70, 71]]},
    "least length": {"min_length": 30, "eos_token_id": [2, 70, 75]},
    "least tokens": {"min_new_tokens": 4, "eos_token_id": [2, 70, 75]},
    "begin": {"begin_suppress_tokens": [66, 70, 75]},
    "suppressed": {"suppress_tokens": [66, 70, 75]},
    "decay": {"exponential_decay_length_penalty": [2, 1.5], "eos_token_id": [2, 70]},
    "forced end": {"forced_eos_token_id": 2},
    "repetition": {"repetition_penalty": 1.7},
    "n-grams": {"no_repeat_ngram_size": 2},
    "penalty": {"length_penalty": -1.0, "eos_token_id": [2, 70, 75]},
    "never": {"early_stopping": "never", "eos_token_id": [2, 70, 75]},
    "beams": {"num_beams": 3},
    "sampling": {"top_k": 5, "top_p": 0.5, "temperature": 0.3},
    "no cache": {"use_cache": False},
    "usual": {"min_length": 0, "repetition_penalty": 1.0, "cache_implementation": "hybrid"},
}


@pytest.mark.parametrize("beams", [None, 3])
@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
def test_a_checkpoints_own_settings_act_as_in_transformers(own: dict[str, Any], beams: int | None):
    """More than a batch makes between two looks, behind a prefix, rows of several lengths."""
    hand, module = families.build("llama"), families.build("llama")
    for one in (hand, module):
        for name, value in own.items():
            setattr(one.generation_config, name, value)
    settings = {"num_beams": beams} if beams else {}
    rows = [Rendered(prefix=PREFIXES[1], row=text) for text in TEXTS]
    found = causal(module).complete(rows, Generation(max_new_tokens=20, **settings))
    expected = [generated(hand, PREFIXES[1] + text, max_new_tokens=20, **settings)[0] for text in TEXTS]
    assert [one[0].text for one in found] == expected


@pytest.mark.parametrize("others", [True, False], ids=["others may pad", "none may pad"])
def test_a_penalty_does_not_read_padding(others: bool):
    """Where the token that ends a text pads too, it would be penalised in the shorter rows."""
    from llmcli.pipelines.causal import CausalModel
    from llmcli.pipelines.tokens import Encoder

    bare = tiny.byte_tokenizer()
    bare.eos_token = bare.pad_token = "H"
    if not others:
        bare.unk_token = bare.bos_token = None
    hand, module = families.build("llama"), families.build("llama")
    for one in (hand, module):
        one.generation_config.eos_token_id = bare.eos_token_id
    settings = {"max_new_tokens": 12, "repetition_penalty": 1.3}
    model = CausalModel(module, Encoder(bare), window=256)
    found = [one[0] for one in model.complete([Rendered(row=text) for text in TEXTS], Generation(**settings))]
    assert [one.text for one in found] == [generated(hand, text, **settings)[0] for text in TEXTS]
    assert {one.output_tokens for one in found} == {11, 2, 5}
