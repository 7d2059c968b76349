"""Gradient descent that can be cut off anywhere, and what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from llmcli.errors import GenerationError, OutOfMemory, OutputError, UsageError
from llmcli.train import calibrating, loop, probing
from llmcli.train.loop import Judgement, Plan, Run
from llmcli.train.objectives import Item
from llmcli.train.state import State

DRAW = torch.Generator().manual_seed(0)
INPUTS = torch.randn(40, 3, generator=DRAW)
ITEMS = [Item((place,) * (1 + place % 4), (int(INPUTS[place, 0] > 0),)) for place in range(40)]


class Killed(BaseException):
    """As if the process had ended."""


class Toy:
    """Logistic regression. ``room``: the most rows that fit; ``dies``: the calls after which it is killed."""

    def __init__(self, *, room: int = 100, dies: int = -1) -> None:
        self.weight = torch.nn.Parameter(torch.zeros(2, 3))
        self.room, self.dies, self.sizes = room, dies, list[int]()

    def item(self, example: Any) -> Item | None:
        return None

    def loss(self, items: Sequence[Item]) -> torch.Tensor:
        self.dies -= 1
        if self.dies == 0:
            raise Killed
        self.sizes.append(len(items))
        if len(items) > self.room:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        logits = INPUTS[[item.ids[0] for item in items]] @ self.weight.T
        return torch.nn.functional.cross_entropy(
            logits, torch.tensor([item.targets[0] for item in items]), reduction="sum"
        )


def run(toy: Toy, folder: Path, *, resume: bool | None = None, judge: Any = None, **plan: Any) -> Run:
    state = State(folder, {"rows": "x"}, resume=resume)
    made = Plan(**{"epochs": 4, "batch": 8, "rate": 0.1, "seed": 3} | plan)

    def good() -> Judgement:
        with torch.no_grad():
            right = (INPUTS @ toy.weight.T).argmax(-1) == (INPUTS[:, 0] > 0)
        return Judgement(float(right.float().mean()), 0.0)

    return Run(toy, {"weight": toy.weight}, ITEMS, made, judge or good, state, "toy")


def close(made: Run) -> None:
    made.state.close(remove=False)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is saved at every step."""
    monkeypatch.setattr(loop, "SAVE", -1.0)
    monkeypatch.setattr(loop, "SHARE", 0)


@pytest.mark.parametrize("dies", [1, 2, 7, 11, 19])
def test_a_run_that_was_killed_goes_on_to_the_same_weights(dies: int, tmp_path: Path, eager: None):
    whole = run(Toy(), tmp_path / "whole")
    expected = whole()["weight"]
    cut = run(Toy(dies=dies), tmp_path / "cut")
    with pytest.raises(Killed):
        cut()
    close(cut)
    toy = Toy()
    again = run(toy, tmp_path / "cut", resume=True)
    assert torch.equal(again()["weight"], expected)
    assert len(toy.sizes) < 20 or dies == 1


def test_it_learns_and_keeps_the_best(tmp_path: Path):
    judgements = iter([0.5, 0.9, 0.7, 0.6])
    toy = Toy()
    kept = []

    def judge() -> Judgement:
        kept.append(toy.weight.detach().clone())
        return Judgement(next(judgements), 0.0)

    made = run(toy, tmp_path / "s", judge=judge, epochs=9)
    assert torch.equal(made()["weight"], kept[1])
    assert len(kept) == 4  # two judgements without a better one end it


def test_memory_that_runs_out_halves_the_rows_and_changes_no_step(tmp_path: Path):
    whole, small = run(Toy(), tmp_path / "a", epochs=1), run(Toy(room=3), tmp_path / "b", epochs=1)
    assert torch.allclose(whole()["weight"], small()["weight"], atol=1e-6)
    assert small.rows == 2
    with pytest.raises(OutOfMemory, match="single row"):
        run(Toy(room=0), tmp_path / "c")()


def test_a_loss_that_is_no_number_ends_it(tmp_path: Path):
    toy = Toy()
    with torch.no_grad():
        toy.weight.fill_(float("nan"))
    with pytest.raises(GenerationError, match="no number at step 1"):
        run(toy, tmp_path / "s")()


