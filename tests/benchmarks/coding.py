"""How many of 40 small coding tasks parse and pass: ``python -m tests.benchmarks.coding --model NAME``.

The tasks are those of ``coding.tsv``, each with its check; prompts were chosen on the first 20. The model's code runs
here, and only here: in a subprocess of its own, isolated (-I), for at most 5 seconds.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

from llmcli import api
from llmcli.run.records import Record

CHOSEN_ON = 20


def main() -> None:
    """Print a line a task, then how many parse and how many pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    arguments = parser.parse_args()
    with Path(__file__).with_suffix(".tsv").open(encoding="utf-8") as stream:
        tasks = [(row["task"], row["check"].replace("\\n", "\n")) for row in csv.DictReader(stream, delimiter="\t")]
    session = api.open("code", model=arguments.model, lang="python")
    records = (Record(id=place, text=text) for place, (text, _) in enumerate(tasks))
    parsed, passed = 0, []
    for (text, check), result in zip(tasks, session.answer(records), strict=True):
        right = not result.error and passes(str(result.fields["text"]), check)
        parsed += bool(result.fields.get("parses"))
        passed.append(right)
        print(f"{'pass' if right else 'fail'}\t{result.fields.get('parses')}\t{text[:60]}", flush=True)
    first, others = sum(passed[:CHOSEN_ON]), sum(passed[CHOSEN_ON:])
    print(f"{arguments.model}: {parsed} of {len(tasks)} parse, {first + others} pass: {first} of the first {CHOSEN_ON} "
          f"and {others} of the others")  # fmt: skip


def passes(code: str, check: str) -> bool:
    """Whether the code runs to its end and its check holds."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run([sys.executable, "-I", "-c", f"{code}\n{check}\n"], cwd=folder, env={}, timeout=5,
                                  stdin=subprocess.DEVNULL, capture_output=True, check=False)  # fmt: skip
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0


if __name__ == "__main__":
    main()
