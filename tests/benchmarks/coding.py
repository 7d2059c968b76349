"""How much of the code parses, and passes: ``python -m tests.benchmarks.coding [--model NAME]``.

Twenty small tasks of our own. The code is run here, in processes of their own with little time and no environment; the
product never runs any.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from typing import Any

from llmcli import config, runner
from llmcli.records import Record

TASKS = {
    "a function that adds two numbers": "f(2, 3) == 5",
    "a function that returns the n-th Fibonacci number": "f(10) in (34, 55) and f(7) in (8, 13)",
    "a function that reverses a string": "f('abc') == 'cba'",
    "a function that says whether a number is prime": "f(7) and f(13) and not f(9) and not f(1)",
    "a function that returns the factorial of a number": "f(5) == 120",
    "a function that returns the largest number of a list": "f([3, 9, 2]) == 9",
    "a function that counts the vowels in a string": "f('banana') == 3",
    "a function that says whether a string is a palindrome": "f('level') and not f('house')",
    "a function that returns the sum of the even numbers of a list": "f([1, 2, 3, 4]) == 6",
    "a function that converts Celsius to Fahrenheit": "f(100) == 212",
    "a function that removes duplicates from a list and keeps the order": "list(f([3, 1, 3, 2, 1])) == [3, 1, 2]",
    "a function that returns the number of words in a sentence": "f('one two three') == 3",
    "a function that returns the greatest common divisor of two numbers": "f(12, 18) == 6",
    "a function that returns the average of a list of numbers": "f([1, 2, 3]) == 2",
    "a function that merges two dictionaries": "f({'a': 1}, {'b': 2}) == {'a': 1, 'b': 2}",
    "a function that returns the squares of the numbers of a list": "list(f([1, 2, 3])) == [1, 4, 9]",
    "a function that sorts a list of strings by their length": "list(f(['ccc', 'a', 'bb'])) == ['a', 'bb', 'ccc']",
    "a function that says whether a year is a leap year": "f(2024) and f(2000) and not f(1900) and not f(2023)",
    "a function that returns the last element of a list": "f([1, 2, 3]) == 3",
    "a function that capitalizes the first letter of every word": "f('ab cd') == 'Ab Cd'",
}
CHECK = """
import sys, types
space = {"__name__": "checked"}
exec(compile(sys.stdin.read(), "code", "exec"), space)
functions = [value for value in space.values() if isinstance(value, types.FunctionType)]
sys.exit(not any(passes(f) for f in functions))
"""


def main() -> None:
    """Print a line a task, then how many of them parse, and pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=None)
    arguments = parser.parse_args()
    flags: dict[str, Any] = {"model": arguments.model} if arguments.model else {}
    session = runner.Local(config.resolve("code", flags))
    records = (Record(id=task, text=task) for task in TASKS)
    sound = passed = 0
    for result in runner.run(session, records):
        parses = bool(result.fields.get("parses"))
        passes = parses and check(result.fields["text"], TASKS[str(result.id)])
        sound, passed = sound + parses, passed + passes
        print(f"{'passes' if passes else 'parses' if parses else 'broken'}\t{result.id}", flush=True)
    print(f"{session.model}: {sound} of {len(TASKS)} parse, {passed} pass")


def check(code: str, test: str) -> bool:
    """Whether one of the code's functions does what the task says."""
    script = f"def passes(f):\n    try:\n        return bool({test})\n    except Exception:\n        return False\n"
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run([sys.executable, "-I", "-c", script + CHECK],
                                  input=code, text=True, capture_output=True, timeout=5, cwd=folder, env={},
                                  check=False)  # fmt: skip
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0


if __name__ == "__main__":
    main()