def test_it_ends_when_it_is_asked_to_with_the_best_so_far(tmp_path: Path):
    asked = iter([False, True])
    made = run(Toy(), tmp_path / "s", stop=lambda: next(asked))
    assert made()["weight"].abs().max() > 0
    assert made.step == 2


def test_minutes_that_are_over_end_it(tmp_path: Path):
    made = run(Toy(), tmp_path / "s", end=0.0)
    assert (made()["weight"].abs().max() > 0, made.step) == (True, 1)


class TestState:
    def test_other_rows_are_refused_by_name(self, tmp_path: Path):
        State(tmp_path / "s", {"rows": "x", "rate": "1"}, resume=None).close(remove=False)
        with pytest.raises(UsageError, match="other rows or settings: rows"):
            State(tmp_path / "s", {"rows": "y", "rate": "1"}, resume=True)

    def test_what_is_there_is_neither_taken_nor_lost_unasked(self, tmp_path: Path):
        State(tmp_path / "s", {"rows": "x"}, resume=None).close(remove=False)
        with pytest.raises(UsageError, match="an unfinished run"):
            State(tmp_path / "s", {"rows": "x"}, resume=None)
        state = State(tmp_path / "s", {"rows": "x"}, resume=False)
        assert state.get("toy") is None

    def test_only_one_run_holds_it(self, tmp_path: Path):
        held = State(tmp_path / "s", {}, resume=None)
        with pytest.raises(UsageError, match="another run"):
            State(tmp_path / "s", {}, resume=True)
        held.close(remove=True)
        assert not (tmp_path / "s").exists()

    @pytest.mark.parametrize("ending", [".json", ".safetensors"])
    @pytest.mark.parametrize("damage", [b"", b"x"])
    def test_damage_is_one_line(self, tmp_path: Path, ending: str, damage: bytes):
        state = State(tmp_path / "s", {}, resume=None)
        state.put("toy", {"step": 1}, {"w": torch.ones(4)})
        path = next((tmp_path / "s").glob(f"toy*{ending}"))
        path.write_bytes(path.read_bytes()[:-3] + damage)
        with pytest.raises(UsageError, match="damaged"):
            state.get("toy")

    def test_a_full_disk_is_one_line(self, tmp_path: Path):
        state = State(tmp_path / "s", {}, resume=None)
        (tmp_path / "s" / "toy.json.new").symlink_to("/dev/full")
        with pytest.raises(OutputError, match="No space left"):
            state.put("toy", {"step": 1})

    def test_tensors_come_back_bit_by_bit(self, tmp_path: Path):
        state = State(tmp_path / "s", {}, resume=None)
        for step in range(3):
            state.put("toy", {"step": step}, {"w": torch.full((2,), step / 3)})
        held = state.get("toy")
        assert held is not None
        assert (held.values, held.tensors["w"].tolist()) == ({"step": 2}, [torch.tensor(2 / 3).item()] * 2)
        assert len([*(tmp_path / "s").glob("toy-*")]) == 1


def test_calibration_finds_what_made_the_scores():
    """Of two normal distributions, 4 apart and around 1.5, the log-odds are 4 (x - 1.5); the model said 8 x."""
    draw = torch.Generator().manual_seed(1)
    right = torch.randint(2, (600,), generator=draw).tolist()
    x = [2.0 * (1 if label else -1) + 1.5 + float(torch.randn((), generator=draw)) for label in right]
    scores = [{"a": 1 - p, "b": p} for p in torch.sigmoid(8 * torch.tensor(x, dtype=torch.float64)).tolist()]
    found = calibrating.fit(scores, ["ab"[label] for label in right])
    assert found.temperature == pytest.approx(2, abs=0.5)
    assert found.bias["a"] - found.bias["b"] == pytest.approx(12, abs=2)


def test_a_probe_finds_what_a_state_holds():
    draw = torch.Generator().manual_seed(2)
    states = torch.randn(200, 12, generator=draw) * torch.tensor([100.0] + [1.0] * 11) + 5
    gold = ["hot" if state[3] > 5 else "cold" for state in states]
    made = probing.fit(states[:150], gold[:150], ("cold", "hot"), layer=1, pull=1e-3)
    assert probing.score(made, states[150:], gold[150:])[0] > 0.9
