"""How many of 20 small coding tasks parse and pass: ``python -m tests.benchmarks.coding --model NAME``.

The model's code runs here, and only here: in a subprocess of its own, isolated (-I), for at most 5 seconds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile

from llmcli import api
from llmcli.run.records import Record

TASKS: list[tuple[str, str]] = [
    ("a function fib(n) that returns the n-th Fibonacci number, with fib(0) = 0 and fib(1) = 1",
     "assert [fib(i) for i in range(8)] == [0, 1, 1, 2, 3, 5, 8, 13]"),
    ("a function factorial(n)", "assert factorial(0) == 1 and factorial(5) == 120"),
    ("a function add(a, b) that returns the sum of two numbers", "assert add(2, 3) == 5"),
    ("a function reverse(text) that returns a string backwards", "assert reverse('abc') == 'cba'"),
    ("a function is_palindrome(text) that tells whether a string reads the same backwards",
     "assert is_palindrome('abba') and not is_palindrome('abc')"),
    ("a function largest(numbers) that returns the largest number of a list", "assert largest([3, -1, 9, 2]) == 9"),
    ("a function mean(numbers) that returns the average of a list of numbers", "assert mean([1, 2, 3, 6]) == 3"),
    ("a function is_prime(n)", "assert [n for n in range(14) if is_prime(n)] == [2, 3, 5, 7, 11, 13]"),
    ("a function gcd(a, b) that returns the greatest common divisor", "assert gcd(12, 18) == 6 and gcd(7, 3) == 1"),
    ("a function count_words(text) that returns the number of words in a text",
     "assert count_words('a cat  sat') == 3 and count_words('') == 0"),
    ("a function unique(items) that removes duplicates from a list and keeps the order",
     "assert list(unique([3, 1, 3, 2, 1])) == [3, 1, 2]"),
    ("a function flatten(lists) that turns a list of lists into one list",
     "assert list(flatten([[1, 2], [], [3]])) == [1, 2, 3]"),
    ("a function celsius(f) that converts degrees Fahrenheit to Celsius",
     "assert abs(celsius(212) - 100) < 1e-6 and abs(celsius(32)) < 1e-6"),
    ("a function is_leap(year) that tells whether a year is a leap year",
     "assert is_leap(2000) and is_leap(2024) and not is_leap(1900) and not is_leap(2023)"),
    ("a function char_counts(text) that returns a dictionary of how often each character occurs",
     "assert dict(char_counts('aab')) == {'a': 2, 'b': 1}"),
    ("a function even_numbers(numbers) that returns only the even numbers of a list",
     "assert list(even_numbers([1, 2, 3, 4])) == [2, 4]"),
    ("a function squares(n) that returns a list of the squares of 1 to n", "assert list(squares(4)) == [1, 4, 9, 16]"),
    ("a function to_binary(n) that returns a number's binary digits as a string, without a prefix",
     "assert to_binary(5) == '101' and to_binary(8) == '1000'"),
    ("a function second_largest(numbers) that returns the second largest of different numbers",
     "assert second_largest([4, 9, 1, 7]) == 7"),
    ("a class Stack with methods push(item), pop() and is_empty()",
     "s = Stack(); assert s.is_empty(); s.push(1); s.push(2); assert s.pop() == 2 and not s.is_empty()"),
]  # fmt: skip


def main() -> None:
    """Print a line a task, then how many parse and how many pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    arguments = parser.parse_args()
    session = api.open("code", model=arguments.model, lang="python")
    records = (Record(id=place, text=text) for place, (text, _) in enumerate(TASKS))
    parsed = passed = 0
    for (text, check), result in zip(TASKS, session.answer(records), strict=True):
        right = not result.error and passes(str(result.fields["text"]), check)
        parsed, passed = parsed + bool(result.fields.get("parses")), passed + right
        print(f"{'pass' if right else 'fail'}\t{result.fields.get('parses')}\t{text[:60]}", flush=True)
    print(f"{arguments.model}: {parsed} of {len(TASKS)} parse, {passed} pass")


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
