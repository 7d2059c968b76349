"""Rows made ready, and their sides."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from llmcli.errors import InputError
from llmcli.evaluate.rows import Row, Rows
from llmcli.run.records import Record
from llmcli.train import near, splitting


def row(text: str, label: str = "a") -> Row:
    return Row(Record(id=text, text=text), (label,))


def texts(count: int) -> list[str]:
    draw = random.Random(1)
    words = ["bridge", "river", "market", "winter", "harbour", "engine", "forest", "letter", "music", "window"]
    return [f"{place} " + " ".join(draw.choices(words, k=9)) for place in range(count)]


def prepare(rows: list[Row], **options):
    return splitting.prepare(Rows(rows, []), **{"labelled": True, "test": 0.2, "seed": 0} | options)


def test_each_label_has_its_share_of_each_side():
    rows = [row(text, "rare" if place % 5 == 0 else "often") for place, text in enumerate(texts(200))]
    counts = Counter((one.side, one.row.gold[0]) for one in prepare(rows).rows)
    assert counts["test", "rare"] == 8
    assert counts["test", "often"] == 32
    assert (counts["choose", "rare"], counts["choose", "often"]) == (6, 26)


def test_the_order_of_rows_changes_no_side_and_the_seed_does():
    rows = [row(text, "ab"[place % 2]) for place, text in enumerate(texts(60))]
    sides = {one.row.record.id: one.side for one in prepare(rows).rows}
    assert {one.row.record.id: one.side for one in prepare(rows[::-1]).rows} == sides
    assert {one.row.record.id: one.side for one in prepare(rows, seed=1).rows} != sides


def test_near_duplicates_stand_on_one_side():
    rows = []
    for place, text in enumerate(texts(60)):
        label = "ab"[place % 2]
        rows += [row(text, label), row(text + " now", label), row(text.replace("river", "rivers", 1), label)]
    sides: dict[str, set[str]] = {}
    for one in prepare(rows).rows:
        sides.setdefault(str(one.row.record.id).split()[0], set()).add(one.side)
    assert {len(found) for found in sides.values()} == {1}


def test_likeness_is_told_from_likeness_of_subject():
    found = near.groups(["the ferry to the island leaves at nine in the morning from the old pier",
                         "the ferry to the island leaves at ten in the morning from the old pier",
                         "our ferry was late and nobody at the pier told us why it was so"])  # fmt: skip
    assert found == [0, 0, 2]


def test_what_became_of_rows_is_said():
    rows = [row(text, "ab"[place % 2]) for place, text in enumerate(texts(20))]
    again = [row(rows[0].record.text.upper() + "!", "a"), row(rows[2].record.text, "b"), row("odd one", "once")]
    said = prepare(rows + again).said
    assert said.startswith("23 rows read, 21 used, 2 duplicate, 1 of these with another label, 1 labels seen once")


@pytest.mark.parametrize(
    "rows, said",
    [([row(f"{n} x", "ab"[n % 2]) for n in range(7)], "7 rows"), ([row(text) for text in texts(20)], "one label")],
)
def test_too_little_is_refused(rows: list[Row], said: str):
    with pytest.raises(InputError, match=said):
        prepare(rows)
