"""What vectors find: ``python -m tests.benchmarks.vectors DATA_FOLDER [--model NAME] [--dtype NAME]``.

Reads ``answer.squad2.*.jsonl`` (context, question): how often a question's own context is the nearest of 100, as
``similar`` scores them, and rows a second. Then ``translate.wmt22.en-*.jsonl`` (text): to sentences that differ, copies
are added that are changed in a known way, and the paraphrases below: precision and recall of ``dedupe`` by threshold.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llmcli import tasks
from llmcli.config.run_config import AnyConfig
from llmcli.errors import LlmcliError
from llmcli.pipelines.load import load
from llmcli.reports import unheard
from llmcli.run.records import Record, Result
from llmcli.run.resolve import resolve
from llmcli.tasks import _vectors, dedupe

CONTEXTS, QUESTIONS, SENTENCES = 100, 50, 60
THRESHOLDS = (0.8, 0.85, 0.9, 0.95)
PARAPHRASES = (
    ("How can I reset my password?", "What do I do to change a password that I forgot?"),
    ("The parcel arrived two days late.", "My package was delivered two days later than promised."),
    ("The app crashes whenever I open the settings.", "Opening the settings makes the app crash every time."),
    ("Please cancel my subscription at the end of the month.", "I would like my subscription to end this month."),
    ("The company reported higher profits than expected.", "Profits at the firm were better than forecast."),
    ("It rained so hard that the match was called off.", "The match was cancelled because of heavy rain."),
    ("She moved to Berlin to study medicine.", "To study medicine, she relocated to Berlin."),
    ("The museum is closed on Mondays.", "On Mondays the museum does not open."),
    ("Scientists discovered a new species of frog in Peru.", "A previously unknown frog was found in Peru."),
    ("The battery lasts only three hours.", "After just three hours the battery is empty."),
)


def main() -> None:
    """Print the share of nearest contexts, then a line a threshold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--dtype")
    given = parser.parse_args()
    settings = {name: value for name in ("model", "dtype") if (value := getattr(given, name))}
    config = resolve(tasks.get("embed"), settings)
    model = load(config, report=unheard)
    retrieval(model, config, next(given.folder.glob("answer.squad2.*.jsonl")))
    duplicates(model, config, next(given.folder.glob("translate.wmt22.en-de*.jsonl")))


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def read(model: Any, config: AnyConfig, texts: Sequence[str]) -> list[_vectors.Embedded]:
    """The texts' vectors, as the tasks read them: in windows."""
    made: list[_vectors.Embedded] = []
    for start in range(0, len(texts), _vectors.WINDOW):
        for one in _vectors.read(model, config, texts[start : start + _vectors.WINDOW]):
            if isinstance(one, LlmcliError):
                raise one
            made.append(one)
    return made


def retrieval(model: Any, config: AnyConfig, path: Path) -> None:
    """How often a question's own context is the nearest."""
    given = rows(path)
    contexts = list(dict.fromkeys(row["context"] for row in given))[:CONTEXTS]
    asked = [row for row in given if row["context"] in contexts and any(row["answers"])][:QUESTIONS]
    start = time.monotonic()
    stored = read(model, config, contexts)
    seconds = time.monotonic() - start
    right = 0
    for row, question in zip(asked, read(model, config, [row["question"] for row in asked]), strict=True):
        scores = [max(_vectors.dot(question.vector, chunk.vector) for chunk in one.chunks) for one in stored]
        right += contexts[scores.index(max(scores))] == row["context"]
    tokens = sum(one.tokens for one in stored)
    print(f"similar: {right} of {len(asked)} questions have their context first of {len(contexts)}")
    print(
        f"embed: {len(contexts) / seconds:.1f} rows/s, {tokens / seconds:.0f} tokens/s, of {tokens} tokens", flush=True
    )


def _typo(text: str) -> str:
    """Two letters in the middle of the longest word change places."""
    word = max(text.split(), key=len)
    middle = len(word) // 2
    return text.replace(word, word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :], 1)


def _turned(text: str) -> str:
    """The second half stands first."""
    words = text.split()
    return " ".join([*words[len(words) // 2 :], *words[: len(words) // 2]])


CHANGES: dict[str, Callable[[str], str]] = {
    "case": str.upper,
    "punctuation": lambda text: "".join(c for c in text if c.isalnum() or c.isspace()) + "!!",
    "typo": _typo,
    "order": _turned,
}


def duplicates(model: Any, config: AnyConfig, path: Path) -> None:
    """Precision and recall of dedupe; a row counts where it joins its own original."""
    bare = {"".join(filter(str.isalnum, row["text"])).lower(): row["text"] for row in rows(path)}  # they differ
    base = [text for text in bare.values() if 6 <= len(text.split()) <= 30]
    kinds = [*CHANGES]
    changed = [
        (CHANGES[kinds[n % len(kinds)]](text), n, kinds[n % len(kinds)]) for n, text in enumerate(base[:SENTENCES])
    ]
    firsts = [*base[: 2 * SENTENCES], *(one for one, _ in PARAPHRASES)]
    changed += [(other, len(firsts) - len(PARAPHRASES) + n, "paraphrase") for n, (_, other) in enumerate(PARAPHRASES)]
    texts = [*firsts, *(text for text, *_ in changed)]
    records = [Record(id=number, text=text) for number, text in enumerate(texts)]
    answers = dedupe.answer(model, config, records)
    for threshold in THRESHOLDS:
        print(f"dedupe {threshold}: {judged(answers, changed, len(firsts), threshold)}", flush=True)


def judged(answers: list[Result], changed: list[tuple[str, int, str]], firsts: int, threshold: float) -> str:
    """Precision, recall, and recall by kind of change."""
    found = [one.result.fields["duplicate_of"] for one in dedupe._judged(iter(answers), threshold)]
    hits = {kind: [found[firsts + n] == first for n, (_, first, of) in enumerate(changed) if of == kind]
            for kind in (*CHANGES, "paraphrase")}  # fmt: skip
    right, said = sum(map(sum, hits.values())), sum(one is not None for one in found)
    kinds = ", ".join(f"{kind} {sum(hit)}/{len(hit)}" for kind, hit in hits.items())
    return f"precision {right / max(said, 1):.3f} ({right}/{said}), recall {right / len(changed):.3f}; {kinds}"


if __name__ == "__main__":
    main()
