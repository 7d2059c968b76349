"""Scores of the tasks on labelled rows: ``python -m tests.benchmarks.quality DATA_FOLDER [--rows N]``.

Reads ``sentiment.*.jsonl`` (text, label), ``summarize.*.jsonl`` and ``translate.*.XX-YY.*.jsonl`` (text, reference).
``answer.*.jsonl`` (context, question, answers; an empty answer: the text has none). Accuracy, ROUGE-1 F (x 100,
stemmed), corpus chrF; for answers F1 as SQuAD's (of words, in Chinese of characters) on questions that have one, and
the share of the others that were told apart. Needs the extra ``bench``.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmcli import api
from llmcli.run.records import Record

Row = dict[str, Any]


def main() -> None:
    """Print a line a file: the score, the rows, seconds a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--only", default="", help="files whose name holds this")
    arguments = parser.parse_args()
    for path in sorted(arguments.folder.glob("*.jsonl")):
        task = path.name.split(".")[0]
        if task in ("sentiment", "summarize", "translate", "answer") and arguments.only in path.name:
            rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()][: arguments.rows]
            start = time.monotonic()
            answers = list(answer(task, path, rows))
            seconds = (time.monotonic() - start) / len(rows)
            print(f"{path.name}\t{score(task, rows, answers)}\t{len(rows)} rows\t{seconds:.2f} s/row", flush=True)


def answer(task: str, path: Path, rows: list[Row]) -> Iterator[str]:
    """The task's answers: labels or texts."""
    options: Row = {}
    if task == "translate":
        source, target = path.name.split(".")[2].split("-")
        options = {"from_": source, "to": target}
    records = (Record(id=place, text=row.get("text") or row["context"], fields=row) for place, row in enumerate(rows))
    for result in api.open(task, **options).answer(records):
        yield str(result.fields.get("label") or result.fields.get("text") or "")


def score(task: str, rows: list[Row], answers: list[str]) -> str:
    """The task's usual measure."""
    if task == "sentiment":
        right = sum(row["label"] == found for row, found in zip(rows, answers, strict=True))
        return f"accuracy {right / len(rows):.3f}"
    if task == "answer":
        return spans(rows, answers)
    references = [row["reference"] for row in rows]
    if task == "translate":
        from sacrebleu import corpus_chrf

        return f"chrF {corpus_chrf(answers, [references]).score:.1f}"
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge1"], use_stemmer=True)
    pairs = zip(references, answers, strict=True)
    return f"ROUGE-1 {100 * sum(scorer.score(a, b)['rouge1'].fmeasure for a, b in pairs) / len(rows):.1f}"


def spans(rows: list[Row], answers: list[str]) -> str:
    """F1 where the text has an answer, and how often its lack was seen."""
    held = [(row["answers"], found) for row, found in zip(rows, answers, strict=True) if any(row["answers"])]
    lacking = [found for row, found in zip(rows, answers, strict=True) if not any(row["answers"])]
    f1 = sum(max(overlap(right, found) for right in answers) for answers, found in held) / len(held)
    seen = f", no answer seen {sum(not found for found in lacking)} of {len(lacking)}" if lacking else ""
    missed = sum(not found for _, found in held)
    return f"F1 {f1:.3f} ({len(held)} rows, {missed} left without{seen})"


def overlap(right: str, found: str) -> float:
    """F1 of two texts' words, or of their characters where there are no spaces."""
    one, other = Counter(words(right)), Counter(words(found))
    return 2 * (one & other).total() / ((one.total() + other.total()) or 1)


def words(text: str) -> list[str]:
    """Words without case, marks and articles; a Chinese character is one."""
    found = re.findall(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+", text.lower())
    return [word for word in found if word not in ("a", "an", "the")]


if __name__ == "__main__":
    main()
