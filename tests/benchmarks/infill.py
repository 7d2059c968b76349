"""How many gaps in real functions are filled: ``python -m tests.benchmarks.infill [--model NAME] [--show]``.

Each function is read from the running Python's own standard library, and some of its lines are taken out: what the
model writes there is ``exact`` where it is those lines, and ``right`` where the function gives what the original gives.
The model's code runs here, and only here: in a subprocess of its own, isolated (-I), for at most 5 seconds.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
from dataclasses import dataclass

from llmcli import api
from llmcli.run.records import Record
from llmcli.tasks.code import GAP
from tests.benchmarks.coding import passes


@dataclass(frozen=True)
class Gap:
    """Lines of a function, from the first one that begins so, and calls whose results tell whether it is right."""

    module: str
    function: str
    begins: str
    lines: int
    calls: tuple[str, ...]


GAPS = (
    Gap("calendar", "isleap", "return year", 1, ("2000", "1900", "2024", "2023")),
    Gap("calendar", "leapdays", "return (y2", 1, ("1990, 2024", "1896, 2001")),
    Gap("bisect", "bisect_right", "if x < a[mid]", 4, ("[1, 2, 2, 3], 2", "[1, 5, 9], 6", "[], 1")),
    Gap("posixpath", "split", "head, tail =", 1, ("'/a/b/c'", "'a'", "'/a'")),
    Gap("posixpath", "join", "if b.startswith", 6, ("'a', 'b'", "'a/', 'b'", "'a', '/b', 'c'")),
    Gap("genericpath", "commonprefix", "for i, c", 3, ("['abcd', 'abx']", "['a', 'a']", "['x', 'y']")),
    Gap("shlex", "join", "return ' '", 1, ("['a', 'b c']", "['x;', '']")),
    Gap("colorsys", "rgb_to_hls", "if l <= 0.5", 4, ("0.2, 0.4, 0.4", "0.9, 0.8, 0.1", "0.5, 0.1, 0.2")),
    Gap("string", "capwords", "return (sep", 1, ("'one two  THREE'", "'a-b c', '-'")),
    Gap("html", "escape", 's = s.replace("<"', 2, ("'a < b > c & \"d\"'", '"it\'s <x>", False')),
    Gap("operator", "countOf", "for i in a", 3, ("[1, 2, 1], 1", "'banana', 'a'", "[], 0")),
    Gap("functools", "reduce", "for element", 2, ("max, [3, 9, 2]", "pow, [2, 3, 2], 2")),
    Gap("statistics", "median", "if n % 2", 5, ("[3, 1, 2]", "[4, 1, 3, 2]", "[5]")),
    Gap("textwrap", "indent", "for line in", 2, ("'a\\n\\nb\\n', '> '", "'x', '  '")),
    Gap("inspect", "cleandoc", "content = ", 4, ("'A\\n    b\\n      c\\n    '", "'  x\\n y'")),
)


def main() -> None:
    """Print a line a gap, then how many are exact and how many right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    taken = [taken_out(gap) for gap in GAPS]
    session = api.open("code", infill=True, lang="python", **({"model": given.model} if given.model else {}))
    records = [Record(id=place, text=before + GAP + behind) for place, (before, _, behind) in enumerate(taken)]
    exact = right = 0
    for gap, (before, gone, behind), result in zip(GAPS, taken, session.answer(records), strict=True):
        text = "" if result.error else str(result.fields["text"])
        same = text.strip() == gone.strip()
        good = same or passes("", checked(gap, before + text + behind))
        exact, right = exact + same, right + good
        print(f"{'exact' if same else 'right' if good else 'wrong'}\t{gap.module}.{gap.function}", flush=True)
        if given.show and not same:
            print(f"--- was\n{gone}--- is\n{text}\n---", flush=True)
    print(
        f"{given.model or 'the default'}: of {len(GAPS)} gaps {exact} are filled with the very lines, {right} are right"
    )


def taken_out(gap: Gap) -> tuple[str, str, str]:
    """The function up to the gap, what was taken out, and the rest; the indentation of its first line is left."""
    source = inspect.getsource(importlib.import_module(gap.module))
    function = next(node for node in ast.parse(source).body
                    if isinstance(node, ast.FunctionDef) and node.name == gap.function)  # fmt: skip
    lines = (ast.get_source_segment(source, function) or "").splitlines(keepends=True)
    lines[-1] += "\n"
    first = next(place for place, line in enumerate(lines) if line.strip().startswith(gap.begins))
    gone = "".join(lines[first : first + gap.lines])
    indentation = gone[: len(gone) - len(gone.lstrip())]
    return ("".join(lines[:first]) + indentation, gone.removeprefix(indentation).removesuffix("\n"),
            "\n" + "".join(lines[first + gap.lines :]))  # fmt: skip


def checked(gap: Gap, filled: str) -> str:
    """Code that ends well where the filled function, among its module's names, gives what the original gives."""
    calls = "\n".join(f"assert names[{gap.function!r}]({call}) == expected({call})" for call in gap.calls)
    return (f"import {gap.module} as module\nsource = {inspect.getsource(importlib.import_module(gap.module))!r}\n"
            f"original = {{'__name__': 'original'}}\nexec(source, original)\nexpected = original[{gap.function!r}]\n"
            f"names = dict(original)\nexec({filled!r}, names)\n{calls}\n")  # fmt: skip


if __name__ == "__main__":
    main()
