"""Whose standard input it is, and what a TEXT or several files mean."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.gates import started

LEFT = "llmcli: standard input is left to the calling shell; with -i - it is read here\n"
SCRIPTS = {
    "a pipe": ('echo log | "$@" why?', "LOG\n\nWHY?\n", ""),
    "a file": ('"$@" why? < rows', "A\nB\n\nWHY?\n", ""),
    "nothing": ('"$@" why? < /dev/null', "WHY?\n", ""),
    "a pipe through another program": ('echo log | timeout 100 "$@" why?', "LOG\n\nWHY?\n", ""),
    "a loop over a file": ('while read row; do "$@" "$row?"; done < rows', "A?\nB?\n", LEFT),
    "a loop over a pipe": ('cat rows | while read row; do "$@" "$row?"; done', "A?\nB?\n", LEFT),
    "a script's own": ('echo log | sh -c \'"$0" "$@" why?; true\' "$@"', "WHY?\n", LEFT),
    "a script's own, asked for": ('echo log | sh -c \'"$0" "$@" why? -i -; true\' "$@"', "LOG\n\nWHY?\n", ""),
}


@pytest.mark.parametrize(("script", "out", "err"), SCRIPTS.values(), ids=SCRIPTS)
def test_a_loop_keeps_its_standard_input(script: str, out: str, err: str, tmp_path: Path):
    (tmp_path / "rows").write_text("a\nb\n")
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started("generate", "--raw", script=f"cd {tmp_path}; {script}", **pipes) as run:
        assert run.ended() == (0, out.encode(), err.encode())


TEXTS = {
    "a file": (["a.txt"], True),
    "a folder": (["./folder"], True),
    "a word that a folder has too": (["folder"], False),
    "a sentence": (["a.txt is short"], False),
    "quiet": (["-q", "a.txt"], False),
}


@pytest.mark.parametrize(("arguments", "remarked"), TEXTS.values(), ids=TEXTS)
def test_a_text_that_is_the_name_of_a_file_is_remarked_on(cli, fake, monkeypatch, tmp_path: Path, arguments, remarked):
    monkeypatch.chdir(tmp_path)
    Path("a.txt").touch()
    Path("folder").mkdir()
    done = cli("sentiment", *arguments)
    assert (done.code, done.out) == (0, "negative\t0.9096\n")
    assert done.err == (
        f"llmcli: {arguments[-1]} is taken as the text itself; with -i it is read\n" if remarked else ""
    )


@pytest.mark.parametrize("files", [["b.txt"], ["b.txt", "c.txt"]])
def test_several_files_after_one_option_are_told_how_they_are_given(cli, fake, monkeypatch, tmp_path: Path, files):
    monkeypatch.chdir(tmp_path)
    Path("a.txt").touch()
    done = cli("sentiment", "-i", "a.txt", *files)
    assert (done.code, done.out) == (2, "")
    assert "its own -i" in done.err


def test_verbose_says_what_answers_and_how(cli, fake):
    done = cli("sentiment", "-v", "good")
    assert done.err == "llmcli: gemma-3-270m, in this process\nllmcli: ready: nowhere\n"
