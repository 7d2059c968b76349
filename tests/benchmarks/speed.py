"""Rows and tokens a second, with the answers' quality: ``python -m tests.benchmarks.speed DATA_FOLDER [--rounds N]``.

llmcli against the script that a user would write with transformers (float32, one row at a time, the same prompt), and
against llama-cpp-python on the same GGUF file where that is installed; in turn, in one run, the median of several.
Reads
``sentiment.sst2.*.jsonl`` and ``translate.multi30k.en-fr.*.jsonl``. Needs the extra ``bench``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from llmcli import config, prompts, runner
from llmcli.models import sources, store
from llmcli.pipelines import unheard
from llmcli.records import Record
from llmcli.tasks import translate
from tests.benchmarks.quality import score

PROMPTS = ["Write a story about a dog.", "Explain how bread is made.", "Describe a walk in the rain.",
           "Tell me about the sea.", "Why is the sky blue?", "Write a letter to a friend."]  # fmt: skip
TOKENS = 48
Row = dict[str, Any]
Work = Callable[[], tuple[float, str]]
"""Does the work once: units done, and what the answers are worth."""


def main() -> None:
    """Print a table: units a second and quality, of each contestant; and the ratios to the script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=8, help="reviews; a quarter as many sentences are translated")
    parser.add_argument("--only", default="", help="work whose name holds this")
    arguments = parser.parse_args()
    reviews = rows(arguments.folder, "sentiment.sst2", arguments.rows)
    sentences = rows(arguments.folder, "translate.multi30k.en-fr", max(arguments.rows // 4, 1))
    works: dict[str, tuple[str, Callable[[], dict[str, Work]]]] = {
        "sentiment": ("reviews", partial(sentiment, reviews)),
        "translate": ("sentences", partial(translation, sentences)),
        **{f"generate, {count} at once": ("tokens", partial(generation, count)) for count in (1, 8, 32)},
    }
    print("| work | unit | contestant | a second | to the script | quality |\n|---|---|---|---|---|---|")
    for name, (unit, contestants) in works.items():
        if arguments.only in name:
            table(name, unit, contestants(), arguments.rounds)


def rows(folder: Path, name: str, count: int) -> list[Row]:
    """The first rows of a file."""
    path = next(folder.glob(f"{name}.*.jsonl"))
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()[:count]]


def table(work: str, unit: str, contestants: dict[str, Work], rounds: int) -> None:
    """Run the contestants in turn; a first round that does not count warms caches."""
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    quality: dict[str, str] = {}
    for _ in range(rounds + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            units, quality[name] = run()
            speeds[name].append(units / (time.perf_counter() - start))
    medians = {name: statistics.median(found[1:]) for name, found in speeds.items()}
    for name, speed in medians.items():
        ratio = f"{speed / medians['script']:.1f}"
        print(f"| {work} | {unit} | {name} | {speed:.2f} | {ratio} | {quality[name]} |", flush=True)


@cache
def opened(task: str) -> tuple[Any, Any]:
    """A task's default model, as a script has it."""
    folder = store.checkpoint(config.resolve(task, {}).model, offline=False, report=unheard)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def ours(task: str, records: list[Record], **flags: Any) -> Callable[[], Iterator[Any]]:
    """llmcli's results, on a session that keeps its model."""
    session = runner.Local(config.resolve(task, flags))
    return lambda: runner.run(session, iter(records))


def sentiment(reviews: list[Row]) -> dict[str, Work]:
    """Reviews a second, and accuracy."""
    run = config.resolve("sentiment", {})
    labels = {label.words[0]: label.name for label in run.settings.labels or []}
    model, tokenizer = opened("sentiment")
    ids = [tokenizer(" " + word, add_special_tokens=False)["input_ids"][0] for word in labels]

    def script() -> tuple[float, str]:
        found = []
        for row in reviews:
            rendered = prompts.render(prompts.of(run), row["text"].strip())
            with torch.inference_mode():
                inputs = tokenizer(rendered.prefix + rendered.row, return_tensors="pt")
                logits = model(**inputs, logits_to_keep=1).logits[0, -1]
            found.append([*labels.values()][int(logits[ids].argmax())])
        return len(reviews), score("sentiment", reviews, found)

    results = {name: ours("sentiment", [Record(id=i, text=row["text"]) for i, row in enumerate(reviews)], **flags)
               for name, flags in {"llmcli": {}, "llmcli, float32": {"dtype": "float32"}}.items()}  # fmt: skip

    def measured(run: Callable[[], Iterator[Any]]) -> Work:
        return lambda: (len(reviews), score("sentiment", reviews, [result.fields["label"] for result in run()]))

    return {"script": script} | {name: measured(run) for name, run in results.items()}


def translation(sentences: list[Row]) -> dict[str, Work]:
    """Sentences a second from English to French with four beams, and chrF."""
    flags = {"options": {"from_": "en", "to": "fr"}}
    run = config.resolve("translate", flags)
    model, tokenizer = opened("translate")

    def script() -> tuple[float, str]:
        found = []
        for row in sentences:
            rendered = translate._prompt(prompts.of(run), row["text"], source="en", target="fr")
            inputs = tokenizer(rendered.prefix + rendered.row, return_tensors="pt")
            made = model.generate(**inputs, num_beams=4, do_sample=False, max_new_tokens=64, stop_strings=["\n"],
                                  tokenizer=tokenizer)  # fmt: skip
            text = tokenizer.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            found.append(text.split("\n")[0].strip())
        return len(sentences), score("translate", sentences, found)

    def measured(**more: Any) -> Work:
        results = ours("translate", [Record(id=i, text=row["text"]) for i, row in enumerate(sentences)], **more)
        return lambda: (len(sentences), score("translate", sentences, [r.fields["text"] for r in results()]))

    plain = {"options": {**flags["options"], "rerank": False}}
    return {"script": script, "llmcli": measured(**flags), "llmcli --no-rerank": measured(**plain)}


def generation(count: int) -> dict[str, Work]:
    """Tokens a second, greedy, of the default model of generate."""
    texts = [PROMPTS[i % len(PROMPTS)] for i in range(count)]
    model, tokenizer = opened("generate")

    def script() -> tuple[float, str]:
        tokens = 0
        for text in texts:
            inputs = tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True,
                                                   return_tensors="pt", return_dict=True)  # fmt: skip
            made = model.generate(**inputs, do_sample=False, max_new_tokens=TOKENS)
            tokens += made.shape[1] - inputs["input_ids"].shape[1]
        return tokens, ""

    def measured(**flags: Any) -> Work:
        results = ours("generate", [Record(id=i, text=text) for i, text in enumerate(texts)],
                       generation={"max_new_tokens": TOKENS}, **flags)  # fmt: skip
        return lambda: (sum(result.output_tokens for result in results()), "")

    found = {"script": script, "llmcli": measured(), "llmcli, float32": measured(dtype="float32")}
    if count == 1 and find_spec("llama_cpp"):
        found["llama.cpp"] = llama(texts)
    return found


def llama(texts: list[str]) -> Work:
    """llama-cpp-python on the GGUF file that the checkpoint was converted from."""
    from llama_cpp import Llama

    package = config.resolve("generate", {}).model.source.package
    assert package is not None
    path = sources.package_files(package, folder=Path(), offline=True)[0]
    model = Llama(str(path), n_ctx=512, verbose=False)

    def work() -> tuple[float, str]:
        made = [model.create_chat_completion([{"role": "user", "content": text}], max_tokens=TOKENS, temperature=0)
                for text in texts]  # fmt: skip
        return sum(found["usage"]["completion_tokens"] for found in made), ""

    return work


if __name__ == "__main__":
    main()
