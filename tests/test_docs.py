"""The pages for people: what they name exists, what they show runs, what they promise is what is printed."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import pytest

import llmcli
from llmcli import errors
from tests.support import ROOT, WINGS, formats, quality_picture

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
TOP = ("llmcli/", "tests/", "configs/", "docs/", ".ci/", ".github/")


def section(page: str, title: str) -> str:
    """What stands below a heading of a page, up to the next heading of its level or a higher one."""
    text = (ROOT / "docs" / page).read_text()
    level, rest = re.search(rf"^(#+) {re.escape(title)}$(.*)", text, re.MULTILINE | re.DOTALL).groups()
    return re.split(rf"^#{{1,{len(level)}}} ", rest, flags=re.MULTILINE)[0]


def table(text: str) -> list[list[str]]:
    """The cells of a table's rows, without its head."""
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.split("\n") if line[:1] == "|"
    ]
    return rows[2:]


class TestNames:
    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_every_path_exists(self, page: Path):
        text = page.read_text()
        shown = {match[1] for match in re.finditer(r"^`([^`\n]+)`:$", text, re.MULTILINE)}  # files of an example
        named = {name for name in re.findall(r"`([\w./-]+(?:::[\w.]+)?)`", text) if name.startswith(TOP)}
        links = {link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link}
        assert [name for name in named - shown if not exists(name)] == []
        assert [link for link in links if not (page.parent / link).exists()] == []

    def test_every_module_is_in_a_wing_of_the_page(self):
        wings = [row[0].strip("`") for row in table(section("architecture.md", "Wings"))]
        assert [Path(wing).stem for wing in wings] == WINGS
        inside = {path for wing in wings for path in [ROOT / wing, *(ROOT / wing).rglob("*.py")]}
        outside = {path.name for path in {*(ROOT / "llmcli").rglob("*.py")} - inside}
        assert outside == {"__init__.py", "__main__.py"}

    def test_a_question_has_one_file(self):
        rows = table(section("architecture.md", "Where is …?"))
        assert len(rows) == 13
        assert all((ROOT / file.strip("`")).is_file() for _, file in rows)


def exists(name: str) -> bool:
    """Whether there is a file, or what ``file.py::name`` names in it."""
    file, _, inner = name.partition("::")
    if not inner or not (ROOT / file).is_file():
        return not inner and (ROOT / file).exists()
    tree = ast.parse((ROOT / file).read_text())
    return inner in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


EXAMPLES = {"A task": 2, "A model": 2, "A backend": 1, "A format": 3}
"""Sections of adding.md, and how many tests each shows."""


@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example_runs(copied, tmp_path: Path, title: str):
    for name in ("tests", "pyproject.toml"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    shown = re.findall(r"`([\w./-]+)`:\n\n```(\w+)\n(.*?)^```$", section("adding.md", title), re.MULTILINE | re.DOTALL)
    for name, language, text in shown:
        path = tmp_path / name
        path.write_text(changed(path.read_text(), text) if language == "diff" else text)
    own = [name for name, _, _ in shown if name.startswith("tests/")]
    done = copied("pytest", "-n0", "-p", "no:cacheprovider", *own)
    assert f"{EXAMPLES[title]} passed" in done.stdout, done.stdout + done.stderr


def changed(text: str, diff: str) -> str:
    """A file's text after the changes of a diff, whose parts stand between lines of ``@@``."""
    for part in diff.split("@@\n"):
        lines = part.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] != "+")
        after = "".join(line[1:] for line in lines if line[0] != "-")
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


def test_the_tables_of_results_are_as_the_fields_are_declared():
    page = formats.TARGET.read_text("utf-8")
    assert formats.text(page) == page, "run python -m tests.support.formats"


def test_exit_codes_are_those_of_the_page():
    rows = table((ROOT / "docs" / "exit-codes.md").read_text().partition("## The line")[0])
    page = {name: int(code) for code, names, _ in rows for name in re.findall(r"`(\w+)`", names)}
    assert page == {name: kind.exit_code for name, kind in vars(errors).items() if hasattr(kind, "exit_code")}


def test_error_codes_of_the_page_are_in_the_program():
    source = "".join(path.read_text() for path in (ROOT / "llmcli").rglob("*.py"))
    rows = table(section("exit-codes.md", "The line on stderr"))
    codes = [code for row in rows for code in re.findall(r"`([\w-]+)`", row[0])]
    assert len(codes) > 20
    assert [code for code in codes if f'"{code}"' not in source] == []


def test_readme_has_the_same_exit_codes():
    readme = (ROOT / "README.md").read_text()
    shown = re.findall(r"^\| (\d+) \| ", readme, re.MULTILINE)
    assert shown == re.findall(r"^\| (\d+) \| (?:`|\|)", (ROOT / "docs" / "exit-codes.md").read_text(), re.MULTILINE)


def test_the_page_of_commands_is_what_the_program_prints(cli):
    """``llmcli --skill > docs/commands.md`` makes it anew."""
    done = cli("--skill")
    assert (done.code, done.out) == (0, (ROOT / "docs" / "commands.md").read_text())


def test_the_newest_release_is_this_version():
    released = re.findall(r"^## \[(\d\S*)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0] == llmcli.__version__


def test_the_picture_of_quality_is_that_of_its_table():
    """``python -m tests.support.quality_picture`` makes it anew."""
    assert quality_picture.PICTURE.read_text("utf-8") == quality_picture.drawn()
