"""Code in a model's answer: found among fences and talk, and checked by parsing. Nothing is ever executed."""

from __future__ import annotations

import ast
import re
import textwrap
import warnings

PYTHON = ("python", "py", "python3")
_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+#.-]*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.MULTILINE | re.DOTALL)
_BEGINNING = re.compile(
    r"(?:def|class|async def|import|from|for|while|if|with|try|print|return)\b|@\w|#!|[\w.]+ *=[^=]"
)


def extract(answer: str, *, lang: str) -> tuple[str, str]:
    """The code of an answer, and the language that its fence names.

    The first fenced block, one of ``lang`` before others; a block that is never closed ends with the answer. An
    answer without fences is kept, less the talk before what looks like Python.
    """
    blocks = [(match[1].lower(), match[2]) for match in _FENCE.finditer(answer)]
    if not blocks:
        return (_unfenced(answer) if lang in (*PYTHON, "auto") else answer.strip()), ""
    named, code = next((block for block in blocks if _same(block[0], lang)), blocks[0])
    return textwrap.dedent(code).strip("\n").rstrip(), named


def _same(named: str, lang: str) -> bool:
    return named == lang or (named in PYTHON and lang in PYTHON)


def _unfenced(answer: str) -> str:
    lines = answer.strip("\n").rstrip().split("\n")
    if parses(answer):
        return "\n".join(lines)
    first = next((place for place, line in enumerate(lines) if _BEGINNING.match(line)), 0)
    return "\n".join(lines[first:])


def parses(code: str) -> bool:
    """Whether Python's parser takes the code; what exhausts the parser does not parse."""
    return _tree(code) is not None


def _tree(code: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def parsable(code: str) -> str | None:
    """The code if it parses, else its longest beginning of whole lines that parses and holds a definition, or None."""
    if not code.strip():
        return None
    if parses(code):
        return code
    lines = code.split("\n")
    for end in range(len(lines) - 1, 0, -1):
        tree = _tree("\n".join(lines[:end]))
        if tree is not None:
            defines = any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in tree.body)
            return "\n".join(lines[:end]).rstrip() if defines else None
    return None


def is_python(code: str, *, lang: str, named: str) -> bool:
    """Whether code is to be checked as Python: its fence says so, or, without a language, the option does.

    With neither, code with a definition or an import that Python's parser takes is Python.
    """
    if named or lang != "auto":
        return (named or lang) in PYTHON
    return bool(
        re.search(r"^(?:async )?(?:def \w+\(.*\).*:|class \w+.*:|import \w|from \w+ import)", code, re.MULTILINE)
    )
