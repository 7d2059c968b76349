"""What a warm call costs: ``python -m tests.benchmarks.warm [--runs N]``.

Whole processes side by side, in turn: a call that the worker answers, one without it, and the script that a user
would write for the same prompt and label words. Then the model's own time in the worker, and ``--help``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from llmcli import api
from llmcli.cli import progress
from llmcli.models import store
from llmcli.reports import unheard
from llmcli.run.records import Record
from llmcli.run.request import Request
from llmcli.text import prompts
from llmcli.worker import client, control

TEXT = "I loved every minute of it"
SCRIPT = """
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

given = json.load(open(sys.argv[1]))
tokenizer = AutoTokenizer.from_pretrained(given["folder"])
model = AutoModelForCausalLM.from_pretrained(given["folder"], dtype=torch.float32).eval()
words = [tokenizer(" " + word, add_special_tokens=False).input_ids[0] for word in given["words"]]
with torch.inference_mode():
    logits = model(**tokenizer(given["prompt"], return_tensors="pt"), logits_to_keep=1).logits[0, -1]
print(given["words"][int(logits[words].argmax())])
"""


def main() -> None:
    """Print medians, in seconds, and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    measure(parser.parse_args().runs)


def measure(runs: int) -> dict[str, float]:
    """Seconds of each call."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        (Path(folder) / "given.json").write_text(json.dumps(given()))
        (Path(folder) / "script.py").write_text(SCRIPT)
        llmcli = [sys.executable, "-m", "llmcli"]
        commands = {
            "warm": ([*llmcli, "sentiment", "--worker", TEXT], {}),
            "cold": ([*llmcli, "sentiment", TEXT], {"LLMCLI_WORKER": "off"}),
            "script": ([sys.executable, f"{folder}/script.py", f"{folder}/given.json"], {}),
            "help": ([*llmcli, "--help"], {}),
            "import": ([sys.executable, "-c", "import typer, rich"], {}),
        }
        control.start(keep_alive=None, memory=None)
        try:
            times = _measure(commands, runs)
        finally:
            control.stop()
    _print(times)
    return times


def given() -> dict[str, Any]:
    """What the script reads: the checkpoint's folder, the prompt and the label words."""
    run = api.open("sentiment").config
    rendered = prompts.render(prompts.of(run), TEXT)
    # The example ends before its answer: what stands there is the question.
    words = [word for label in run.settings.labels or [] for word in label.words or []]
    folder = store.whole(run.model, offline=True, report=unheard)
    return {"folder": str(folder), "prompt": rendered.prefix + rendered.row, "words": words}


def _measure(commands: dict[str, Any], runs: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in [*commands, "model"]}
    for turn in range(runs + 1):
        for name, (command, environment) in commands.items():
            start = time.perf_counter()
            done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
            times[name].append(time.perf_counter() - start)
            if not turn:
                print(f"{name}: {done.stdout.splitlines()[0] if done.stdout.strip() else ''}".strip())
        times["model"].append(_model())
    return {name: statistics.median(found[1:]) for name, found in times.items()}  # the first fills caches


def _model() -> float:
    """Seconds of a request on a session that is open: the model's time, and a frame each way."""
    request = Request("sentiment", {"options": {"worker": True}})
    with (
        progress.preparing({"quiet": True}) as report,
        contextlib.closing(client.open_session(request, report).session) as session,
    ):
        start = time.perf_counter()
        session.answer([Record(id=1, text=TEXT)])
        return time.perf_counter() - start


def _print(times: dict[str, float]) -> None:
    for name, seconds in times.items():
        print(f"{name}\t{seconds:.3f} s")
    for one, other, goal in (("warm", "cold", 0.08), ("warm", "script", 0.08), ("cold", "script", 1.0),
                             ("help", "import", 3.0)):  # fmt: skip
        print(f"{one} / {other}\t{times[one] / times[other]:.3f}\tgoal {goal}")
    print(f"warm - model\t{1000 * (times['warm'] - times['model']):.0f} ms\tgoal 80 ms")


if __name__ == "__main__":
    main()
