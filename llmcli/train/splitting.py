"""Rows made ready, and their sides: those to learn from, those to choose by, and those that nothing has seen."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from llmcli.errors import InputError
from llmcli.evaluate.rows import Row, Rows
from llmcli.evaluate.seen import TEST, content, digest
from llmcli.train import near

LEARN, CHOOSE = "train", "choose"
CHOICE = 0.2
"""The share of the rows that are not for the test, by which a method is chosen and training is stopped."""
LEAST = 8
"""Rows below which nothing can be learnt, or shown."""


@dataclass(frozen=True)
class Sided:
    """A row and its side."""

    row: Row
    side: str


@dataclass(frozen=True)
class Prepared:
    """Rows that are used, each with its side; and what became of the others, in words."""

    rows: list[Sided]
    said: str

    def of(self, side: str) -> list[Row]:
        """The rows of a side."""
        return [one.row for one in self.rows if one.side == side]


def prepare(found: Rows, *, labelled: bool, test: float, seed: int) -> Prepared:
    """Leave out what is empty or comes twice, and split the rest. Raises InputError where too little is left."""
    full = [row for row in found.usable if row.record.text.strip()]
    empty = len(found.usable) - len(full)
    once: dict[str, Row] = {}
    for row in full:
        once.setdefault(digest(row.record), row)
    conflicts = sum(once[digest(row.record)].gold != row.gold for row in full) if labelled else 0
    rows = list(once.values())
    counts = Counter(row.gold[0] for row in rows) if labelled else Counter[str]()
    lone = [label for label, count in counts.items() if count == 1]
    parts = [f"{found.read} rows read", f"{len(rows)} used"]
    for count, what in ((len(found.broken), "not usable"), (empty, "empty"), (len(full) - len(rows), "duplicate"),
                        (conflicts, "of these with another label"), (len(lone), "labels seen once")):  # fmt: skip
        if count:
            parts.append(f"{count} {what}")
    if len(rows) < LEAST or (labelled and len(counts) < 2):
        few = f"{len(rows)} rows" if len(rows) < LEAST else "one label"
        raise InputError(f"{few} cannot be learnt from ({', '.join(parts)})", code="too-few",
                         hint=f"give {LEAST} different rows or more, of two labels or more")  # fmt: skip
    sided = _sides(rows, labelled=labelled, test=test, seed=seed)
    sides = Counter(one.side for one in sided)
    parts.append(f"{sides[LEARN]} to learn from, {sides[CHOOSE]} to choose by, {sides[TEST]} for the test")
    return Prepared(sided, ", ".join(parts))


def _sides(rows: Sequence[Row], *, labelled: bool, test: float, seed: int) -> list[Sided]:
    """Near duplicates on one side, each label in its share, by content: the rows' order changes nothing."""
    groups = near.groups([content(row.record) for row in rows])
    members: dict[int, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)

    def drawn(group: int) -> bytes:
        key = min(digest(rows[place].record) for place in members[group])
        return hashlib.blake2b(f"{seed} {key}".encode(), digest_size=8).digest()

    strata: dict[str, list[int]] = {}
    for group in sorted(members, key=drawn):
        strata.setdefault(rows[group].gold[0] if labelled else "", []).append(group)
    sides = [LEARN] * len(rows)
    for label in sorted(strata):
        whole = sum(len(members[group]) for group in strata[label])
        wanted = {TEST: round(whole * test), CHOOSE: round(whole * (1 - test) * CHOICE)}
        for group in strata[label]:
            side = next((side for side, left in wanted.items() if left >= len(members[group])), LEARN)
            if side != LEARN:
                wanted[side] -= len(members[group])
            for place in members[group]:
                sides[place] = side
    for side in (CHOOSE, TEST):
        if side not in sides:
            raise InputError(f"too few rows for a side of the split: {side}", code="too-few", hint="give more rows")
    return [Sided(row, side) for row, side in zip(rows, sides, strict=True)]
