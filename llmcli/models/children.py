"""Modules of Python run as processes that end with this one, however it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_ALONG = """
import os, runpy, sys, threading

def watch():
    os.read(0, 1)
    os._exit(1)

threading.Thread(target=watch, daemon=True).start()
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""
"""Its standard input is a pipe, whose end says that the other side is gone."""


def run(module: str, *arguments: str, folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run an installed module to its end, isolated from Python's variables and the working directory."""
    ours, theirs = os.pipe()
    try:
        return subprocess.run(
            [sys.executable, "-I", "-c", _ALONG, module, *arguments], stdin=ours, cwd=folder, env=environment,
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
