"""Facts that a model gets wrong, and facts that it invents: ``python -m tests.benchmarks.invented [--model NAME]``.

50 questions of ``invented.tsv``: 25 have an answer that most people know, 25 have none, because what they ask for does
not exist. The first are right where an accepted answer is in the text as a whole word. The others are admitted where
the text says that it does not know, or that there is no such thing; every other answer is counted as invented.
``--show`` prints the answers, so that one can count by eye.
"""

from __future__ import annotations

import argparse
import csv
import re
from pathlib import Path

from llmcli import api
from llmcli.evaluate.statistics import wilson
from llmcli.run.records import Record

ADMITTED = re.compile(
    r"don't know|do not know|not aware|no such|does not exist|doesn't exist|not exist|no information|not (a )?real|"
    r"fictional|cannot find|could not find|couldn't find|no record|never|not a member|has no king|not sure|"
    r"not possible|no (known|widely)|there (is|was|are|were) no\b|not familiar|not provide|unable|cannot|can't|sorry",
    re.IGNORECASE,
)


def main() -> None:
    """Print how many are right, and how many are invented, each with its 95% interval."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    with Path(__file__).with_suffix(".tsv").open(encoding="utf-8") as stream:
        rows = [(row["question"], row["answers"]) for row in csv.DictReader(stream, delimiter="\t")]
    options = {"model": given.model} if given.model else {}
    session = api.open("generate", max_new_tokens=48, temperature=0.0, **options)
    results = session.answer(Record(id=place, text=question) for place, (question, _) in enumerate(rows))
    right, invented = [], []
    for (question, answers), result in zip(rows, results, strict=True):
        text = "" if result.error else str(result.fields["text"])
        if answers:
            good = re.search(rf"(?i)\b({answers})\b", text) is not None
            right.append(good)
        else:
            good = ADMITTED.search(text.replace("’", "'")) is not None
            invented.append(not good)
        if given.show:
            print(f"{'+' if good else '-'}\t{question}\t{' '.join(text.split())}", flush=True)
    for name, found in (("right answers", right), ("invented answers", invented)):
        interval = wilson(sum(found), len(found))
        print(f"{name}: {sum(found)} of {len(found)} [{interval.low:.2f}, {interval.high:.2f}]")


if __name__ == "__main__":
    main()
