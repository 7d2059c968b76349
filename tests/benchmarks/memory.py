"""Peak memory of whole processes: ``python -m tests.benchmarks.memory``.

The largest resident set of a cold call, in megabytes (10^6 bytes), beside the weights in the number format that the
call uses, and beside the script that a user would write.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

from safetensors import safe_open

from llmcli import api
from llmcli.models import devices, store
from llmcli.reports import unheard
from tests.benchmarks import warm

BYTES = {"bfloat16": 2, "float32": 4}
ALLOWED = 1.3, 400
"""The goal: so many times the weights, and so many megabytes more."""


def main() -> None:
    """Print a table: the weights, the peak, and the goal."""
    folder = store.whole(api.open("sentiment").config.model, offline=True, report=unheard)
    own = "bfloat16" if devices.bfloat16() else "float32"
    llmcli = [sys.executable, "-m", "llmcli", "sentiment", "--no-worker", warm.TEXT]
    with tempfile.TemporaryDirectory() as place:
        script = Path(place) / "script.py"
        script.write_text(warm.SCRIPT)
        (Path(place) / "given.json").write_text(json.dumps(warm.given()))
        calls = {
            f"llmcli (8-bit and {own})": (llmcli, own),
            "llmcli --dtype float32": ([*llmcli, "--dtype", "float32"], "float32"),
            "script, float32": ([sys.executable, str(script), f"{place}/given.json"], "float32"),
        }
        print("| call | weights, MB | peak, MB | goal, MB |\n|---|---|---|---|")
        for name, (command, dtype) in calls.items():
            weights = parameters(folder) * BYTES[dtype] / 1e6
            goal = ALLOWED[0] * weights + ALLOWED[1]
            print(f"| {name} | {weights:.0f} | {peak(command):.0f} | {goal:.0f} |", flush=True)


def parameters(folder: Path) -> int:
    """Numbers in a checkpoint's weights."""
    with safe_open(folder / "model.safetensors", "pt") as opened:
        return sum(math.prod(opened.get_slice(name).get_shape()) for name in opened.keys())  # noqa: SIM118


WAITED = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss)
"""


def peak(command: list[str]) -> float:
    """The largest resident set of a process, in megabytes.

    A small process starts it: Linux counts what the one that starts another holds as the other's.
    """
    waited = subprocess.run([sys.executable, "-c", WAITED, *command], stdout=subprocess.PIPE, text=True, check=True)
    status, most = map(int, waited.stdout.split())
    if status:
        raise SystemExit(f"{command[:4]} ended with {status}")
    return most * 1024 / 1e6


if __name__ == "__main__":
    main()
