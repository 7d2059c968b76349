"""Completion in bash, zsh and fish: answers the scripts that ``--install-completion`` writes.

In place of Typer's own, which makes a value of each word by pydantic, and breaks descriptions into lines.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmcli.reports import put

VARIABLE = "_LLMCLI_COMPLETE"
"""``complete_SHELL``: a script asks what completes a line, which other variables hold."""
WIDEST = 100
"""Characters of a description."""


@dataclass(frozen=True)
class Item:
    """What completes a word, and what it means."""

    value: str
    help: str = ""


@dataclass
class Line:
    """What a command line says so far. ``waiting``: the option whose value comes next."""

    command: Any
    name: str = ""
    values: dict[str, str] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    arguments: int = 0
    waiting: Any = None


def run(environment: Mapping[str, str]) -> int:
    """Print what completes the line, as its shell reads it, and give the exit code: 1 asks fish for names of files."""
    shell = environment[VARIABLE].removeprefix("complete_")
    found = list(items(*_typed(shell, environment)))
    if environment.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args":
        return 0 if found else 1
    if shell == "zsh":
        put(_zsh(found))
    else:
        for item in found:
            put(f"{item.value}\t{item.help}".rstrip() if shell == "fish" else _escaped(item.value))
    return 0


def items(words: Sequence[str], incomplete: str) -> Iterator[Item]:
    """What completes a word that begins so, behind the words of a line without the program's name."""
    line = _read(words)
    if line is None:
        return
    name, equals, value = incomplete.partition("=")
    if incomplete.startswith("--") and equals and (option := _options(line.command).get(name)):
        yield from (Item(f"{name}={item.value}", item.help) for item in _values(option, line, value))
    elif line.waiting is not None:
        yield from _values(line.waiting, line, incomplete)
    elif incomplete.startswith("-"):
        yield from (Item(name, _short(option.help)) for name, option in _options(line.command).items()
                    if name.startswith(incomplete) and (option.multiple or option.name not in line.given))  # fmt: skip
    elif hasattr(line.command, "commands"):
        yield from (Item(name, _short(one.get_short_help_str(limit=WIDEST)))
                    for name, one in line.command.commands.items() if name.startswith(incomplete))  # fmt: skip
    else:
        arguments = [one for one in line.command.params if one.param_type_name == "argument"]
        for argument in arguments[line.arguments : line.arguments + 1]:
            yield from _values(argument, line, incomplete)


def _typed(shell: str, environment: Mapping[str, str]) -> tuple[list[str], str]:
    """The words of the line behind the program's name, and the one that is to be completed."""
    if shell == "bash":
        words, place = _split(environment.get("COMP_WORDS", "")), int(environment.get("COMP_CWORD") or 1)
        before, incomplete = words[1:place], words[place] if place < len(words) else ""
        # Readline makes three words of --to=fr.
        return [word for word in before if word != "="], "" if incomplete == "=" else incomplete
    line = environment.get("_TYPER_COMPLETE_ARGS", "")
    words = _split(line)[1:]
    if line.endswith((" ", "\t")) or not words:
        return words, ""
    return words[:-1], words[-1]


def _split(line: str) -> list[str]:
    """The words of a line, the last of which may have an open quote."""
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words = list[str]()
    try:
        words.extend(iter(lexer.get_token, None))
    except ValueError:
        words.append(lexer.token)
    return words


def _read(words: Sequence[str]) -> Line | None:
    """What the words say; None where they name no command."""
    from typer.main import get_command

    from llmcli.cli.app import application

    line = Line(get_command(application(next((word for word in words if word[:1] != "-"), ""))))
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if option := _options(line.command).get(name if word.startswith("--") else word):
            line.given.add(option.name)
            if not option.is_flag:
                value = value if equals else next(rest, "")
                line.values[option.name] = value
                line.waiting = None if value else option
        elif hasattr(line.command, "commands"):
            if word not in line.command.commands:
                return None
            line.command, line.name = line.command.commands[word], word
        elif word == "-" or word[:1] != "-":
            line.arguments += 1
    return line


def _options(command: Any) -> dict[str, Any]:
    """The options of a command, by each of their names."""
    found = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
    return {name: option for option in found for name in (*option.opts, *option.secondary_opts)}


def _values(parameter: Any, line: Line, incomplete: str) -> Iterator[Item]:
    """What completes a value; nothing where it is a file's name, or anything."""
    from typer import Context

    context = Context(line.command, info_name=line.name, resilient_parsing=True)
    context.params.update(line.values)
    for item in parameter.shell_complete(context, incomplete):
        value, meaning = item if isinstance(item, tuple) else (item.value, item.help)
        yield Item(value, _short(meaning))


def _short(text: str | None) -> str:
    """The first sentence of a help text, on one line."""
    whole = " ".join((text or "").split())
    first = re.split(r"(?<=[.;]) ", whole)[0].rstrip(";")
    return first if len(first) <= WIDEST else first[: WIDEST - 1].rsplit(" ", 1)[0] + "…"


def _escaped(value: str) -> str:
    """A word for bash."""
    return re.sub(r"([^\w./@%+=:,#~-])", r"\\\1", value)


def _zsh(found: Sequence[Item]) -> str:
    """A line that zsh evaluates, whose blanks it may have made one; without items the names of files."""
    if not found:
        return "_files"
    texts = [item.value.replace("\\", "\\\\").replace(":", "\\:") + (f":{item.help}" if item.help else "")
             for item in found]  # fmt: skip
    return f"local -a offered; offered=({' '.join(map(shlex.quote, texts))}); _describe '' offered"
