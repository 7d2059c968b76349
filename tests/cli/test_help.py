"""Help pages of all commands at 80 columns, and what is said where a name is wrong."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from llmcli.cli.app import application
from llmcli.cli.quick_help import laid_out


def commands(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, inner in getattr(command, "commands", {}).items():
        yield (*path, name), inner
        yield from commands((*path, name), inner)


COMMANDS = {" ".join(path): command for path, command in commands((), get_command(application("--")))}
SEGMENT = re.compile(r"llmcli [^|<>&;)]*")
"""A call of llmcli in a line of shell."""


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_at_80_columns(cli, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv("COLUMNS", "80")
    done = cli(*name.split(), "--help")
    _usage, _first, examples, *_ = (part for part in re.split(r"\n\s*\n", done.out) if part.strip())
    assert len(re.findall(r"^ Example: ", examples, re.MULTILINE)) >= 2
    assert all(len(line) <= 80 and "…" not in line for line in done.out.splitlines())
    words = {*re.sub("[│╭╰─╮╯]", " ", done.out).split()}
    shown = [one for one in COMMANDS[name].params if not getattr(one, "hidden", False)]
    assert {word for one in shown for word in (one.help or "").split()} <= words
    choices = {choice for one in shown for choice in one.type_descriptor.choices or ()}
    assert choices <= {*re.sub("[│<>|]", " ", done.out).split()}
    assert {option for one in shown for option in one.opts if option.startswith("--")} <= words


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_of_the_command_and_have_its_options(name: str):
    calls = [shlex.split(call)[1:] for line in COMMANDS[name].help.splitlines() if line.strip().startswith("Example: ")
             for call in SEGMENT.findall(quoted(line))]  # fmt: skip
    assert sum(" ".join(words).startswith(name) for words in calls) >= 2
    for words in calls:
        called = max((one for one in COMMANDS if " ".join(words).startswith(one)), key=len)
        known = {option for one in COMMANDS[called].params for option in (*one.opts, *one.secondary_opts)}
        assert {word for word in words if re.fullmatch("--?[a-z][a-z-]*", word)} <= known, words


def quoted(line: str) -> str:
    """A line whose quoted texts mean nothing to SEGMENT."""
    return re.sub(r"'[^']*'", "X", line).replace('"$(', "").replace(')"', "")


def test_paragraphs_and_examples_are_laid_out():
    text = "What it\ndoes.\n\nMore\nof it.\n\nExample: a\n\nExample: b\nExample: c"
    assert laid_out(text) == "What it does.\n\nExample: a\nExample: b\nExample: c\n\nMore of it."
    assert laid_out(laid_out(text)) == laid_out(text)


NEAREST = {
    "command": (["sumarize"], "Did you mean 'summarize'?"),
    "a group's command": (["models", "shw"], "Did you mean 'show'?"),
    "task of train": (["train", "clasify"], "Did you mean 'classify'?"),
    "task of schema": (["schema", "sentimnt"], "did you mean sentiment?"),
    "task of config show": (["config", "show", "sentimnt"], "did you mean sentiment?"),
    "task of models default": (["models", "default", "sentimnt"], "did you mean sentiment?"),
    "no task at all": (["schema", "x"], "tasks: answer, classify,"),
    "option": (["summarize", "--sentnces", "2"], "No such option: --sentnces; did you mean --sentences?"),
    "a group's option": (["inspect", "tokens", "--pda"], "did you mean --pad?"),
    "merge's option": (["merge", "out", "--partal"], "did you mean --partial?"),
    "choice": (["sentiment", "--dtype", "float3", "x"], "'float3' is not one of 'auto', 'float32', 'bfloat16', "
               "'float16'; did you mean float32?"),
    "choice that is like none": (["sentiment", "--dtype", "zz", "x"], "see llmcli sentiment --help"),
    "device": (["sentiment", "--device", "cpuu", "x"], "must be auto, cpu, cuda, cuda:N or mps"),
    "model": (["sentiment", "-m", "gema-3-270m", "x"], "did you mean gemma-3-270m?"),
    "a model's beginning": (["sentiment", "-m", "Qwen2.5", "x"], "did you mean qwen2.5-coder-0.5b-instruct?"),
    "a model to look into": (["inspect", "tokens", "-m", "gtp2", "x"], "did you mean gpt2?"),
    "language": (["translate", "-t", "Germn", "x"], "did you mean German?"),
    "label": (["sentiment", "--grep", "positiv", "x"], "did you mean positive?"),
    "list of words": (["audit", "sentiment", "-i", "x", "--swap", "nmes"], "did you mean names?"),
    "missing argument": (["merge"], "Missing argument 'folder'; see llmcli merge --help"),
}  # fmt: skip


@pytest.mark.parametrize("name", NEAREST)
def test_the_nearest_right_name_is_said(cli, fake, name: str):
    arguments, said = NEAREST[name]
    done = cli(*arguments)
    assert said in done.err
    assert (done.out, done.err.count("\n")) == ("", 1)


@pytest.mark.parametrize("words", [[], ["translate"], ["train", "classify"]])
def test_help_is_a_command_too(cli, words: list[str]):
    assert cli("help", *words).out == cli(*words, "--help").out != ""
