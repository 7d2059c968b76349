"""Write the console blocks and pictures of ``docs/inside.md`` anew: ``python -m tests.benchmarks.inside``."""

from __future__ import annotations

import shlex
import subprocess
import sys
from re import Match

from tests.support import ROOT
from tests.support.console import BLOCK


def main() -> None:
    """Run each command in the repository's top, and put what it prints below it."""
    page = ROOT / "docs" / "inside.md"

    def ran(match: Match[str]) -> str:
        command = [sys.executable, "-m", "llmcli", *shlex.split(match[1]), "-q"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return f"```console\n$ llmcli {match[1]}\n{done.stdout}```"

    page.write_text(BLOCK.sub(ran, page.read_text()))


if __name__ == "__main__":
    main()
