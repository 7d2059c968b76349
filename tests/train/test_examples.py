"""What is learnt of a row: the task's own prompt, without its worked examples, and what should follow it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from llmcli import tasks
from llmcli.config.schemas import Label
from llmcli.evaluate.rows import Row
from llmcli.run.records import Record
from llmcli.run.resolve import resolve
from llmcli.train import job as jobs
from llmcli.train.examples import Example, examples
from tests.support.fake import FakeModel


def learnt(task: str, row: Row, *, labels: tuple[str, ...] = (), **settings: Any) -> list[Example]:
    declared = tasks.get(task)
    config = resolve(declared, settings)
    if labels:
        made = [Label(name=name, description="one of them", bias=1.0) for name in labels]
        config = config.__class__(**vars(config) | {"settings": config.settings.model_copy(update={"labels": made})})
    job: Any = SimpleNamespace(task=declared, config=config, labelled=task in jobs.LABELS)
    return examples(declared, jobs.bare(job), FakeModel(), [row])


def row(text: str, gold: str, **fields: Any) -> Row:
    return Row(Record(id=1, text=text, fields=fields), (gold,))


def test_a_label_is_one_of_the_words_that_inference_weighs():
    (found,) = learnt("sentiment", row("a fine film", "positive"))
    assert (found.prompt.prefix, found.prompt.row) == ("", "Review: a fine film\nIn short, it was")
    assert (found.gold, found.words) == ("positive", {"positive": (" great",), "negative": (" terrible",)})
    (found,) = learnt("classify", row("it broke", "bug"), labels=("bug", "praise"))
    assert found.prompt.prefix == ""  # neither examples nor descriptions
    assert found.words == {"bug": (" bug",), "praise": (" praise",)}


@pytest.mark.parametrize(
    "task, given, settings, prompt, target",
    [
        ("translate", row("The cat sleeps.", "Le chat dort."), {"options": {"from_": "en", "to": "fr"}},
         "English: The cat sleeps.\nFrench:", " Le chat dort.\n"),
        ("summarize", row("A cat slept. Rain fell.", "A cat\nslept."), {},
         "Text: A cat slept. Rain fell.\nSummary:", " A cat slept.\n"),
        ("answer", row("Tom built it.", "Tom", question="Who built it?"), {"options": {"field": "context"}, },
         'Text: Tom built it.\nQuestion: Who built it?\nAnswer: "', 'Tom"'),
        ("answer", row("Tom built it.", "", question="When?"), {"options": {"field": "context"}},
         'Text: Tom built it.\nQuestion: When?\nAnswer: "', '"'),
    ],
)  # fmt: skip
def test_a_text_ends_as_it_does_in_inference(task: str, given: Row, settings: Any, prompt: str, target: str):
    if task == "answer":
        settings = {"options": {"format": "jsonl"}, "model": "gemma-3-270m"}
    (found,) = learnt(task, given, **settings)
    assert (found.prompt.prefix, found.prompt.row, found.target, found.ends) == ("", prompt, target, False)


def test_a_chat_ends_with_its_turn():
    said = [{"role": "user", "content": "hello"}]
    (found,) = learnt("generate", row("hello", "hi", messages=said), model="smollm2-135m-instruct")
    assert (found.prompt.messages, found.target, found.ends) == (tuple(said), "hi", True)
    (found,) = learnt("answer", row("Tom built it.", "Tom", question="Who?"), options={"format": "jsonl"})
    assert ([message["role"] for message in found.prompt.messages], found.target, found.ends) == (["user"], "Tom", True)
    (found,) = learnt("generate", row("once upon", " a time"))
    assert (found.prompt.row, found.target, found.ends) == ("once upon", " a time", True)


def test_sentences_are_paired_where_there_are_as_many():
    options = {"options": {"from_": "en", "to": "fr"}}
    both = learnt("translate", row("A cat slept. Rain fell.", "Un chat dormait. La pluie tombait."), **options)
    assert [example.target for example in both] == [" Un chat dormait.\n", " La pluie tombait.\n"]
    assert learnt("translate", row("A cat slept. Rain fell.", "Un chat dormait sous la pluie."), **options) == []


def test_rows_that_are_left_out_are_counted():
    from llmcli.train import descending

    declared, said = tasks.get("translate"), list[str]()
    config = resolve(declared, {"options": {"from_": "en", "to": "fr"}})
    job: Any = SimpleNamespace(task=declared, tell=said.append)
    objective: Any = SimpleNamespace(item=lambda example: None if "long" in example.prompt.row else example.target)
    rows = [row("A cat.", "Un chat."), row("A long cat.", "Un long chat."), row("A cat. A dog.", "Tous les deux")]
    assert descending._items(job, config, FakeModel(), objective, rows) == [" Un chat.\n"]
    assert said == [
        "1 of 3 rows left out: read in several pieces, or sentences that have no pair",
        "1 of 3 rows too long, left out: above 1024 tokens with their prompt, or the window",
    ]
