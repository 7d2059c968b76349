"""What is kept of a training: models with one answer to everything are not."""

from __future__ import annotations

import pytest

from llmcli.evaluate.answers import Answer
from llmcli.evaluate.rows import Row
from llmcli.run.records import Record
from llmcli.train import proving


@pytest.mark.parametrize(
    ("gold", "found", "alike"),
    [
        ("a b a", "a a a", "a"),
        ("a b a", "a b b", None),
        ("a a a", "a a a", None),
    ],
)
def test_one_answer_to_all_rows_is_seen(gold: str, found: str, alike: str | None):
    rows = [Row(Record(id=0, text=""), (label,)) for label in gold.split()]
    answer = proving.one_answer(rows, [Answer(label) for label in found.split()])
    assert (answer and answer.text) == alike
