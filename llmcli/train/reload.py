"""The folder that was written, loaded by a fresh process: what is loaded must be what was trained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmcli.config import places
from llmcli.errors import GenerationError, ModelError
from llmcli.evaluate.answers import Answer, Answered
from llmcli.evaluate.rows import Row

BOOT = ("import sys; sys.path.insert(0, sys.argv[1]); import llmcli; sys.path.remove(sys.argv[1]); "
        "sys.argv[:2] = ['llmcli']; from llmcli.cli.main import main; main()")  # fmt: skip
CARRIED = ("question", "messages", "body")
"""Fields of a row that tasks read besides its text."""
PLAIN = ("--plain", "--dtype", "float32")
"""How a model runs while it is trained."""


def answers(task: str, folder: Path, rows: Sequence[Row], *, work: Path, device: str | None, plain: bool) -> Answered:
    """The answers of a folder's model, by the command line in a process of its own. Raises ModelError.

    ``work``: a folder for the rows and the results.
    """
    given, made = work / "rows.given.jsonl", work / "rows.made.jsonl"
    field = "context" if task == "answer" else "text"
    lines = [{"id": place, field: row.record.text,
              **{name: row.record.fields[name] for name in CARRIED if name in row.record.fields}}
             for place, row in enumerate(rows)]  # fmt: skip
    given.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    made.unlink(missing_ok=True)
    options = [*(PLAIN if plain else ()), *(["--device", device] if device else []), "--offline", "--no-worker", "-q"]
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-P", "-c", BOOT, str(places.PACKAGE.parent), task, "-m", str(folder), "-i", str(given),
         "-o", str(made), "--no-resume", *options],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=os.environ | {"LLMCLI_MODEL": ""},
        process_group=0,  # Ctrl-C is for this process, which ends with the best so far
    )  # fmt: skip
    if not made.is_file():
        said = done.stderr.strip().split("\n")[-1].removeprefix("llmcli: ")
        raise ModelError(f"what was written cannot be loaded: {said}", code="reload")
    seconds = time.monotonic() - begin
    return Answered("trained", [_answer(json.loads(line)) for line in made.read_bytes().split(b"\n") if line], seconds)


def _answer(row: dict[str, Any]) -> Answer:
    tokens = int(row.get("input_tokens") or 0) + int(row.get("output_tokens") or 0)
    if row["status"] != "ok":
        return Answer("", tokens=tokens, failed=str(row["error"]["code"]))
    score = row.get("score")
    return Answer(str(row.get("label", row.get("text", ""))), None if score is None else float(score), tokens)


def compare(trained: Sequence[Answer], loaded: Sequence[Answer]) -> None:
    """Raise GenerationError where an answer differs."""
    apart = sum(
        one.text != other.text or one.failed != other.failed for one, other in zip(trained, loaded, strict=True)
    )
    if apart:
        raise GenerationError(f"{apart} of {len(trained)} answers differ after the model is loaded: it is not kept",
                              code="reload", hint="report it, with the base model")  # fmt: skip
