"""Tiny checkpoints through real transformers code: batches, prefixes, streaming, refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from llmcli.errors import GenerationError
from tests.support import families

TEXTS = ["a good day", "no", "the longest of these rows by far, it goes on and on", "hm?"]


def test_batched_greedy_equals_generate_by_hand(tiny_causal: Path):
    """The cached prefix and left padding change nothing, in a model with sliding-window layers."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from llmcli.config.schemas import Generation
    from llmcli.pipelines.tokens import Encoder
    from llmcli.text.prompts import Rendered

    model = load(tiny_causal)
    prefix = "Some examples that stand before each row, longer than the window.\n"
    for beams in (1, 3):
        made = model.complete(
            [Rendered(prefix=prefix, row=text) for text in TEXTS],
            Generation(max_new_tokens=12, num_beams=beams),
        )
        hand = AutoModelForCausalLM.from_pretrained(tiny_causal, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(tiny_causal)
        for text, completions in zip(TEXTS, made, strict=True):
            ids = tokenizer(prefix + text, return_tensors="pt")
            out = hand.generate(**ids, max_new_tokens=12, do_sample=False, num_beams=beams)
            want = Encoder(tokenizer).decode(out[0, ids["input_ids"].shape[1] :].tolist())
            assert completions[0].text == want


@pytest.mark.parametrize("prefix", ["", "Some examples that stand before each row.\n"])
def test_rows_that_end_leave_the_batch_and_change_nothing(tiny_causal: Path, prefix: str):
    """Stop strings end the rows at different steps; each is what plain ``generate`` makes of it alone."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from llmcli.config.schemas import Generation
    from llmcli.pipelines.tokens import Encoder
    from llmcli.text.prompts import Rendered

    hand = AutoModelForCausalLM.from_pretrained(tiny_causal, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tiny_causal)
    whole = []
    for text in TEXTS:
        ids = tokenizer(prefix + text, return_tensors="pt")
        made = hand.generate(**ids, max_new_tokens=60, do_sample=False)[0, ids["input_ids"].shape[1] :]
        whole.append(Encoder(tokenizer).decode(made.tolist()))
    stop = ["y", "g", "\n"]
    expected = [text[: min((text.find(mark) for mark in stop if mark in text), default=None)] for text in whole]
    assert len({len(text) // 16 for text in expected}) > 1, "the rows end together: choose other stop strings"
    made = load(tiny_causal).complete(
        [Rendered(prefix=prefix, row=text) for text in TEXTS], Generation(max_new_tokens=60, stop=stop)
    )
    assert [completions[0].text for completions in made] == expected


@pytest.mark.parametrize(
    "given",
    [{}, {"length_penalty": 0.2}, {"length_penalty": 2.0, "early_stopping": True}, {"num_return_sequences": 3},
     {"repetition_penalty": 1.3}, {"no_repeat_ngram_size": 2}],
    ids=str,
)  # fmt: skip
def test_beams_are_those_of_generate_by_hand(tiny_causal: Path, given: dict[str, Any]):
    """Texts and scores of rows that end at different steps, by stop strings too; some settings are left to generate."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from llmcli.config.schemas import Generation
    from llmcli.pipelines.tokens import Encoder
    from llmcli.text.prompts import Rendered

    prefix, stop = "Some examples that stand before each row.\n", ["y", "g", "\n"]
    settings = {"num_beams": 3, "max_new_tokens": 24, **given}
    rows = [Rendered(prefix=prefix, row=text) for text in TEXTS]
    found = load(tiny_causal).complete(rows, Generation(**settings, stop=stop))
    hand = AutoModelForCausalLM.from_pretrained(tiny_causal, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tiny_causal)
    lengths = set()
    for text, completions in zip(TEXTS, found, strict=True):
        ids = tokenizer(prefix + text, return_tensors="pt")
        made = hand.generate(**ids, do_sample=False, stop_strings=stop, tokenizer=tokenizer, **settings,
                             return_dict_in_generate=True, output_scores=True)  # fmt: skip
        whole = [Encoder(tokenizer).decode(row) for row in made.sequences[:, ids["input_ids"].shape[1] :].tolist()]
        cut = [text[: min((text.find(mark) for mark in stop if mark in text), default=None)] for text in whole]
        assert [completion.text for completion in completions] == cut
        assert [one.score for one in completions] == pytest.approx(made.sequences_scores.tolist(), abs=1e-4)
        lengths |= {one.output_tokens for one in completions}
    assert len(lengths) > 1, "the rows end together: choose other stop strings"


@pytest.mark.parametrize("left_out", [[], range(3, 990, 2), range(100)], ids=["all", "every other", "no first block"])
@pytest.mark.parametrize("rows", [3, 40, 300])
@pytest.mark.parametrize("kind", ["float32", "bias", "kernel", "blocks", "capped"])
def test_scores_are_those_of_the_whole_vocabulary(monkeypatch, rows: int, kind: str, left_out: Sequence[int]):
    """The likeliest tokens, and some tokens' log-probabilities, a part of the scores at a time."""
    import torch

    from llmcli.pipelines import scores
    from llmcli.pipelines.fast import quantization

    torch.manual_seed(0)
    monkeypatch.setattr(quantization, "_blocks", lambda: kind == "blocks")
    monkeypatch.setattr(quantization, "BLOCK", 64 * 100)
    matrix = torch.nn.Linear(64, 992, bias=kind in ("bias", "blocks"))
    if kind in ("kernel", "blocks"):
        matrix = quantization.int8(torch.nn.Sequential(matrix))[0]
    head = scores.Head(matrix, cap=2.0 if kind == "capped" else 0)
    hidden, targets = 3 * torch.randn(rows, 64), torch.randint(992, (rows,))
    few = [7, 500, 991]
    with torch.inference_mode():
        whole = scores.log_p(head, hidden)
        without = torch.tensor(left_out, dtype=torch.long)
        values, ids = scores.likeliest(head, hidden, 5, without=without)
        some = head.some(hidden, few)
        own = scores.likelihoods(head, hidden, targets[:, None])
    best = whole.index_fill(1, without, float("-inf"))
    # The kernel rounds to bfloat16, blocks and some rows alone do not.
    close = {"abs": 0.05 if kind in ("kernel", "blocks") else 1e-4}
    assert values.flatten().tolist() == pytest.approx(best.topk(5).values.flatten().tolist(), **close)
    assert values.flatten().tolist() == pytest.approx(best.gather(1, ids).flatten().tolist(), **close)
    assert own[:, 0].tolist() == pytest.approx(whole.gather(1, targets[:, None])[:, 0].tolist(), **close)
    assert some.softmax(1).flatten().tolist() == pytest.approx(whole[:, few].softmax(1).flatten().tolist(), **close)


def test_scores_that_are_no_numbers_are_refused():
    import torch

    from llmcli.pipelines import scores

    head = scores.Head(torch.nn.Linear(8, 32))
    with pytest.raises(GenerationError), torch.inference_mode():
        scores.likeliest(head, torch.full((2, 8), float("nan")), 4, without=torch.tensor([3]))


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "20000 100000"}, 1),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({}, 8),
    ],
)
def test_cores_are_those_of_the_control_group(monkeypatch, tmp_path: Path, files: dict[str, str], cores: int):
    from llmcli.models import devices

    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert devices.cores(tmp_path) == cores


