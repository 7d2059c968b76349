"""Scores of the four tasks on labelled rows: ``python -m tests.benchmarks.quality DATA_FOLDER [--rows N]``.

Reads ``sentiment.*.jsonl`` (text, label), ``summarize.*.jsonl`` and ``translate.*.XX-YY.*.jsonl`` (text, reference).
Accuracy, ROUGE-1 F (x 100, stemmed) and corpus chrF; needs the extra ``bench``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmcli import config, runner
from llmcli.records import Record

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
        if task in ("sentiment", "summarize", "translate") and arguments.only in path.name:
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
        options = {"options": {"from_": source, "to": target}}
    records = (Record(id=place, text=row["text"]) for place, row in enumerate(rows))
    for result in runner.run(runner.Local(config.resolve(task, options)), records):
        yield str(result.fields.get("label") or result.fields.get("text") or "")


def score(task: str, rows: list[Row], answers: list[str]) -> str:
    """The task's usual measure."""
    if task == "sentiment":
        right = sum(row["label"] == found for row, found in zip(rows, answers, strict=True))
        return f"accuracy {right / len(rows):.3f}"
    references = [row["reference"] for row in rows]
    if task == "translate":
        from sacrebleu import corpus_chrf

        return f"chrF {corpus_chrf(answers, [references]).score:.1f}"
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge1"], use_stemmer=True)
    pairs = zip(references, answers, strict=True)
    return f"ROUGE-1 {100 * sum(scorer.score(a, b)['rouge1'].fmeasure for a, b in pairs) / len(rows):.1f}"


if __name__ == "__main__":
    main()
