"""The shell completes commands, options and values; nothing heavy is imported for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from llmcli import tasks
from llmcli.cli import completion

CASES = {
    "commands": ("su", ["summarize"]),
    "of the root": ("--sk", ["--skill"]),
    "options": ("translate --num", ["--num-beams"]),
    "an option that was given is not offered again": ("translate --num-beams 2 --num", []),
    "one that may be": ("translate --keep x --kee", ["--keep"]),
    "their opposites": ("sentiment --no-wor", ["--no-worker"]),
    "models": ("generate --model smollm2-13", ["smollm2-135m-instruct"]),
    "by the short option": ("generate -m gpt", ["gpt2"]),
    "of two models": ("compare sentiment -m gpt2 -m gpt", ["gpt2"]),
    "aliases": ("generate -m litt", ["little"]),
    "aliases to be removed": ("models alias litt", ["little"]),
    "languages by code": ("translate --to fr", ["fr"]),
    "languages by name": ("translate --to Ger", ["German"]),
    "behind an equals sign": ("translate --to=Ger", ["--to=German"]),
    "choices": ("sentiment --dtype fl", ["float32", "float16"]),
    "devices": ("sentiment --device c", ["cpu", "cuda"]),
    "a group's commands": ("models pu", ["pull"]),
    "a group's models": ("models show gpt", ["gpt2"]),
    "models to verify": ("models verify gpt", ["gpt2"]),
    "tasks of train": ("train s", ["sentiment", "summarize"]),
    "tasks of evaluate": ("evaluate cl", ["classify"]),
    "tasks of schema": ("schema si", ["similar"]),
    "tasks of config show": ("config show co", ["code"]),
    "tasks of models default": ("models default co", ["code"]),
    "the second argument": ("models default code gpt", ["gpt2"]),
    "labels of the task": ("sentiment --grep p", ["positive"]),
    "labels of the line": ("classify --labels bug,praise --grep b", ["bug"]),
    "labels of a model's folder": ("sentiment -m ./stars --grep star", ["star1", "star2"]),
    "labels of an alias": ("sentiment -m rated --grep star", ["star1", "star2"]),
    "a file": ("sentiment -i re", []),
    "a text": ("sentiment go", []),
    "behind an open quote": ("generate 'I lo", []),
    "behind the arguments": ("schema code x", []),
    "of no command": ("shout -", []),
    "of a model that is none": ("classify -m ./none --grep x", []),
}


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a classifier, and aliases."""
    monkeypatch.chdir(tmp_path)
    Path("stars").mkdir()
    Path("stars/config.json").write_text(json.dumps({"id2label": {"0": "star1", "1": "star2"}}))
    Path("config").mkdir()
    Path("config/chosen.yaml").write_text(f"aliases: {{little: gpt2, rated: {tmp_path / 'stars'}}}\n")


