"""The page of all commands, made of their own declarations: ``llmcli --skill`` prints it, docs/commands.md is it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from llmcli import tasks

HEAD = """\
# Commands

What each command takes and gives, for people who write scripts and for programs that write commands. `llmcli --skill`
prints this page; it is made of what `--help` is made of.

- **In**: TEXT, standard input, or `-i PATH` (repeatable). The ending of a file tells its format; of what is piped,
  `--lines`, `--jsonl`, `--csv` or `--format` do.
- **Out**: the answer alone on standard output. `--json` gives one JSON object a row, in the order of the rows:
  `{"id": …, "status": "ok", …}`, or `{"id": …, "status": "error", "error": {"code": …, "message": …}}`.
  `llmcli schema TASK` prints the JSON Schema of these.
- **Wrong**: one line on standard error, `llmcli: WHERE: error[CODE]: REASON; NEXT STEP`, and an exit code: 0 all is
  well; 1 a bug, or the answer no (`--grep`, `dedupe --check`, `compare --margin`); 2 the command line or the
  configuration; 3 input; 4 the model; 5 some rows failed; 6 scores not finite, or the text too long; 7 the worker or a
  server; 8 out of memory; 10 output.
- Large batches: `-i rows.jsonl -o out.jsonl`; after a crash the same with `--resume`, of failed rows `--retry-failed`.
- Nothing asks a question; nothing is fetched with `--offline`.
"""
_EXAMPLE = re.compile(r"^Examples?: ", re.MULTILINE)


def page(app: Any) -> str:
    """The page of a Typer app, in Markdown."""
    from typer.main import get_command

    commands: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    shared = _shared([commands[name] for name in tasks.names()])
    parts = [HEAD, "## Every task\n", *_listed(shared.values())]
    for name, command in commands.items():
        parts += _command(f"llmcli {name}", command, without=shared)
        parts += _inner(f"llmcli {name}", command, commands, shared)
    return "\n".join(parts) + "\n"


def _shared(commands: Sequence[Any]) -> dict[str, Any]:
    """The options that all of these commands take, by name, with the same help."""
    first, *others = ({_called(option): option for option in _options(command)} for command in commands)
    return {name: option for name, option in first.items()
            if all(name in other and other[name].help == option.help for other in others)}  # fmt: skip


def _command(
    path: str, command: Any, *, without: Mapping[str, Any], said: Collection[str] = frozenset()
) -> Iterator[str]:
    """The section of a command; options ``without``, and paragraphs ``said``, were told before."""
    yield f"\n## {path}\n"
    (first, *more), examples = _help(command.help or "")
    yield "\n\n".join([first, *(part for part in more if part not in said)])
    if examples:
        yield "\n```sh"
        yield from examples
        yield "```"
    if arguments := [_value(one) for one in command.params if one.param_type_name == "argument"]:
        yield f"\nArguments: {' '.join(f'`{one}`' for one in arguments)}."
    if options := [option for option in _options(command) if not _told(option, without)]:
        yield ""
        yield from _listed(options)


def _inner(path: str, group: Any, commands: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[str]:
    """The sections of a group's commands. Those that are called as a task take options of it."""
    inner = getattr(group, "commands", {})
    shared = _shared([*inner.values()]) if len(inner) > 1 else {}
    if shared:
        yield f"\nEach of its {len(inner)} commands takes:\n"
        yield from _listed(option for option in shared.values() if not _told(option, told))
    said: set[str] = set()
    for name, command in inner.items():
        task = {_called(option): option for option in _options(commands[name])} if name in commands else {}
        yield from _command(f"{path} {name}", command, without={**task, **told, **shared}, said=said)
        said.update(_help(command.help or "")[0])
        named = [_called(option) for option in _options(command)
                 if _told(option, task) and not _told(option, {**told, **shared})]  # fmt: skip
        if named:
            yield f"\nOf `llmcli {name}`: {', '.join(f'`{one}`' for one in named)}."


def _told(option: Any, before: Mapping[str, Any]) -> bool:
    other = before.get(_called(option))
    return other is not None and other.help == option.help


def _help(text: str) -> tuple[list[str], list[str]]:
    """The paragraphs of a help text, and its examples."""
    said, *examples = _EXAMPLE.split(text)
    return [" ".join(part.split()) for part in said.strip().split("\n\n")], [one.strip() for one in examples]


def _options(command: Any) -> list[Any]:
    return [one for one in command.params if one.param_type_name == "option" and not one.hidden and one.name != "help"]


def _called(option: Any) -> str:
    return str(option.opts[0])


def _listed(options: Iterable[Any]) -> Iterator[str]:
    """A line an option, the frequent ones of each panel as they stand in the help."""
    for option in options:
        names = [*option.opts, *option.secondary_opts]
        value = "" if option.is_flag else f" {_value(option)}"
        more = " Repeatable." if option.multiple and "repeatable" not in (option.help or "").lower() else ""
        yield f"- `{', '.join(names)}{value}`: {' '.join((option.help or '').split())}{more}"


def _value(parameter: Any) -> str:
    """The choices of an option, or what its value is called."""
    choices = [choice for kind in (parameter.type_descriptor.annotation,) if get_origin(kind) is Literal
               for choice in get_args(kind)]  # fmt: skip
    return "|".join(choices) or str(parameter.metavar or parameter.name.rstrip("_")).upper().replace("-", "_")
