"""Whether standard input, or a TEXT, is what was meant to be read."""

from __future__ import annotations

import fcntl
import os
import stat
import termios
from pathlib import Path

from llmcli.errors import one_line
from llmcli.reports import say

SHELLS = ("sh", "ash", "bash", "busybox", "dash", "fish", "ksh", "mksh", "zsh")
"""Programs whose loops read standard input line by line."""


def piped() -> bool:
    """Whether standard input holds something to read: a pipe or a file, not a terminal."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def left(*, quiet: bool) -> bool:
    """Whether standard input is left to a loop that reads it too, as ``while read line; do llmcli ...`` does.

    A loop's file was read from already; a loop's pipe is the calling shell's own standard input.
    """
    try:
        ours, caller = os.fstat(0), Path(f"/proc/{os.getppid()}")
        if stat.S_ISREG(ours.st_mode):
            shared = os.lseek(0, 0, os.SEEK_CUR) > 0
        else:
            shared = os.path.samestat(ours, (caller / "fd/0").stat()) and (caller / "exe").readlink().name in SHELLS
        waiting = fcntl.ioctl(0, termios.FIONREAD, b"\0" * 4)
    except OSError:  # no /proc, or another user's caller
        return False
    if shared and any(waiting) and not quiet:
        say("llmcli: standard input is left to the calling shell; with -i - it is read here")
    return shared


def suspect(text: str) -> None:
    """Say so where a TEXT is the name of a file: its content was meant, most likely."""
    if len(text.split()) == 1 and (os.path.isfile(text) or ("/" in text and os.path.isdir(text))):
        say(f"llmcli: {one_line(text)} is taken as the text itself; with -i it is read")
