"""Rows that join and leave a batch, in any order, against each row alone; on a simulated GPU too."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcli.config.schemas import Generation
from llmcli.pipelines.batching import Budget
from llmcli.text.prompts import Rendered
from tests.support import families, tiny

FAMILIES = ["llama", "gemma3", "qwen2", "gpt2"]
TEXTS = ["a good day", "h", "the longest of all of these rows", "tea", "it rains", "on the old bridge a dog"]


@pytest.fixture(autouse=True)
def few_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tiny matrices: threads would only wait for each other. What a GPU would record is done each time."""
    import torch

    from llmcli.pipelines.fast import graphs

    monkeypatch.setattr(graphs, "recorded", lambda step: step)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@cache
def model(name: str, *, records: bool = False) -> Any:
    """A model of a family; ``records``: it decodes as on a GPU, whose recorded steps are taken one by one here."""
    from llmcli.pipelines.causal import CausalModel
    from llmcli.pipelines.fast import graphs
    from llmcli.pipelines.tokens import Encoder

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphs, "used", lambda _: records)
        return CausalModel(families.build(name), Encoder(tiny.byte_tokenizer()), window=256)


def texts(found: Any) -> list[list[str]]:
    return [[one.text for one in row] for row in found]


rows = st.lists(
    st.builds(
        Rendered, prefix=st.sampled_from(["", "Some examples.\n"]), row=st.sampled_from(TEXTS), seed=st.integers(0, 3),
        without=st.sampled_from([(), ("Latn",)]),
    ),
    min_size=1, max_size=9,
)  # fmt: skip
choices = st.fixed_dictionaries(
    {"max_new_tokens": st.integers(1, 34)},
    optional={
        "temperature": st.sampled_from([0.7, 1.5]), "top_p": st.sampled_from([0.3, 0.9]), "top_k": st.just(5),
        "repetition_penalty": st.just(1.3), "no_repeat_ngram_size": st.integers(1, 3),
        "min_new_tokens": st.integers(0, 9), "stop": st.sampled_from([["a"], ["e", "the"]]),
    },
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(FAMILIES), records=st.booleans(), rows=rows, given_=choices, at_once=st.integers(1, 5))
def test_rows_in_any_company_are_rows_alone(
    name: str, records: bool, rows: list[Rendered], given_: dict[str, Any], at_once: int
):
    alone, together = model(name), model(name, records=records)
    together._budget = Budget(at_once, 60)
    generation = Generation(**given_)
    assert texts(together.complete(rows, generation)) == [texts(alone.complete([one], generation))[0] for one in rows]


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(FAMILIES), rows=rows, most=st.integers(1, 12), beams=st.integers(2, 4), stops=st.booleans(),
       at_once=st.integers(1, 5))  # fmt: skip
def test_beams_in_slots_are_beams_that_grow(
    name: str, rows: list[Rendered], most: int, beams: int, stops: bool, at_once: int
):
    growing, slots = model(name), model(name, records=True)
    slots._budget = Budget(at_once, 60)
    generation = Generation(max_new_tokens=most, num_beams=beams, num_return_sequences=beams, early_stopping=stops,
                            stop=["e"] if stops else None)  # fmt: skip
    assert texts(slots.complete(rows, generation)) == texts(growing.complete(rows, generation))


def test_several_texts_of_a_row():
    """Each is drawn from numbers of its own; the first is the one that is made alone."""
    drawn = Generation(max_new_tokens=9, temperature=1.0, seed=3)
    (three,) = texts(model("llama").complete([Rendered(row="a")], drawn.model_copy(update={"num_return_sequences": 3})))
    assert len({*three}) == 3
    assert texts(model("llama").complete([Rendered(row="a")], drawn)) == [three[:1]]
    stop = three[2][1]  # the last one ends first: it is the last one all the same
    cut = drawn.model_copy(update={"num_return_sequences": 3, "stop": [stop]})
    assert texts(model("llama").complete([Rendered(row="a")], cut)) == [[text.split(stop)[0] for text in three]]


@pytest.mark.parametrize("asked", [{"temperature": 0.5}, {"top_k": 3, "temperature": 1.0},
                                   {"top_p": 0.4, "temperature": 2.0}, {"min_p": 0.1, "temperature": 1.0},
                                   {"typical_p": 0.5}])  # fmt: skip
def test_tokens_are_drawn_as_often_as_transformers_says(asked: dict[str, float]):
    import torch
    from transformers import GenerationConfig

    from llmcli.pipelines.fast.drawing import NextToken, Rows

    torch.manual_seed(0)
    logits, count = torch.randn(1, 12) * 2, 100_000
    processors = families.build("llama")._get_logits_processor(
        GenerationConfig(do_sample=True, **asked), input_ids_seq_length=1, logits_processor=[]
    )
    expected = processors(torch.zeros(1, 1, dtype=torch.long), logits.clone()).softmax(-1)[0]
    none = torch.zeros(count, dtype=torch.long)
    keys = torch.randint(-(1 << 31), 1 << 31, (count, 1), generator=torch.Generator().manual_seed(1)).int()
    state = Rows(none[:, None], none + 1, none, None, keys)
    found = NextToken({"do_sample": True, **asked}, [])(logits.expand(count, -1).clone(), state)
    assert (found.bincount(minlength=12) / count).tolist() == pytest.approx(expected.tolist(), abs=5e-3)


@pytest.mark.parametrize("at_fault", [1, 3])
def test_memory_that_runs_out_halves_the_rows_and_loses_none(monkeypatch, at_fault: int):
    from llmcli.pipelines.fast.decoding import Decoder

    one = model("llama")
    expected = texts(one.complete([Rendered(row=text) for text in TEXTS], Generation(max_new_tokens=6)))
    one._writing = Budget(4, 4096)
    plain, calls = Decoder._steps, []

    def full(self: Any, *arguments: Any, **options: Any) -> None:
        calls.append(1)
        if len(calls) == at_fault:
            raise RuntimeError("CUDA out of memory")
        plain(self, *arguments, **options)

    monkeypatch.setattr(Decoder, "_steps", full)
    found = texts(one.complete([Rendered(row=text) for text in TEXTS], Generation(max_new_tokens=6)))
    assert (found, one._writing.rows) == (expected, 2)


def test_scores_that_are_no_numbers():
    from llmcli.errors import GenerationError

    for records in (False, True):
        one = model.__wrapped__("llama", records=records)
        one.model.lm_head.weight.data[3] = float("nan")
        with pytest.raises(GenerationError, match="not finite"):
            one.complete([Rendered(row=text) for text in TEXTS], Generation(max_new_tokens=6))


def test_one_query_a_row_reads_the_keys_of_a_group_as_torch_does():
    import torch

    from llmcli.pipelines.fast import attention

    query, key, value = torch.randn(3, 4, 1, 8), torch.randn(3, 2, 7, 8), torch.randn(3, 2, 7, 8)
    for mask in (None, torch.rand(3, 1, 1, 7) > 0.3):
        module = type("Layer", (torch.nn.Module,), {"num_key_value_groups": 2, "training": False, "is_causal": True})()
        given_ = [attend(module, query, key, value, mask, scaling=0.3)[0]
                  for attend in (attention._grouped, attention._torch)]  # fmt: skip
        assert torch.allclose(*given_, atol=1e-5)
