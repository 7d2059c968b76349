"""Rows and tokens a second, with the answers' quality: ``python -m tests.benchmarks.speed DATA_FOLDER [--rounds N]``.

llmcli against the script that a user would write with transformers (float32, one row at a time, the same prompt; in
translation four beams, where llmcli by default has eight and reads them back), and against CTranslate2 and
llama-cpp-python where they are installed; in turn, in one run, the median of several. Reads ``sentiment.sst2.*.jsonl``,
``translate.multi30k.en-fr.*.jsonl`` and ``answer.squad2.*.jsonl``. Needs the extra ``bench``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
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
from tests.benchmarks import peers
from tests.benchmarks.quality import score

PROMPTS = ["Write a story about a dog.", "Explain how bread is made.", "Describe a walk in the rain.",
           "Tell me about the sea.", "Why is the sky blue?", "Write a letter to a friend."]  # fmt: skip
TOKENS = 48
Row = dict[str, Any]
Work = Callable[[], tuple[float, str]]
"""Does the work once: units done, and what the answers are worth."""


@dataclass(frozen=True)
class Speed:
    """A row of the table: how fast a contestant is, and how fast beside the script."""

    work: str
    unit: str
    contestant: str
    speed: float
    ratio: float
    quality: str


def main() -> None:
    """Print a table: units a second and quality, of each contestant; and the ratios to the script."""
    parser = argparse.ArgumentParser(description=__doc__)
    arguments(parser)
    given = parser.parse_args()
    measure(given.folder, rounds=given.rounds, count=given.rows, only=given.only)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of this benchmark."""
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=32, help="reviews; of sentences and questions a quarter")
    parser.add_argument("--only", default="", help="work whose name holds this")


