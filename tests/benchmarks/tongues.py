"""How often sentiment is right in eight languages: ``python -m tests.benchmarks.tongues [--model NAME]``.

Twelve sentences of ``tongues.tsv``, the same in each language. Few: they show where a model fails, not by how much.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from llmcli import api
from llmcli.evaluate.statistics import wilson
from llmcli.run.records import Record


def main() -> None:
    """Print a line a language: right labels with their 95% interval, and the mean score of the right label."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    given = parser.parse_args()
    with Path(__file__).with_suffix(".tsv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    session = api.open("sentiment", all_scores=True, **({"model": given.model} if given.model else {}))
    for language in [name for name in rows[0] if name != "label"]:
        results = session.answer(Record(id=place, text=row[language]) for place, row in enumerate(rows))
        pairs = [(result.fields, row["label"]) for result, row in zip(results, rows, strict=True)]
        right = sum(fields["label"] == label for fields, label in pairs)
        interval, mean = wilson(right, len(rows)), sum(fields["scores"][label] for fields, label in pairs) / len(rows)
        print(f"{language}: {right} of {len(rows)} [{interval.low:.2f}, {interval.high:.2f}], mean score {mean:.2f}")


if __name__ == "__main__":
    main()
