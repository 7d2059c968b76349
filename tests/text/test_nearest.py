"""Near duplicates among vectors: in blocks as one by one."""

from __future__ import annotations

import numpy as np
import pytest

from llmcli.text import nearest
from llmcli.text.nearest import Leaders


def vectors(count: int) -> list[bytes]:
    """Unit vectors of eight numbers: some of them near others."""
    random = np.random.default_rng(7)
    rows = random.normal(size=(count, 8))
    rows[1::3] = rows[::3][: len(rows[1::3])] + random.normal(scale=0.15, size=rows[1::3].shape)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return [row.astype("<f2").tobytes() for row in rows]


def add(leaders: Leaders, given: list[bytes]) -> list[nearest.Match]:
    """Judge by vectors alone: equal ones have equal texts."""
    return leaders.add(given, [vector.hex() for vector in given])


def one_by_one(given: list[bytes], threshold: float) -> list[int | None]:
    kept: list[np.ndarray] = []
    found: list[int | None] = []
    for raw in given:
        row = np.frombuffer(raw, "<f2").astype(np.float64)
        row /= np.linalg.norm(row)
        cosines = [float(row @ leader) for leader in kept]
        near = bool(cosines) and round(max(cosines), 4) >= threshold
        found.append(cosines.index(max(cosines)) if near else None)
        if not near:
            kept.append(row)
    return found


@pytest.mark.parametrize("size", [1, 7, 64, 300])
@pytest.mark.parametrize("block", [5, 4096])
def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch, size: int, block: int):
    monkeypatch.setattr(nearest, "BLOCK", block)
    given, leaders = vectors(300), Leaders(0.9)
    found = [match.leader for start in range(0, 300, size) for match in add(leaders, given[start : start + size])]
    assert found == one_by_one(given, 0.9)
    assert 50 < sum(leader is not None for leader in found) < 200


def test_equal_vectors_have_the_score_1():
    same = vectors(1) * 3
    assert [match.score for match in add(Leaders(1.0), same)] == [None, 1.0, 1.0]


def test_nothing():
    assert Leaders(0.9).add([], []) == []


SAME = {
    "case, spacing and punctuation": ("Good  day!", "good day", True),
    "a line break": ("good\nday", "good day", True),
    "marks of another script": ("कि", "का", False),
    "signs": ("5 €", "5 $", False),
    "nothing but punctuation": ("?", "!", False),
}


@pytest.mark.parametrize(("one", "other", "same"), SAME.values(), ids=SAME)
def test_bare_texts(one: str, other: str, same: bool):
    far = [np.eye(8, dtype="<f2")[place].tobytes() for place in range(2)]
    assert [match.leader for match in Leaders(0.9).add(far, [one, other])] == [None, 0 if same else None]