def measure(folder: Path, *, rounds: int, count: int, only: str = "") -> list[Speed]:
    """Run all works and print the table as it grows."""
    reviews = rows(folder, "sentiment.sst2", count)
    sentences = rows(folder, "translate.multi30k.en-fr", max(count // 4, 1))
    questions = rows(folder, "answer.squad2", max(count // 4, 1))
    works: dict[str, tuple[str, Callable[[], dict[str, Work]]]] = {
        "sentiment": ("reviews", partial(sentiment, reviews)),
        "translate": ("sentences", partial(translation, sentences)),
        "answer": ("questions", partial(answers, questions)),
        **{f"generate, {count} at once": ("tokens", partial(generation, count)) for count in (1, 8, 32, 64)},
    }
    print("| work | unit | contestant | a second | to the script | quality |\n|---|---|---|---|---|---|")
    found = []
    for name, (unit, contestants) in works.items():
        if only in name:
            found += table(name, unit, contestants(), rounds)
    return found


def rows(folder: Path, name: str, count: int) -> list[Row]:
    """The first rows of a file."""
    path = next(folder.glob(f"{name}.*.jsonl"))
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()[:count]]


def table(work: str, unit: str, contestants: dict[str, Work], rounds: int) -> list[Speed]:
    """Run the contestants in turn; a first round that does not count warms caches."""
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    quality: dict[str, str] = {}
    for _ in range(rounds + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            units, quality[name] = run()
            speeds[name].append(units / (time.perf_counter() - start))
    medians = {name: statistics.median(found[1:]) for name, found in speeds.items()}
    found = [Speed(work, unit, name, speed, speed / medians["script"], quality[name])
             for name, speed in medians.items()]  # fmt: skip
    for row in found:
        print(f"| {work} | {unit} | {row.contestant} | {row.speed:.2f} | {row.ratio:.1f} | {row.quality} |", flush=True)
    return found


@cache
def opened(task: str, **flags: Any) -> tuple[Any, Any]:
    """A task's default model, as a script has it."""
    folder = store.whole(api.open(task, **flags).config.model, offline=False, report=unheard)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def ours(task: str, records: list[Record], **flags: Any) -> Callable[[], Iterator[Any]]:
    """llmcli's results, on a session that keeps its model."""
    session = api.open(task, **flags)
    return lambda: session.answer(records)


def sentiment(reviews: list[Row]) -> dict[str, Work]:
    """Reviews a second, and accuracy."""
    run = api.open("sentiment").config
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
    """Sentences a second from English to French, and chrF: the script has four beams, llmcli eight and reads back."""
    flags: dict[str, Any] = {"from_": "en", "to": "fr"}
    run = api.open("translate", **flags).config
    model, tokenizer = opened("translate")

    def script() -> tuple[float, str]:
        found = []
        for row in sentences:
            rendered = _parallel.render(prompts.of(run), row["text"], source="en", target="fr")
            inputs = tokenizer(rendered.prefix + rendered.row, return_tensors="pt")
            made = model.generate(**inputs, num_beams=4, do_sample=False, max_new_tokens=64, stop_strings=["\n"],
                                  tokenizer=tokenizer)  # fmt: skip
            text = tokenizer.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            found.append(text.split("\n")[0].strip())
        return len(sentences), score("translate", sentences, found)

    def measured(**more: Any) -> Work:
        results = ours("translate", [Record(id=i, text=row["text"]) for i, row in enumerate(sentences)], **more)
        return lambda: (len(sentences), score("translate", sentences, [r.fields["text"] for r in results()]))

    four = {"num_beams": 4}
    plain = flags | {"rerank": False} | four
    others = {}
    if peers.ctranslate2():
        prompt = [_parallel.render(prompts.of(run), row["text"], source="en", target="fr") for row in sentences]
        translated = peers.Apart(peers.Generator, store.whole(run.model, offline=False, report=unheard))

        def converted() -> tuple[float, str]:
            made = translated("beams", [(p.prefix, p.row) for p in prompt], beams=4, most=64)
            texts = [text.split("\n")[0].strip() for text in made]
            return len(sentences), score("translate", sentences, texts)

        others = {"CTranslate2 int8": converted}
    return {"script": script, "llmcli": measured(**flags), "llmcli --num-beams 4": measured(**flags, **four),
            "llmcli --num-beams 4 --no-rerank": measured(**plain)} | others  # fmt: skip


def answers(questions: list[Row]) -> dict[str, Work]:
    """Questions a second, each to a text of its own, and F1: the script has the model write its answer."""
    run = api.open("answer", question="?").config
    model, tokenizer = opened("answer", question="?")

    def script() -> tuple[float, str]:
        found = []
        for row in questions:
            chat = prompts.render(prompts.of(run), row["context"], variables={"question": row["question"]}).messages
            inputs = tokenizer.apply_chat_template(list(chat), add_generation_prompt=True, return_tensors="pt",
                                                   return_dict=True)  # fmt: skip
            made = model.generate(**inputs, do_sample=False, max_new_tokens=64)
            found.append(tokenizer.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip())
        return len(questions), score("answer", questions, found)

    def measured(**flags: Any) -> Work:
        records = [Record(id=i, text=row["context"], fields=row) for i, row in enumerate(questions)]
        results = ours("answer", records, question="?", **flags)
        return lambda: (len(questions), score("answer", questions, [r.fields["text"] for r in results()]))

    return {"script": script, "llmcli": measured(), "llmcli, float32": measured(dtype="float32"),
            "llmcli --free": measured(free=True)}  # fmt: skip


def generation(count: int) -> dict[str, Work]:
    """Tokens a second, greedy, of the default model of generate; and how many texts are the script's."""
    texts = [PROMPTS[i % len(PROMPTS)] for i in range(count)]
    run = api.open("generate").config
    penalty = run.generation.repetition_penalty or 1.0
    model, tokenizer = opened("generate")
    chats = [tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True,
                                           return_tensors="pt", return_dict=True) for text in texts]  # fmt: skip
    right: list[str] = []

    def judged(tokens: float, made: list[str]) -> tuple[float, str]:
        same = sum(text.strip() == wanted.strip() for text, wanted in zip(made, right, strict=False))
        return tokens, f"{same} of {len(right)} texts the script's"

    def script() -> tuple[float, str]:
        right.clear()
        tokens = 0
        for inputs in chats[: len(PROMPTS)]:  # a loop has one speed, however many rows it has
            made = model.generate(**inputs, do_sample=False, max_new_tokens=TOKENS, repetition_penalty=penalty)
            new = made[0, inputs["input_ids"].shape[1] :]
            tokens += len(new)
            right.append(tokenizer.decode(new, skip_special_tokens=True))
        return tokens, ""

    def measured(**flags: Any) -> Work:
        results = ours("generate", [Record(id=i, text=text) for i, text in enumerate(texts)],
                       max_new_tokens=TOKENS, **flags)  # fmt: skip

        def work() -> tuple[float, str]:
            found = list(results())
            return judged(sum(result.output_tokens for result in found), [result.fields["text"] for result in found])

        return work

    found = {"script": script, "llmcli": measured(), "llmcli, float32": measured(dtype="float32")}
    if peers.ctranslate2():
        other = peers.Apart(peers.Generator, store.whole(run.model, offline=False, report=unheard))
        ids = [inputs["input_ids"][0].tolist() for inputs in chats]
        found["CTranslate2 int8"] = lambda: judged(*other("greedy", ids, most=TOKENS, penalty=penalty))
    if count == 1 and peers.llama():
        llama = peers.Apart(peers.Llama, run)
        found["llama.cpp"] = lambda: judged(*llama("greedy", texts, most=TOKENS, penalty=penalty))
    return found


if __name__ == "__main__":
    main()
