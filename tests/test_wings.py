"""A wing imports only wings below it, and no circle of files exists."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from tests.support import ROOT, WINGS

EXCEPTIONS: dict[tuple[str, str], str] = {}
"""Imports that run upwards all the same: from a module, of a module, and why."""
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "llmcli").rglob("*.py")
}


def imports(path: Path) -> Iterator[str]:
    """The modules of the package that a file imports, wherever in it; a package's own name tells nothing."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("llmcli"):
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                yield inner if inner in MODULES else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in MODULES)


def wing(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_a_wing_imports_only_wings_below_it():
    upwards = {
        (module, other)
        for module, path in MODULES.items()
        for other in imports(path)
        if wing(module) in WINGS and wing(other) in WINGS and WINGS.index(wing(other)) < WINGS.index(wing(module))
    }
    assert upwards == set(EXCEPTIONS)
    assert {wing(module) for module in MODULES} - {"", "__main__"} <= set(WINGS)


def test_no_circle_of_files():
    try:
        TopologicalSorter({module: {*imports(path)} - {module} for module, path in MODULES.items()}).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None