def offered(line: str, capsys: pytest.CaptureFixture[str], **more: str) -> list[str]:
    completion.run({"_LLMCLI_COMPLETE": "complete_fish", "_TYPER_COMPLETE_ARGS": f"llmcli {line}"} | more)
    return [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(("line", "wanted"), CASES.values(), ids=CASES)
def test_completion(chosen, capsys, line: str, wanted: list[str]):
    assert offered(line, capsys) == wanted


@pytest.mark.parametrize("broken", [b"\xff", b"[1", b"aliases: 3", b"- 1"])
def test_a_broken_file_offers_nothing(chosen, capsys, broken: bytes):
    for name in ("config/chosen.yaml", "stars/config.json"):
        Path(name).write_bytes(broken)
    assert offered("generate -m litt", capsys) == []
    assert offered("sentiment -m ./stars --grep neg", capsys) == ["negative"]


def test_the_tasks_that_are_offered_are_all(capsys):
    assert offered("schema ", capsys) == tasks.names()


SHELLS = {
    # what prints, in the shell itself and by the script that llmcli shows, what completes each line of a file
    "bash": """
        eval "$(llmcli --show-completion)"
        complete -p llmcli | grep -q -- '-o default -F _llmcli_completion' || exit 1
        while IFS=' ' read -ra COMP_WORDS; do
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _llmcli_completion llmcli; echo "${COMPREPLY[@]}"
        done < lines
    """,
    "zsh": """
        compdef() { }; _files() { echo }; _describe() { print -r -- "${(@P)2}" }
        eval "$(llmcli --show-completion)"
        while read -r line; do words=(${=line}); CURRENT=$#words; _llmcli_completion; done < lines
    """,
    "fish": """
        llmcli --show-completion | source
        while read -l line; echo (complete -C "$line"); end < lines
    """,
}  # fmt: skip
LINES = {
    "llmcli translate --glos": ("--glossary", "A .tsv or .csv file of terms and their translations."),
    "llmcli translate --ter": ("--term", "How a term is translated: 'house=Haus'"),
    "llmcli sentiment --columns": ("--columns", "CSV without a header: the names of its columns, with commas between."),
    "llmcli schema sen": ("sentiment", ""),
    "llmcli sentiment -i no-such-fil": ("", ""),
}  # fmt: skip


@pytest.mark.parametrize("shell", SHELLS)
def test_in_the_shell_itself(tmp_path: Path, shell: str):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    program = tmp_path / "llmcli"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m llmcli "$@"\n')
    program.chmod(0o755)
    (tmp_path / "script").write_text(SHELLS[shell])
    (tmp_path / "lines").write_text("".join(f"{line}\n" for line in LINES))
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    arguments = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["-N"]}[shell]
    done = subprocess.run([shell, *arguments, "script"], cwd=tmp_path, env=environment, capture_output=True, text=True,
                          check=False)  # fmt: skip
    gap = {"bash": "", "zsh": ":", "fish": "\t"}[shell]
    wanted = [f"{value}{gap}{meaning}" if gap and meaning else value for value, meaning in LINES.values()]
    assert done.stdout.split("\n")[:-1] == wanted, done.stderr


QUOTED = {
    "bash": ("a b's:", "a\\ b\\'s:"),
    "zsh": ("a b's:", """local -a offered; offered=('a b'"'"'s\\::x: (y) [z] "q" $HOME `w`'); _describe '' offered"""),
    "fish": ("a b's:", 'a b\'s:\tx: (y) [z] "q" $HOME `w`'),
}


@pytest.mark.parametrize("shell", QUOTED)
def test_no_character_means_anything_to_the_shell(monkeypatch: pytest.MonkeyPatch, capsys, shell: str):
    value, printed = QUOTED[shell]
    item = completion.Item(value, 'x: (y) [z] "q" $HOME `w`')
    monkeypatch.setattr(completion, "items", lambda words, incomplete: iter([item]))
    code = completion.run({"_LLMCLI_COMPLETE": f"complete_{shell}", "COMP_WORDS": "llmcli x", "COMP_CWORD": "1"})
    assert (code, capsys.readouterr().out) == (0, printed + "\n")


@pytest.mark.parametrize(("line", "code"), [("llmcli schema co", 0), ("llmcli sentiment -i re", 1)])
def test_fish_is_told_to_complete_files(line: str, code: int):
    environment = {"_TYPER_COMPLETE_FISH_ACTION": "is-args", "_TYPER_COMPLETE_ARGS": line}
    assert completion.run({"_LLMCLI_COMPLETE": "complete_fish"} | environment) == code


def test_zsh_is_told_to_complete_files(capsys):
    completion.run({"_LLMCLI_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "llmcli sentiment -i "})
    assert capsys.readouterr().out == "_files\n"


@pytest.mark.parametrize("words", ["llmcli\ntranslate\n--to\n=\nGer", "llmcli\ntranslate\n--to\n="])
def test_bash_parts_words_at_equals_signs(capsys, words: str):
    place = str(len(words.split("\n")) - 1)
    completion.run({"_LLMCLI_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": place})
    assert "German" in capsys.readouterr().out.split() or words.endswith("=")


@pytest.mark.parametrize("line", ["llmcli ", "llmcli translate --to G", "llmcli sentiment -m g", "llmcli train "])
def test_nothing_heavy_is_imported(line: str):
    code = (
        "import sys\n"
        "from llmcli.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'pydantic', 'numpy', 'rich'} & set(sys.modules)), file=sys.stderr)"
    )
    environment = {"_LLMCLI_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": line}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True,
                          check=True)  # fmt: skip
    assert done.stderr.strip() == "[]"
    assert "_describe" in done.stdout
