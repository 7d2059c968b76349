"""``llmcli config``: the resolved settings and where each comes from."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmcli import tasks
from llmcli.config import offered, places
from llmcli.config.options import COMMAND_LINE, SHORT_FORMATS
from llmcli.errors import LlmcliError, one_line
from llmcli.reports import put

if TYPE_CHECKING:
    from llmcli.config.run_config import AnyConfig

app = typer.Typer()
DEFAULT = "default"
"""The origin of what nobody set."""


@app.command()
def show(
    task: Annotated[
        str | None, typer.Argument(help="A task; all if missing.", show_default=False, autocompletion=offered.tasks)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a task.")] = False,
) -> None:
    """Print the settings that a task would run with, and where each comes from.

    Example: llmcli config show sentiment
    Example: llmcli config show translate --json | jq .settings
    """
    from llmcli.run import resolve

    for name in [tasks.named(task).name] if task is not None else tasks.names():
        declared, unknown = tasks.get(name), ""
        try:
            run = resolve.merged(declared, {})
        except LlmcliError as error:  # of the model; one of the settings comes again
            run = resolve.merged(declared, {}, describe=False)
            unknown = error.message
        values = _flat(run)
        if as_json:
            rows = {key: {"value": value, "origin": run.origins.get(key, DEFAULT)} for key, value in values.items()}
            put(json.dumps({"task": name, "described": not unknown, "settings": rows}, ensure_ascii=False, default=str))
            continue
        put(name)
        for origin in dict.fromkeys([*(run.origins[key] for key in values if key in run.origins), DEFAULT]):
            put(f"  {origin}:")
            for key, value in values.items():
                if run.origins.get(key, DEFAULT) == origin:
                    put(f"    {key} = {_short(value)}")
        if unknown:
            put(f"  # without the model's own settings: {one_line(unknown)}")


@app.command()
def path() -> None:
    """Print the places that llmcli reads and writes.

    Example: llmcli config path
    Example: $EDITOR "$(llmcli config path | grep ^user | cut -f2)"
    """
    user = places.user()
    rows = {"shipped": places.shipped(), "user": user / "config.yaml", "models": user / "models",
            "tasks": user / "tasks", "cache": places.cache()}  # fmt: skip
    for name, place in rows.items():
        put(f"{name}\t{place}\t{'' if place.exists() else '(not there)'}".rstrip())


def _flat(run: AnyConfig) -> dict[str, Any]:
    """The settings by name, ``generation.seed`` for those in groups; not what only a command line can say."""
    flat: dict[str, Any] = {}
    for key, value in run.settings.model_dump(exclude={"options"}).items():
        flat |= (
            {f"{key}.{inner}": item for inner, item in (value or {}).items()} if key == "generation" else {key: value}
        )
    options = {item.name: getattr(group, item.name)
               for group in (run.options, run.source, run.output) for item in fields(group)}  # fmt: skip
    named = (name for name in options if name not in (*COMMAND_LINE, *SHORT_FORMATS))
    return flat | {f"options.{name}": options[name] for name in named}


def _short(value: Any) -> str:
    written = json.dumps(value, ensure_ascii=False, default=str)
    return written if len(written) <= 100 else written[:97] + "…"
