"""The Typer app: finds the tasks, and turns a command line into a task's request."""

from __future__ import annotations

import inspect
import re
from functools import cache, partial
from importlib import import_module
from typing import Annotated, Any

import typer

from llmcli import __version__, tasks
from llmcli.cli.flatten import flatten
from llmcli.cli.quick_help import Group
from llmcli.errors import UsageError, nearest
from llmcli.run.request import Request, groups, request

_NO_CHOICE_BEGINS = "Value error, "
_NO_CHOICE = re.compile(rf"{_NO_CHOICE_BEGINS}'(.*)' is not one of ('.*')", re.DOTALL)
"""What Typer says of a value that is none of an option's choices."""


def parse(arguments: list[str]) -> Request | int:
    """The request of a task; any other command is run here, and gives its exit code.

    Raises UsageError, KeyboardInterrupt, and what the command raises; SystemExit(1) where a pipe closed on help.
    """
    if arguments[:1] == ["help"]:  # as git has it
        arguments = [*arguments[1:], "--help"]
    try:
        found = application(*arguments[:1])(arguments, prog_name="llmcli", standalone_mode=False)
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    except typer.TyperException as error:
        raise _usage(error, arguments) from error
    return found if isinstance(found, Request | int) else 0


def _usage(error: Any, arguments: list[str]) -> UsageError:
    context = getattr(error, "ctx", None)
    hint = f"see {context.command_path} --help" if context else ""
    said = error.format_message() if hasattr(error, "format_message") else str(error)
    if possible := getattr(error, "possibilities", None):
        said, hint = error.message, nearest(error.option_name, possible)
    elif choice := _NO_CHOICE.search(said):
        said = said.replace(_NO_CHOICE_BEGINS, "")
        hint = nearest(choice[1], choice[2].replace("'", "").split(", ")) or hint
    if "extra argument" in said and not {"-i", "--input"}.isdisjoint(arguments):
        hint = "each file has its own -i"  # the shell made several arguments of -i *.txt
    return UsageError(said.rstrip(".") or "no command given", hint=hint)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"llmcli {__version__}")
        raise typer.Exit


def _skill(show: bool) -> None:
    if show:
        from llmcli.cli import reference

        typer.echo(reference.page(application("--")), nl=False)
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    skill: Annotated[
        bool,
        typer.Option("--skill", callback=_skill, is_eager=True, help="Print a page of all commands, for programs."),
    ] = False,
) -> None:
    """Language models on text: a Unix filter over Hugging Face checkpoints."""


def _listed() -> None:
    """A task in the list of commands: its options are not asked for."""


GROUPS = {
    "train": """Train a model on labelled rows.

    Example: llmcli train classify tickets.csv --label-field team -o my-model
    Example: llmcli train translate pairs.jsonl -o my-model --to de --from en
    """,
    "evaluate": """Score a model on labelled rows.

    Example: llmcli evaluate sentiment gold.csv -m ./my-model
    Example: llmcli evaluate classify gold.jsonl --results scored.jsonl --json
    """,
    "compare": """Compare models on labelled rows.

    Example: llmcli compare sentiment gold.csv -m gemma-3-270m -m ./my-model
    Example: llmcli compare answer gold.jsonl --results before.jsonl --results after.jsonl
    """,
    "audit": """Change names or words of your rows: which labels change?

    Example: llmcli audit sentiment -i reviews.jsonl --swap names
    Example: llmcli audit generate -i texts.txt --swap gender
    """,
    "inspect": """Look inside a model: tokens, probabilities, attention, layers, embeddings.

    Example: llmcli inspect tokens "Unbelievable!"
    Example: llmcli inspect scores "The capital of France is Paris."
    """,
    "models": """List, fetch, check and name models.

    Example: llmcli models list
    Example: llmcli models pull opus-mt-en-fr
    """,
    "config": """Show the configuration.

    Example: llmcli config show sentiment
    Example: llmcli config path
    """,
    "worker": """Keep models loaded between commands.

    Example: llmcli worker start --keep-alive 3600
    Example: llmcli worker status
    """,
}
"""Commands with commands of their own, in modules of their names, and their help."""

COMMANDS = {
    "merge": "Make one file of what shards have answered.",
    "schema": "Print the JSON Schema of a task's results.",
}
"""Commands without others, in modules of their names: ``HELP``, ``Options``, ``command``; and their help in short."""


@cache
def application(first: str = "") -> typer.Typer:
    """The commands of the command line; where its ``first`` word is a task, that task alone, which is quicker."""
    names = tasks.names()
    alone = [name for name in names if name == first]
    app = typer.Typer(
        name="llmcli",
        cls=Group,
        # Of a group's command the root has no values to read: Typer would import pydantic for its help.
        add_completion=first not in GROUPS,
        help="Language models on text: a Unix filter over Hugging Face checkpoints.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog='Example: cat article.txt | llmcli summarize  ·  llmcli sentiment "I loved it"',
    )
    app.callback()(_root)
    complete = bool(alone) or first == "--"
    for name in alone or names:
        task = tasks.get(name)
        shown = flatten(partial(request, task), groups(task)) if complete else _listed
        app.command(name, help=inspect.cleandoc(task.help))(shown)
    for name, text in GROUPS.items() if not alone else ():
        group = import_module(f"llmcli.cli.{name}").app if complete or name == first else typer.Typer()
        app.add_typer(group, name=name, cls=Group, help=inspect.cleandoc(text), no_args_is_help=True)
    for name, text in COMMANDS.items() if not alone else ():
        _add(app, name, text, complete=complete or name == first)
    return app


def _add(app: typer.Typer, name: str, text: str, *, complete: bool) -> None:
    """A command without others; ``text`` is its help where it is only listed."""
    if not complete:
        app.command(name, help=text)(_listed)
        return
    module = import_module(f"llmcli.cli.{name}")
    app.command(name, help=inspect.cleandoc(module.HELP))(flatten(module.command, [module.Options]))
