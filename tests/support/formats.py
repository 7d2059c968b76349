"""Writes the tables of docs/formats.md from the declared fields of results: ``python -m tests.support.formats``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from llmcli import tasks
from llmcli.run import fields
from llmcli.run.fields import Field
from tests.support import ROOT

TARGET = ROOT / "docs" / "formats.md"
HEAD = ["| field | type | meaning |", "|---|---|---|"]


def tables() -> dict[str, Sequence[Field]]:
    """The fields of each table, by the heading that it stands under."""
    found: dict[str, Sequence[Field]] = {"Every result": [*fields.FIRST, *fields.LAST], "An error": fields.ERROR}
    for name in tasks.names():
        task = tasks.get(name)
        found[name] = task.fields
        found |= {f"{name} --{option}": those for option, those in task.instead.items()}
    return found


def text(page: str) -> str:
    """The page with each of its tables made anew. Raises ValueError where one is not there, or one is of nothing."""
    first, *sections = re.split(r"^(?=#+ )", page, flags=re.MULTILINE)
    declared, written = tables(), [first]
    for section in sections:
        heading = section.partition("\n")[0].lstrip("# ")
        if ("\n| field |" in section) != (heading in declared):
            raise ValueError(f"{heading}: a table in the page or a declaration is missing")
        if heading in declared:
            table = "\n".join([*HEAD, *_rows(declared.pop(heading))]) + "\n"
            section = re.sub(r"^\| field \|.*\n(\|.*\n)*", lambda _, table=table: table, section, flags=re.MULTILINE)
        written.append(section)
    if declared:
        raise ValueError(f"the page has no heading {', '.join(declared)}")
    return "".join(written)


def _rows(declared: Sequence[Field], within: str = "") -> Iterator[str]:
    for field in declared:
        yield f"| `{within}{field.name}` | {field.type} | {field.text} |"
        yield from _rows(field.parts, f"{within}{field.name}{'[]' if field.type.startswith('array') else ''}.")


if __name__ == "__main__":
    TARGET.write_text(text(TARGET.read_text("utf-8")), encoding="utf-8")
