"""docs/inside.md: each command prints what stands below it, and draws the picture shown; on one loaded model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.console import Block, alike, blocks

PAGE = ROOT / "docs" / "inside.md"
TERMS = ["Tokenization", "Padding", "Word embedding", "Self-attention", "Softmax", "Transformer layers"]


def test_each_term_has_a_command():
    sections = PAGE.read_text().split("\n## ")[1:]
    shown = [section.partition("\n")[0] for section in sections if "```console\n$ llmcli inspect " in section]
    assert [term for term in TERMS if term not in shown] == []


@pytest.fixture(scope="module")
def opened() -> dict[str, Any]:
    """The models that were opened, by name."""
    return {}


@pytest.mark.real
@pytest.mark.parametrize("block", blocks(PAGE), ids=lambda block: " ".join(block.arguments[1:3])[:30])
def test_a_block_is_what_is_printed(
    cli, real: Path, opened: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, block: Block
):
    from llmcli.inspecting import opening

    def kept(kind: str, open_it: Any) -> Any:
        def once(run: Any, *, report: Any) -> Any:
            key = f"{kind} {run.model.name}"
            if key not in opened:
                opened[key] = open_it(run, report=report)
            return opened[key]

        return once

    monkeypatch.setenv("LLMCLI_CACHE_DIR", str(real))
    for kind in ("model", "encoder"):
        monkeypatch.setattr(opening, kind, kept(kind, getattr(opening, kind)))
    picture = tmp_path / "drawn.svg"
    arguments = [str(picture) if argument == block.picture else argument for argument in block.arguments]
    done = cli(*arguments, "-q")
    assert done.code == 0, done.err
    assert alike(done.out, block.output), done.out
    if block.picture:
        assert alike(picture.read_text(), (ROOT / block.picture).read_text())


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("a 0.1230\n", "a 0.1241\n", True), ("a 0.10\n", "a 0.20\n", False), ("a 1\n", "a 2\n", False),
     ("#ffffff", "#fefefe", True), ("#ffffff", "#000000", False), ("Paris", "Rome", False)],
)  # fmt: skip
def test_what_is_alike(one: str, other: str, same: bool):
    assert alike(one, other) == same
