"""Sessions of README and of the docs: each command prints what stands below it, on the embedded models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT, pictures, sessions
from tests.support.console import alike
from tests.support.sessions import Session

COOKBOOK = ROOT / "docs" / "cookbook.md"
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
         if "```console" in page.read_text() and page.name != "inside.md"]  # fmt: skip
"""All pages with sessions but one, which tests/test_inside.py runs."""
KEPT = re.compile(r"\(\d+ kept\)")
SECONDS = re.compile(r"\b\d+(\.\d+)? s\b|\b\d+:\d\d:\d\d\b")


@pytest.fixture(scope="module")
def shell(real: Path) -> Iterator[dict[str, str]]:
    with sessions.shell(real) as environment:
        yield environment


def shown() -> list[tuple[str, Session]]:
    return [(f"{page.stem}: {session.title}", session) for page in PAGES for session in sessions.sessions(page)]


@pytest.mark.real
@pytest.mark.parametrize(("name", "session"), shown(), ids=[name for name, _ in shown()])
def test_a_session_is_what_is_printed(shell: dict[str, str], tmp_path: Path, name: str, session: Session):
    for step, printed in zip(session.steps, sessions.run(session, tmp_path / "work", shell), strict=True):
        if step.command != "llmcli --help":  # compared without a model, elsewhere
            assert alike(SECONDS.sub("0 s", printed.output), SECONDS.sub("0 s", step.output)), printed


@pytest.mark.real
@pytest.mark.parametrize("name", pictures.PICTURES)
def test_a_picture_is_of_what_is_printed(shell: dict[str, str], name: str):
    """``python -m tests.support.pictures`` makes it anew."""
    stored = pictures.text((pictures.FOLDER / f"{name}.svg").read_text())
    printed = pictures.text(pictures.record(name, shell, waits=True)).replace(*reversed(pictures.WAIT))
    masked, expected = (KEPT.sub("(kept)", SECONDS.sub("0 s", text)) for text in (printed, stored))
    assert alike(masked, expected), printed


def test_the_cookbook_has_recipes_for_all():
    titles = {session.title for session in sessions.sessions(COOKBOOK)}
    assert len(titles) >= 25
