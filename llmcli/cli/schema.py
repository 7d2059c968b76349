"""``llmcli schema``: the JSON Schema of a task's results."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from llmcli import __version__, tasks
from llmcli.config import offered
from llmcli.reports import put
from llmcli.run import fields
from llmcli.run.task import Task

if TYPE_CHECKING:
    from typer import Argument

DIALECT = "https://json-schema.org/draft/2020-12/schema"
HELP = """Print the JSON Schema of a row that a task prints with --json: of an answer, and of an error.

    A program can check rows by it, or make types of it. Within a major version fields are added, none is taken away:
    so other fields than those of the schema are allowed, as those that --merge brings are.

    Example: llmcli schema classify > classify.schema.json

    Example: llmcli schema sentiment | jq '.anyOf[0].properties | keys'
    """


@dataclass(frozen=True)
class Options:
    """Whose results."""

    task: Annotated[str, Argument(help="A task.", show_default=False, autocompletion=offered.tasks)]


def command(values: dict[str, Any]) -> int:
    """Print a task's schema, and give the exit code. Raises UsageError."""
    put(json.dumps(schema(tasks.named(values["task"])), indent=2, ensure_ascii=False))
    return 0


def schema(task: Task[Any]) -> dict[str, Any]:
    """The JSON Schema, draft 2020-12, of a row of a task's results."""
    ok = [fields.obj([*fields.FIRST, *own, *fields.LAST]) for own in (task.fields, *task.instead.values())]
    return {
        "$schema": DIALECT,
        "title": f"A row of llmcli {task.name}",
        "$comment": f"llmcli {__version__}",
        "anyOf": [*ok, fields.obj(fields.ERROR)],
    }
