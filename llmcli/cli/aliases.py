"""``llmcli models alias`` and ``default``: names and default models of one's own."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from llmcli import tasks
from llmcli.config import offered, places
from llmcli.errors import UsageError
from llmcli.reports import put

NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
"""What a model or an alias can be called."""


def alias(
    short: Annotated[str | None, typer.Argument(help="The new name; missing: list all.", show_default=False,
                                                autocompletion=offered.aliases)] = None,
    name: Annotated[
        str | None,
        typer.Argument(help="A model's name, Hub id or path; missing: print it.", show_default=False,
                       autocompletion=offered.models),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Forget the name.")] = False,
) -> None:  # fmt: skip
    """Give a model a shorter name; or list, print and remove such names.

    Example: llmcli models alias fr Helsinki-NLP/opus-mt-en-fr
    Example: llmcli models alias fr --remove
    """
    from llmcli.cli import table
    from llmcli.config import chosen

    aliases = chosen.load().aliases
    if short is None:
        _refuse_nothing(remove)
        table.show(("alias", "model"), sorted(aliases.items()))
    elif name is not None:
        if remove:
            raise UsageError("give a model or --remove, not both")
        if not NAME.fullmatch(short) or short in places.names("models"):
            raise UsageError(
                f"{short!r} cannot be an alias", hint="take letters, digits and -_. that name no model yet"
            )
        chosen.save(aliases=aliases | {short: _existing(name)})
    elif short not in aliases:
        raise UsageError(f"no alias {short}", hint=f"aliases: {', '.join(sorted(aliases)) or 'none'}")
    elif remove:
        chosen.save(aliases={key: value for key, value in aliases.items() if key != short})
    else:
        put(aliases[short])


def default(
    task: Annotated[str | None, typer.Argument(help="A task; missing: list all.", show_default=False,
                                               autocompletion=offered.tasks)] = None,
    name: Annotated[
        str | None,
        typer.Argument(help="A model; missing: print the one that is chosen.", show_default=False,
                       autocompletion=offered.models),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Go back to the task's own default.")] = False,
) -> None:  # fmt: skip
    """Set, print or remove the default model of a task; config.yaml and --model win over it.

    Example: llmcli models default sentiment distilbert-sst2
    Example: llmcli models default sentiment --remove
    """
    from llmcli.cli import table
    from llmcli.config import chosen
    from llmcli.run import resolve

    if task is None:
        _refuse_nothing(remove)
        table.show(("task", "model"), [(each, resolve.chosen_model(tasks.get(each))) for each in tasks.names()])
        return
    declared = tasks.named(task)
    defaults = chosen.load().defaults
    if name is not None:
        if remove:
            raise UsageError("give a model or --remove, not both")
        chosen.save(defaults=defaults | {task: _existing(name)})
    elif remove:
        chosen.save(defaults={key: value for key, value in defaults.items() if key != task})
    else:
        put(resolve.chosen_model(declared))


def _refuse_nothing(remove: bool) -> None:
    if remove:
        raise UsageError("--remove of what?", hint="name it")


def _existing(name: str) -> str:
    """What an alias or a default holds: a name that means a model, wherever it is used. Raises ModelError."""
    from llmcli.config import chosen
    from llmcli.models import names

    name = chosen.load().aliases.get(name, name)
    model = names.find(name)
    path = model.trained or model.source.path
    return name if names.named(name) or path is None else str(path)
