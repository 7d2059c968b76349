"""Scores of the tasks on labelled rows: ``python -m tests.benchmarks.quality FOLDER [--rows N] [--models A,B]``.

Reads ``sentiment.*.jsonl`` (text, label), ``summarize.*.jsonl`` and ``translate.*.XX-YY.*.jsonl`` (text, reference),
``answer.*.jsonl`` (context, question, answers; an empty answer: the text has none). A line of a table for each file,
model and way of the task (answers marked in the text, or ``--free``; sentences picked or written): the score with a
bootstrap's interval of 95 %, and seconds a row. Answers: F1 of questions that have one, and how many
of the others were told apart. A model that cannot do a task says so in its line. Needs the extra ``bench``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmcli import api
from llmcli.errors import LlmcliError
from llmcli.evaluate import measures, rows, statistics
from llmcli.evaluate.answers import Answer
from llmcli.run.records import Record

Row = dict[str, Any]
WAYS: dict[str, dict[str, Row]] = {
    "sentiment": {"": {}},
    "translate": {"": {}},
    "answer": {"marked": {"question": "?"}, "free": {"question": "?", "free": True}},
    "summarize": {"picked": {"method": "extractive"}, "written": {"method": "abstractive"}},
}
"""By task, what can be asked of it: a name, and settings."""


def main() -> None:
    """Print a line a file, model and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--only", default="", help="files whose name holds this")
    parser.add_argument("--models", default="", help="names, with commas between; else each task's default")
    parser.add_argument("--dtype", default=None)
    given = parser.parse_args()
    print("| rows | model | way | score | seconds a row |\n|---|---|---|---|---|", flush=True)
    for path in sorted(given.folder.glob("*.jsonl")):
        task = path.name.split(".")[0]
        if task not in WAYS or given.only not in path.name:
            continue
        labelled = [json.loads(line) for line in path.read_text("utf-8").splitlines()][: given.rows]
        for model in given.models.split(","):
            for way, settings in WAYS[task].items():
                settings = {**settings, "model": model or None, "dtype": given.dtype}
                line = measured(task, path, labelled, settings)
                print(f"| {path.stem} | {model or 'default'} | {way} | {line} |", flush=True)


def measured(task: str, path: Path, labelled: list[Row], settings: Row) -> str:
    """The score and the time of one line, or why there is none."""
    begin = time.monotonic()
    try:
        answers = list(answer(task, path, labelled, {name: value for name, value in settings.items() if value}))
    except LlmcliError as error:
        return f"{error} |"
    seconds = (time.monotonic() - begin) / len(labelled)
    return f"{score(task, labelled, answers, interval=True)} | {seconds:.2f}"


def answer(task: str, path: Path, labelled: list[Row], settings: Row) -> Iterator[str]:
    """The task's answers: labels or texts."""
    if task == "translate":
        source, target = path.name.split(".")[2].split("-")
        settings = {**settings, "from_": source, "to": target}
    records = (Record(id=n, text=row.get("text") or row["context"], fields=row) for n, row in enumerate(labelled))
    with api.open(task, **settings) as session:
        for result in session.answer(records):
            yield str(result.fields.get("label") or result.fields.get("text") or "")


def score(task: str, labelled: list[Row], answers: list[str], *, interval: bool = False) -> str:
    """The task's foremost measure; with its interval of 95 %, which takes a second or two, if that is asked for."""
    pairs = list(zip(labelled, answers, strict=True))
    if task != "answer":
        return _value(task, pairs, interval)
    held = [(row, text) for row, text in pairs if any(row["answers"])]
    lacking = [text for row, text in pairs if not any(row["answers"])]
    seen = f", no answer seen {sum(not text for text in lacking)} of {len(lacking)}" if lacking else ""
    return f"{_value(task, held, interval)}, {sum(not text for _, text in held)} left without{seen}"


def _value(task: str, pairs: list[tuple[Row, str]], interval: bool) -> str:
    name = next(name for name in rows.FIELDS[task] if name in pairs[0][0])
    gold = [rows.Row(Record(id=0, text=""), _all(row[name])) for row, _ in pairs]
    first = measures.measured(task, gold, [Answer(text) for _, text in pairs])[0]
    digits = 1 if first.name not in ("accuracy", "F1") else 3
    ends = ""
    if interval:
        spread = statistics.spread(statistics.bootstrap([first])[:, 0])
        ends = f" [{spread.low:.{digits}f}, {spread.high:.{digits}f}]"
    return f"{first.name} {first.value:.{digits}f}{ends} ({len(gold)} rows)"


def _all(right: str | list[str]) -> tuple[str, ...]:
    return (right,) if isinstance(right, str) else tuple(right)


if __name__ == "__main__":
    main()
