"""Pictures of shell sessions: ``python -m tests.support.pictures`` makes those of docs/pictures anew.

Each command runs in a pseudo-terminal, so that what a terminal alone is shown (colours) is there; rich makes the SVG.
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from html import unescape
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

from tests.support import ROOT, sessions

FOLDER = ROOT / "docs" / "pictures"
COLUMNS = 90
PICTURES: Mapping[str, Sequence[str]] = {
    "session": (
        'llmcli sentiment --explain -q "I loved every minute of it"',
        'echo "Le chat dort sur le canapé." | llmcli translate --to en',
        'llmcli answer "Why did fewer pupils come late?" < report.txt',
        'llmcli similar "refund" --top 1 < faq.txt',
        "llmcli classify --labels billing,bug,praise -i tickets.csv --field body -o out.csv",
        "head -3 out.csv",
    ),
    "resume": (
        "seq 300 | sed 's/.*/Number &: I loved every minute of it/' > reviews.txt",
        "llmcli sentiment --lines -q -i reviews.txt -o scored.txt & sleep 9; kill -9 $!",
        "ls scored.*",
        "llmcli sentiment --lines -i reviews.txt -o scored.txt --resume",
        "wc -l < scored.txt",
    ),
}
"""Of each picture the commands that it shows."""
WAIT = ("sleep 9;", "until [ -s scored.txt.partial ] || ! kill -0 $!; do sleep 0.1; done;")
"""How long a machine takes until its first rows are written differs: a test waits for them."""
FACE = re.compile(r"\s*@font-face \{.*?\n    \}", re.DOTALL)
"""A font of somebody's server, which no code host loads within a picture."""


def record(name: str, environment: Mapping[str, str], *, waits: bool = False) -> str:
    """The picture's SVG, of its commands as they run now; ``waits``: however slow the machine is."""
    lines = Text()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "work"
        shutil.copytree(sessions.SAMPLES, work)
        for command in PICTURES[name]:
            lines += Text.assemble(("$ ", "bold green"), (command, "bold"), "\n")
            lines += Text.from_ansi(printed(command.replace(*WAIT) if waits else command, work, environment))
    return drawn(lines)


def printed(command: str, folder: Path, environment: Mapping[str, str]) -> str:
    """What a terminal of COLUMNS shows of a command in the end, colours as escapes."""
    ours, its = pty.openpty()
    size = {"COLUMNS": str(COLUMNS), "TERMINAL_WIDTH": str(COLUMNS), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    variables = {key: value for key, value in environment.items() if key != "NO_COLOR"} | size
    shell = subprocess.Popen(["bash", "-c", command], cwd=folder, env=variables, stdin=its, stdout=its, stderr=its)
    os.close(its)
    shown = b""
    with open(ours, "rb", buffering=0) as terminal:
        try:
            while part := terminal.read(65536):
                shown += part
        except OSError:  # EIO: the last process has closed it
            pass
    shell.wait()
    left = [re.sub(r".*(\r|\x1b\[K)", "", line.rstrip("\r")) for line in shown.decode().split("\n")]
    return "\n".join(left)


def drawn(lines: Text) -> str:
    """A terminal's picture as SVG."""
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor")
        console.print(lines, end="")
        return FACE.sub("", console.export_svg(title="llmcli", theme=SVG_EXPORT_THEME, unique_id="terminal"))


def text(svg: str) -> str:
    """What a picture of a terminal says, a line each."""
    rows: dict[float, str] = {}
    for y, said in re.findall(r'<text class="terminal-r\d+" x="[\d.]+" y="([\d.]+)"[^>]*>([^<]*)</text>', svg):
        rows[float(y)] = rows.get(float(y), "") + unescape(said).replace("\xa0", " ")
    return "\n".join(row.rstrip() for _, row in sorted(rows.items()))


if __name__ == "__main__":
    with sessions.shell(Path(os.environ["LLMCLI_CACHE_DIR"])) as variables:
        for picture in PICTURES:
            (FOLDER / f"{picture}.svg").write_text(record(picture, variables))
