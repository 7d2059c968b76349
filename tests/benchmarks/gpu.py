"""One run for a GPU machine without a network: ``python -m tests.benchmarks.gpu FOLDER [--small] [--only WORK]``.

llmcli beside the script that a user would write with transformers (bfloat16, left-padded batches, ``generate`` or one
forward pass a batch), in one process, in turn, after a round that does not count; with what the answers are worth. The
last lines tell whether a row's text alone is its text in a batch, in float32, and what a cold call takes.

FOLDER holds the embedded models' files, joined (``*gemma*.gguf``, ``*SmolLM2*.gguf``), and rows:
``sentiment.sst2.*.jsonl``, ``translate.multi30k.en-fr.*.jsonl`` and ``answer.squad2.*.jsonl``, as for ``quality``.
Everything takes some four minutes on an H200, a minute more with each round. ``--small``: few rows and tokens, to try
it on a CPU.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from llmcli import api
from llmcli.models import store
from llmcli.reports import unheard
from llmcli.run.records import Record
from llmcli.tasks import _parallel
from llmcli.text import prompts
from tests.benchmarks.quality import score
from tests.benchmarks.speed import PROMPTS, rows

Work = Callable[[], tuple[float, str]]
"""Does the work once: units done, and what the answers are worth."""
WITH = Path("/tmp/llmcli-gpu-script.py")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    reviews: int = 872
    texts: tuple[int, ...] = (1, 32, 256)
    tokens: int = 128
    sentences: int = 128
    questions: int = 150
    batch: int = 256


SMALL = Sizes(reviews=24, texts=(1, 4), tokens=8, sentences=2, questions=3, batch=8)


class Models:
    """The embedded models as files of a folder, for llmcli and for a script."""

    def __init__(self, folder: Path) -> None:
        self.gemma, self.smollm2 = (next(folder.glob(f"*{name}*.gguf")) for name in ("gemma", "SmolLM2"))

    def opened(self, task: str, **flags: Any) -> Any:
        """A session."""
        path = self.smollm2 if task == "generate" else self.gemma
        return api.open(task, model=str(path), **flags)

    def script(self, task: str, dtype: torch.dtype = torch.bfloat16) -> tuple[Any, Any]:
        """A module and a tokenizer."""
        folder = store.whole(self.opened(task).config.model, offline=True, report=unheard)
        tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval().to(DEVICE), tokenizer


def answers(session: Any, records: list[Record]) -> Callable[[], list[Any]]:
    """Results of a session that stays."""
    return lambda: list(session.answer(records))


def sentiment(models: Models, folder: Path, sizes: Sizes) -> dict[str, Work]:
    """Reviews a second, and accuracy."""
    reviews = rows(folder, "sentiment.sst2", sizes.reviews)
    records = [Record(id=place, text=row["text"]) for place, row in enumerate(reviews)]
    run = models.opened("sentiment").config
    labels = {label.words[0]: label.name for label in run.settings.labels}
    model, tokenizer = models.script("sentiment")
    ids = [tokenizer(" " + word, add_special_tokens=False)["input_ids"][0] for word in labels]
    texts = ["".join((one.prefix, one.row)) for one in (prompts.render(prompts.of(run), row["text"].strip())
                                                        for row in reviews)]  # fmt: skip

    @torch.inference_mode()
    def script() -> tuple[float, str]:
        found: list[str] = []
        for begin in range(0, len(texts), sizes.batch):
            inputs = tokenizer(texts[begin : begin + sizes.batch], return_tensors="pt", padding=True).to(DEVICE)
            best = model(**inputs, logits_to_keep=1).logits[:, -1, ids].argmax(-1)
            found += [[*labels.values()][place] for place in best.tolist()]
        return len(texts), score("sentiment", reviews, found)

    def ours(**flags: Any) -> Work:
        run = answers(models.opened("sentiment", **flags), records)
        return lambda: (len(records), score("sentiment", reviews, [one.fields["label"] for one in run()]))

    types = {f"llmcli, {dtype}": ours(dtype=dtype) for dtype in ("bfloat16", "float32")}
    return {f"script, batches of {sizes.batch}": script, "llmcli": ours(), **types}


def generate(models: Models, sizes: Sizes, count: int) -> dict[str, Work]:
    """Tokens a second, greedy."""
    texts = [f"{PROMPTS[place % len(PROMPTS)]} Part {place}." for place in range(count)]
    records = [Record(id=place, text=text) for place, text in enumerate(texts)]
    run = models.opened("generate").config
    model, tokenizer = models.script("generate")
    penalty = run.generation.repetition_penalty or 1.0

    @torch.inference_mode()
    def script() -> tuple[float, str]:
        chats = [tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True,
                                               tokenize=False) for text in texts]  # fmt: skip
        inputs = tokenizer(chats, return_tensors="pt", padding=True, add_special_tokens=False).to(DEVICE)
        made = model.generate(**inputs, do_sample=False, max_new_tokens=sizes.tokens, repetition_penalty=penalty)
        new = made[:, inputs["input_ids"].shape[1] :]
        return int((new != tokenizer.pad_token_id).sum()), ""

    def ours(**flags: Any) -> Work:
        run = answers(models.opened("generate", max_new_tokens=sizes.tokens, **flags), records)
        return lambda: (sum(one.output_tokens for one in run()), "")

    found = {"script": script, "llmcli": ours()}
    if count > 1:
        found["llmcli, sampled"] = ours(temperature=0.8, top_p=0.9, seed=1)
    return found


def translation(models: Models, folder: Path, sizes: Sizes) -> dict[str, Work]:
    """Sentences a second from English to French, and chrF: the script has four beams, llmcli eight and reads back."""
    sentences = rows(folder, "translate.multi30k.en-fr", sizes.sentences)
    records = [Record(id=place, text=row["text"]) for place, row in enumerate(sentences)]
    flags: dict[str, Any] = {"from_": "en", "to": "fr"}
    run = models.opened("translate", **flags).config
    model, tokenizer = models.script("translate")
    rendered = [_parallel.render(prompts.of(run), row["text"], source="en", target="fr") for row in sentences]

    @torch.inference_mode()
    def script() -> tuple[float, str]:
        found = []
        for begin in range(0, len(rendered), 32):
            part = [one.prefix + one.row for one in rendered[begin : begin + 32]]
            inputs = tokenizer(part, return_tensors="pt", padding=True).to(DEVICE)
            made = model.generate(**inputs, num_beams=4, do_sample=False, max_new_tokens=64, stop_strings=["\n"],
                                  tokenizer=tokenizer)  # fmt: skip
            texts = tokenizer.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            found += [text.split("\n")[0].strip() for text in texts]
        return len(sentences), score("translate", sentences, found)

    def ours(**more: Any) -> Work:
        run = answers(models.opened("translate", **flags, **more), records)
        return lambda: (len(records), score("translate", sentences, [one.fields["text"] for one in run()]))

    return {"script, 4 beams": script, "llmcli": ours(), "llmcli, float32": ours(dtype="float32")}


def questions(models: Models, folder: Path, sizes: Sizes) -> dict[str, Work]:
    """Questions a second, and F1."""
    asked = rows(folder, "answer.squad2", sizes.questions)
    records = [Record(id=place, text=row["context"], fields=row) for place, row in enumerate(asked)]

    def ours(**flags: Any) -> Work:
        run = answers(models.opened("answer", question="?", **flags), records)
        return lambda: (len(records), score("answer", asked, [one.fields["text"] for one in run()]))

    return {"llmcli": ours(), "llmcli, float32": ours(dtype="float32")}


def alone(models: Models, sizes: Sizes) -> None:
    """Whether a row's text depends on its neighbours, in float32."""
    records = [Record(id=place, text=f"{PROMPTS[place % 6]} Part {place}.") for place in range(24)]
    for name, flags in {"greedy": {}, "sampled": {"temperature": 0.8, "seed": 1}}.items():
        session = models.opened("generate", dtype="float32", max_new_tokens=sizes.tokens, **flags)
        together = [one.fields["text"] for one in session.answer(records)]
        same = 0
        for record, text in zip(records[:12], together, strict=False):
            same += [one.fields["text"] for one in session.answer([record])] == [text]
        print(f"float32, {name}: {same} of 12 texts alone are those of a batch of {len(records)}", flush=True)


