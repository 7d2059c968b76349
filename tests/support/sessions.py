"""Shell sessions of a page: commands and what they print. ``python -m tests.support.sessions PAGE…`` writes them anew.

A session is a block of ``console``: each line behind ``$`` is a command, which goes on behind ``>``, and what follows
is its output, standard error too. It runs in a fresh copy of ``docs/samples``, the commands of a block in turn.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import ROOT

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
SAMPLES = ROOT / "docs" / "samples"
REPRODUCIBLE = "tasks:\n" + "".join(
    f"  {task}: {{dtype: float32}}\n" for task in ("answer", "classify", "sentiment", "translate")
)
"""The configuration: with default settings a score's second digit, and the choice among near translations, are the
processor's."""
FIRST = ("sentiment good", "generate good", "generate --dtype float32 good", "embed good",
         "generate -m smollm2-135m-instruct good")  # fmt: skip
"""Calls that bring the models, whose first use says so; and the 32-bit weights that a run in 8 bits lets go of."""


@dataclass(frozen=True)
class Step:
    """A command of bash, and what it prints."""

    command: str
    output: str

    def __str__(self) -> str:
        first, *more = self.command.split("\n")
        return "".join([f"$ {first}\n", *(f"> {line}\n" for line in more), self.output])


@dataclass(frozen=True)
class Session:
    """A block of a page: the heading above it, and its commands."""

    title: str
    steps: tuple[Step, ...]


def sessions(page: Path) -> list[Session]:
    """All sessions of a page, in order."""
    text = page.read_text()
    return [Session(HEADING.findall(text[: match.start()])[-1], _steps(match[1])) for match in BLOCK.finditer(text)]


def _steps(block: str) -> tuple[Step, ...]:
    steps: list[tuple[list[str], list[str]]] = []
    for line in block.splitlines(keepends=True):
        if line.startswith("$ "):
            steps.append(([line[2:]], []))
        elif line.startswith("> ") and not steps[-1][1]:
            steps[-1][0].append(line[2:])
        else:
            steps[-1][1].append(line)
    return tuple(Step("".join(command).rstrip("\n"), "".join(output)) for command, output in steps)


def run(session: Session, folder: Path, environment: Mapping[str, str]) -> list[Step]:
    """The session's commands with what they print now, in a folder that is not there yet."""
    shutil.copytree(SAMPLES, folder)
    return [Step(step.command, output(step.command, folder, environment)) for step in session.steps]


def output(command: str, folder: Path, environment: Mapping[str, str]) -> str:
    """What a command prints in a folder."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=300, check=False,
    )  # fmt: skip
    said = "\n".join(line.rstrip() for line in done.stdout.decode().split("\n")).strip("\n")
    return f"{said}\n" if said else ""


@contextmanager
def shell(cache: Path) -> Iterator[dict[str, str]]:
    """The environment of a user's shell: llmcli on the path, its models in ``cache``, a warm worker of its own."""
    with tempfile.TemporaryDirectory(prefix="llmcli-") as name:
        home = Path(name)
        (home / "bin").mkdir()
        for program, module in (("llmcli", "-m llmcli"), ("python3", "")):
            script = home / "bin" / program
            script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
            script.chmod(0o755)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("LLMCLI", "PYTEST", "COV"))}
        environment = kept | {
            "HOME": name, "XDG_RUNTIME_DIR": name, "LLMCLI_CACHE_DIR": str(cache), "LLMCLI_WORKER": "on",
            "LLMCLI_CONFIG_DIR": f"{name}/config", "PYTHONPATH": str(ROOT), "COLUMNS": "100", "TERMINAL_WIDTH": "100",
            "NO_COLOR": "1",
            "PATH": f"{home}/bin:{os.environ['PATH']}", "LC_ALL": "C.UTF-8",
        }  # fmt: skip
        (home / "config").mkdir()
        (home / "config" / "config.yaml").write_text(REPRODUCIBLE)
        for call in FIRST:
            output(f"llmcli {call}", home, environment)
        try:
            yield environment
        finally:
            subprocess.run([f"{home}/bin/llmcli", "worker", "stop"], env=environment, capture_output=True, check=False)


def rewrite(page: Path, environment: Mapping[str, str]) -> None:
    """Write what each command of a page prints now."""

    def anew(match: re.Match[str]) -> str:
        with tempfile.TemporaryDirectory() as folder:
            steps = run(Session("", _steps(match[1])), Path(folder) / "work", environment)
        return f"```console\n{''.join(map(str, steps))}```"

    page.write_text(BLOCK.sub(anew, page.read_text()))


if __name__ == "__main__":
    with shell(Path(os.environ["LLMCLI_CACHE_DIR"])) as variables:
        for argument in sys.argv[1:]:
            rewrite(Path(argument), variables)
