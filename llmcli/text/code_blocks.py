"""Code in a model's answer: found among fences and talk, and checked by parsing. Nothing is ever executed."""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PYTHON = "python"
_ALIASES = {
    "python": "py python3 py3 pycon ipython", "typescript": "ts tsx mts", "javascript": "js jsx mjs node nodejs",
    "bash": "sh shell zsh console shellsession shell-session", "c++": "cpp cxx cc hpp", "c#": "csharp cs",
    "f#": "fsharp fs", "go": "golang", "rust": "rs", "ruby": "rb", "yaml": "yml", "markdown": "md mdx", "kotlin": "kt",
    "perl": "pl", "haskell": "hs", "html": "htm", "sql": "postgresql postgres mysql sqlite", "docker": "dockerfile",
    "powershell": "ps1 pwsh", "make": "makefile", "latex": "tex", "objective-c": "objc objectivec",
}  # fmt: skip
_NAMES = {alias: name for name, aliases in _ALIASES.items() for alias in aliases.split()}
_OPENING = re.compile(r"[ \t]*(`{3,}(?=[^`]*$)|~{3,})[ \t]*(.*)")
_BEGINNING = re.compile(
    r"(?:def|class|async def|import|from|for|while|if|with|try|print|return)\b|@\w|#!|[\w.]+ *=[^=]"
)


@dataclass(frozen=True)
class Fence:
    """A fenced block: the lines ``first`` to ``last`` hold its marks, ``last`` being past the end if never closed.

    ``lang`` is the language after the opening mark, as written in lower case.
    """

    first: int
    last: int
    lang: str
    closed: bool


def canonical(lang: str) -> str:
    """The usual name of a programming language: ``ts`` -> ``typescript``."""
    folded = lang.strip().lower()
    return _NAMES.get(folded, folded)


def fences(lines: Sequence[str]) -> list[Fence]:
    """The fenced blocks of Markdown, after CommonMark: a block ends with a bare mark no shorter than its first.

    Models also put a named fence into a Markdown block of equally short marks: there a bare mark ends the inner one.
    """
    blocks: list[Fence] = []
    at = 0
    while at < len(lines):
        opening = _OPENING.fullmatch(lines[at])
        if opening:
            lang = _named(opening[2])
            last = _last(lines, at, opening=opening, nests=canonical(lang) == "markdown")
            blocks.append(Fence(at, last, lang, closed=last < len(lines)))
            at = last
        at += 1
    return blocks


def _named(info: str) -> str:
    """The language of what stands after an opening mark: ``python title="x"``, ``{.python}``, ``python:main.py``."""
    word = re.match(r"[{.\s]*([\w+#-]*)", info)
    return word[1].lower() if word else ""


def _last(lines: Sequence[str], first: int, *, opening: re.Match[str], nests: bool) -> int:
    mark, margin, depth = opening[1], opening.start(1) + 4, 1
    for at in range(first + 1, len(lines)):
        line = lines[at].strip()
        if not line.startswith(mark):
            continue
        if line.strip(mark[0]):
            depth += bool(nests and _OPENING.fullmatch(line))
        elif depth > 1 or len(lines[at]) - len(lines[at].lstrip()) < margin:
            depth -= 1
        if depth == 0:
            return at
    return len(lines)


def extract(answer: str, *, lang: str) -> tuple[str, str]:
    """The code of an answer, and the language that its fence names.

    The first fenced block, one of ``lang`` before others, and what a wrapper of blocks holds before the wrapper,
    unless it is Markdown that is wanted; a block that is never closed ends with the answer. An answer without fences
    is kept, less the talk before what looks like Python.
    """
    lang = canonical(lang)
    blocks = list(_blocks(answer.split("\n"), wanted=lang))
    if not blocks:
        answer = re.sub(r"\n[ \t]*(?:`{3,}|~{3,})\s*\Z", "", answer)  # a closing mark alone
        return (_unfenced(answer) if lang in (PYTHON, "auto") else answer.strip()), ""
    named, code = next((block for block in blocks if canonical(block[0]) == lang), blocks[0])
    return code, named


def _blocks(lines: Sequence[str], *, wanted: str) -> Iterator[tuple[str, str]]:
    """Language and code of the fenced blocks, those inside a wrapper before it where it is not what is wanted."""
    for fence in fences(lines):
        inside = lines[fence.first + 1 : fence.last]
        code = textwrap.dedent("\n".join(inside)).strip("\n").rstrip()
        if not code and not fence.closed:
            continue
        wraps = not fence.lang or (canonical(fence.lang) == "markdown" and wanted != "auto")
        if wraps and wanted != "markdown":
            yield from (block for block in _blocks(inside, wanted="markdown") if block[0] or fence.lang)
        yield fence.lang, code


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
        return canonical(named or lang) == PYTHON
    return bool(
        re.search(r"^(?:async )?(?:def \w+\(.*\).*:|class \w+.*:|import \w|from \w+ import)", code, re.MULTILINE)
    )