SCRIPT = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, device = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).to(device)
chat = tokenizer.apply_chat_template([{"role": "user", "content": "Why is the sky blue?"}], add_generation_prompt=True,
                                     return_tensors="pt", return_dict=True).to(device)
print(tokenizer.decode(model.generate(**chat, max_new_tokens=16, do_sample=False)[0]))
"""


def cold(models: Models) -> None:
    """Seconds of a whole process."""
    folder = store.whole(models.opened("generate").config.model, offline=True, report=unheard)
    WITH.write_text(SCRIPT)
    ours = [sys.executable, "-m", "llmcli", "generate", "-m", str(models.smollm2), "--no-worker",
            "--max-new-tokens", "16", "Why is the sky blue?"]  # fmt: skip
    for name, command in {"script": [sys.executable, str(WITH), str(folder), DEVICE], "llmcli": ours}.items():
        took = []
        for _ in range(3):
            begin = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            took.append(time.perf_counter() - begin)
            if done.returncode:
                print(name, done.stderr[-300:])
        print(f"a cold call, {name}: {statistics.median(took):.1f} s (of {', '.join(f'{one:.1f}' for one in took)})",
              flush=True)  # fmt: skip


def table(name: str, unit: str, contestants: dict[str, Work], rounds: int) -> None:
    """Run the contestants in turn; the first round warms what is kept."""
    speeds: dict[str, list[float]] = {one: [] for one in contestants}
    worth: dict[str, str] = {}
    for _ in range(rounds + 1):
        for one, work in contestants.items():
            begin = time.perf_counter()
            units, worth[one] = work()
            if DEVICE == "cuda":
                torch.cuda.synchronize()
            speeds[one].append(units / (time.perf_counter() - begin))
    medians = {one: statistics.median(found[1:]) for one, found in speeds.items()}
    first = next(iter(medians.values()))
    for one, speed in medians.items():
        print(f"| {name} | {one} | {speed:.1f} {unit}/s | {speed / first:.2f} | {worth[one]} |", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", default="", help="work whose name holds this")
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args(arguments)
    sizes, begin = SMALL if given.small else Sizes(), time.perf_counter()
    models = Models(given.folder)
    works: dict[str, tuple[str, Callable[[], dict[str, Work]]]] = {
        **{f"generate, {count}": ("tokens", lambda count=count: generate(models, sizes, count))  # type: ignore[misc]
           for count in sizes.texts},
        "sentiment": ("rows", lambda: sentiment(models, given.folder, sizes)),
        "translate": ("rows", lambda: translation(models, given.folder, sizes)),
        "answer": ("rows", lambda: questions(models, given.folder, sizes)),
    }  # fmt: skip
    card = torch.cuda.get_device_name() if DEVICE == "cuda" else "a CPU"
    print(f"{card}, torch {torch.__version__}\n| work | contestant | speed | to the script | worth |", flush=True)
    for name, (unit, contestants) in works.items():
        if given.only in name:
            table(name, unit, contestants(), given.rounds)
            gc.collect()
    if given.only in "cold":
        cold(models)
    if given.only in "alone":
        alone(models, sizes)
    if DEVICE == "cuda":
        print(f"most memory: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    print(json.dumps({"seconds": round(time.perf_counter() - begin)}))


if __name__ == "__main__":
    main()