@pytest.mark.parametrize(
    "words",
    [{"a": ["x"], "b": ["y"]}, {"a": ["xyz", "q"], "b": ["yes"]}, {"a": ["xyz", "xy"], "b": ["xya", "x", "qr"]}],
)
def test_choice_equals_likelihood_by_hand(tiny_causal: Path, words: dict[str, list[str]]):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from llmcli.text.prompts import Rendered

    found = load(tiny_causal).choose([Rendered(prefix="P:\n", row=text) for text in TEXTS], words)
    hand = AutoModelForCausalLM.from_pretrained(tiny_causal, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tiny_causal)

    def likelihood(text: str, word: str) -> torch.Tensor:
        start = tokenizer("P:\n" + text)["input_ids"]
        tail = tokenizer(word, add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            log_p = hand(torch.tensor([start + tail])).logits[0].log_softmax(-1)
        return sum(log_p[len(start) - 1 + i, token] for i, token in enumerate(tail))

    for text, choice in zip(TEXTS, found, strict=True):
        scores = torch.stack(
            [torch.stack([likelihood(text, w) for w in group]).logsumexp(0) for group in words.values()]
        )
        assert list(choice.scores.values()) == pytest.approx(scores.softmax(0).tolist(), abs=1e-4)


def test_same_seed_same_text_whatever_the_neighbours(tiny_causal: Path):
    from llmcli.config.schemas import Generation
    from llmcli.text.prompts import Rendered

    model = load(tiny_causal)
    generation = Generation(max_new_tokens=12, temperature=1.0, seed=3)
    rows = [Rendered(row=text) for text in TEXTS]
    together = [made[0].text for made in model.complete(rows, generation)]
    assert together == [model.complete([row], generation)[0][0].text for row in rows]
    other = model.complete(rows, generation.model_copy(update={"seed": 4}))
    assert together != [made[0].text for made in other]


def test_streamed_pieces_make_the_text(tiny_causal: Path):
    from llmcli.config.schemas import Generation
    from llmcli.text.prompts import Rendered

    model = load(tiny_causal)
    whole = model.complete([Rendered(row="x")], Generation(max_new_tokens=20))[0][0]
    for stop in (None, [whole.text[5:7]]):
        pieces: list[str] = []
        made = model.complete([Rendered(row="x")], Generation(max_new_tokens=20, stop=stop), emit=pieces.append)
        assert "".join(pieces) == made[0][0].text
    assert whole.text.startswith(made[0][0].text)
    assert made[0][0].finish_reason == "stop"
    assert whole.finish_reason == "length"


def test_control_tokens_of_the_user_are_spelled_out(tiny_causal: Path):
    model = load(tiny_causal)
    assert model.count("<eos>") == 5


@pytest.mark.parametrize("labels", [2, 3, 5])
def test_classifiers(cli, tiny_classifier, labels: int):
    folder = tiny_classifier(labels)
    done = cli("sentiment", "-m", str(folder), "--json", "--all-scores", "--lines", stdin="good\n" + "bad " * 40)
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 0, done.err
    assert all(set(row["scores"]) == {f"star{i + 1}" for i in range(labels)} for row in rows)
    assert all(sum(row["scores"].values()) == pytest.approx(1, abs=1e-5) for row in rows)
    assert max(row["chunks"] for row in rows) > 1


def test_a_classifier_cannot_generate(cli, tiny_classifier):
    done = cli("generate", "-m", str(tiny_classifier(2)), "x")
    assert (done.code, done.out) == (4, "")
    assert "wrong-task" in done.err


def test_missing_head_is_refused(cli, tiny_classifier, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "headless"
    shutil.copytree(tiny_classifier(2), folder)
    weights = load_file(folder / "model.safetensors")
    weights.pop("classifier.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    done = cli("sentiment", "-m", str(folder), "good")
    assert done.code == 4
    assert "missing-weights" in done.err


@pytest.mark.parametrize("damage", ["truncated", "pickle", "nan", "no config"])
def test_broken_checkpoints(cli, tiny_causal: Path, tmp_path: Path, damage: str):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "broken"
    shutil.copytree(tiny_causal, folder)
    weights = folder / "model.safetensors"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:5000])
    elif damage == "pickle":
        weights.rename(folder / "pytorch_model.bin")
    elif damage == "nan":
        save_file({k: v * float("nan") for k, v in load_file(weights).items()}, weights, metadata={"format": "pt"})
    else:
        (folder / "config.json").unlink()
    done = cli("sentiment", "-m", str(folder), "good")
    assert done.code == (6 if damage == "nan" else 4), done.err
    assert done.err.count("\n") == 1


class Evil:
    """Unpickled, it would write a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("evil", [False, True])
def test_a_pickle_is_read_where_it_is_allowed(cli, tiny_causal: Path, tmp_path: Path, evil: bool):
    import torch
    from safetensors.torch import load_file

    folder, trace = tmp_path / "pickled", tmp_path / "trace"
    shutil.copytree(tiny_causal, folder)
    weights: dict = load_file(folder / "model.safetensors") | ({"evil": Evil(trace)} if evil else {})
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    refused = cli("sentiment", "-m", str(folder), "good")
    assert (refused.code, "--allow-pickle" in refused.err) == (4, True)
    done = cli("sentiment", "-m", str(folder), "--allow-pickle", "good")
    assert (done.code, done.err.count("\n")) == ((4, 1) if evil else (0, 0)), done.err
    assert evil or done.out == cli("sentiment", "-m", str(tiny_causal), "good").out
    assert not trace.exists()


def test_only_the_command_line_allows_a_pickle(cli, tmp_path: Path):
    assert cli("sentiment", "-m", "gpt2", "--allow-pickle", "good").code == 2
    config = tmp_path / "config" / "config.yaml"
    config.parent.mkdir(exist_ok=True)
    config.write_text("allow_pickle: true\n")
    assert "[allow_pickle]" in cli("sentiment", "good").err


def load(folder: Path):
    from llmcli import tasks
    from llmcli.pipelines import load
    from llmcli.run import resolve

    run = resolve.resolve(tasks.get("sentiment"), {"model": str(folder), "dtype": "float32"})
    return load.load(run, report=lambda stage, share: None)


@pytest.mark.parametrize("few", [4, 8])
@pytest.mark.parametrize(
    ("dtype", "more", "whole"), [("float32", 60, True), ("bfloat16", 0, True), ("bfloat16", 1, False)]
)
def test_many_rows_take_bfloat16_weights_where_they_are_there(
    monkeypatch, few: int, dtype: str, more: int, whole: bool
):
    import torch

    from llmcli.pipelines.fast import quantization

    monkeypatch.setattr(quantization, "few", lambda: few)  # of processors without and with AMX
    rows = few + more
    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Linear(64, 32)).to(getattr(torch, dtype))
    states = torch.randn(rows, 64, dtype=getattr(torch, dtype))
    with torch.inference_mode():
        exact = plain(states)
        made = quantization.int8(plain)(states)
    assert made.dtype == exact.dtype
    assert torch.equal(made, exact) != whole
    assert torch.allclose(made.float(), exact.float(), atol=0.03)


@pytest.mark.parametrize("name", ["gemma3", "llama", "qwen2", "qwen2-window"])
def test_fused_layers_are_the_layers_that_they_stand_for(monkeypatch, name: str):
    """Padded rows at once, then token by token on the cache, beyond the sliding window."""
    import torch

    from llmcli.pipelines.fast import fused

    monkeypatch.setattr(fused, "FEW", 0)  # no 8-bit weights here
    plain = families.build(name)
    for tensor in (tensor for key, tensor in plain.named_parameters() if "norm" in key or "bias" in key):
        torch.nn.init.normal_(tensor)  # they are ones and zeros
    quick = deepcopy(plain)
    gone = fused.fuse(quick)
    assert len(gone) == (8 if name.startswith("qwen2") else 5) * len(quick.base_model.layers)
    assert not gone & set(quick.state_dict())
    torch.manual_seed(0)
    ids, mask = torch.randint(3, 250, (3, 24)), torch.ones(3, 24, dtype=torch.long)
    mask[0, :7] = 0
    with torch.inference_mode():
        found = []
        for model in (plain, quick):
            read = model(input_ids=ids, attention_mask=mask, use_cache=True)
            name, steps = next(key for key in ("cache", "past_key_values") if key in read), [read.logits]
            for step in range(3):
                longer = torch.cat([mask, torch.ones(3, step + 1, dtype=torch.long)], dim=1)
                held = {name: read[name]}
                steps.append(model(input_ids=ids[:, step : step + 1], attention_mask=longer, **held).logits)
            found.append(torch.cat(steps, dim=1)[:, 7:])
    assert torch.allclose(*found, atol=1e-4)


def test_int8_weights_are_the_nearest_of_255(tiny_causal: Path):
    import torch

    from llmcli import tasks
    from llmcli.pipelines import load
    from llmcli.pipelines.fast import fused
    from llmcli.run import resolve

    def loaded(quantize: str):
        run = resolve.resolve(
            tasks.get("sentiment"), {"model": str(tiny_causal), "quantize": quantize, "dtype": "float32"}
        )
        return load.load(run, report=lambda stage, share: None).model

    plain, whole = loaded("none"), loaded("int8")
    plain.set_attn_implementation("sdpa")
    fused.fuse(plain)
    changed = {name for name, layer in whole.named_modules() if type(layer).__name__ == "Int8Linear"}
    assert changed == {
        name
        for name, layer in plain.named_modules()
        if type(layer) is torch.nn.Linear and not (layer.in_features % 32 or layer.out_features % 32)
    }
    assert changed
    for name in changed:
        linear, states = plain.get_submodule(name), torch.randn(2, 3, plain.get_submodule(name).in_features)
        step = linear.weight.abs().amax(1) / 127
        made = whole.get_submodule(name)
        assert made(states).shape == linear(states).shape
        read = made.weight * made.scale[:, None].float()
        assert ((read - linear.weight).abs() <= 0.51 * step[:, None] * 1.01 + 1e-6).all()
        hand = states.bfloat16().float() @ read.T
        assert torch.allclose(made(states), hand, atol=0.01 * float(hand.abs().max()))


@pytest.mark.parametrize(
    ("flags", "quantized"),
    [
        ([], True),
        (["--dtype", "float32"], False),
        (["--dtype", "float32", "--quantize", "int8"], True),
        (["--quantize", "none"], False),
    ],
)
def test_when_weights_are_quantized(cli, tiny_causal: Path, monkeypatch, flags: list[str], quantized: bool):
    from llmcli.pipelines.fast import quantization

    asked, int8 = [], quantization.int8

    def quantize(model: Any, folder: Path | None, **options: Any) -> Any:
        asked.append(folder)
        return int8(model, folder, **options)

    monkeypatch.setattr(quantization, "int8", quantize)
    assert cli("sentiment", "-m", str(tiny_causal), "good", *flags).code == 0
    assert asked == [None] * quantized  # a folder of the user's is left as it is
