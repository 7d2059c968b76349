"""``llmcli worker``: start, show and stop the process that keeps models loaded."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from llmcli.reports import put

app = typer.Typer()


@app.command()
def start(
    keep_alive: Annotated[
        float | None,
        typer.Option(min=-1, help="Stop after so many idle seconds; 0: after the next request, -1: never.",
                     show_default="300, or config.yaml"),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(min=0.1, help="Gigabytes of memory above which models are dropped, the oldest first.",
                     show_default="half of the machine's, or config.yaml"),
    ] = None,
) -> None:  # fmt: skip
    """Start the worker, if it does not run.

    Example: llmcli worker start --keep-alive 3600
    Example: llmcli worker start --memory 4
    """
    from llmcli.worker import control

    put(control.start(keep_alive=keep_alive, memory=memory))


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """Say what the worker does: its models, memory, idle time, requests.

    Example: llmcli worker status
    Example: llmcli worker status --json | jq .models
    """
    from llmcli.worker import control

    found = control.status()
    put(json.dumps(found) if as_json else _described(found))


@app.command()
def stop() -> None:
    """Stop the worker; what it works on is finished first.

    Example: llmcli worker stop
    Example: llmcli worker stop && llmcli worker start
    """
    from llmcli.worker import control

    put(control.stop())


def _described(found: dict[str, Any]) -> str:
    if not found["running"]:
        return "no worker is running"
    lines = [f"pid {found['pid']}, {found['requests']} requests, idle for {found['idle']:.0f} s, "
             f"memory {found['memory'] / 1e6:,.0f} MB"]  # fmt: skip
    lines += [f"{model['name']}: {model['bytes'] / 1e6:,.0f} MB, idle for {model['idle']:.0f} s"
              for model in found["models"]]  # fmt: skip
    return "\n".join(lines)
