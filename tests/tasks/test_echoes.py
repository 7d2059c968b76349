"""No task gives a piece of its prompt's own examples for an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmcli.pipelines.protocol import Completion

EXAMPLE = "Sorry for the delay, your parcel left our warehouse this morning and should reach you tomorrow."


def answering(*texts: str) -> Any:
    """A model that gives these texts, best first, for every prompt."""

    def complete(prompts: Any, generation: Any, *, emit: Any = None) -> list[list[Completion]]:
        each = generation.num_return_sequences or 1
        beams = [Completion(texts[place % len(texts)], 1, 1, "stop", -float(place)) for place in range(each)]
        return [beams for _ in prompts]

    return complete


@pytest.mark.parametrize(("beams", "out"), [((EXAMPLE,), "Bonjour.\n"), ((EXAMPLE, "Hello."), "Hello.\n")])
def test_translate_takes_another_beam_or_leaves_it(cli, fake, monkeypatch, beams: tuple[str, ...], out: str):
    monkeypatch.setattr(fake, "complete", answering(*beams))
    done = cli("translate", "-t", "en", "-f", "fr", "Bonjour.")
    assert (done.code, done.out) == (0, out)
    assert ("no translation of its own" in done.err) == (out == "Bonjour.\n")


@pytest.mark.parametrize(
    "line",
    [
        "</p>",
        '<a href="x">',
        "https://example.org/ueber-uns",
        "me@example.org",
        "`code`",
        "{name}",
        "&nbsp;",
        ">>> import httpx",
        "$ ls -la",
        "lese_datei() --x=y",
        'href="x">',
        "(a)",
        "§ 4 b",
    ],
)
def test_a_line_without_a_word_goes_out_as_it_came(cli, fake, line: str):
    done = cli("translate", "-t", "en", "-f", "de", line)
    assert (done.code, done.out, fake.prompts) == (0, f"{line}\n", [])


EXAMPLES = {
    "summarize": (["--method", "abstractive"], "The old bridge will be closed to cars next spring because of rust."),
    "code": ([], "```python\ndef count_vowels(text):\n    return sum(1 for c in text.lower() if c in \"aeiou\")\n```"),
}  # fmt: skip


@pytest.mark.parametrize("task", EXAMPLES)
def test_elsewhere_it_is_an_error_row(cli, fake, monkeypatch, task: str):
    options, echo = EXAMPLES[task]
    monkeypatch.setattr(fake, "complete", answering(echo))
    done = cli(task, *options, "-m", "gemma-3-270m", "--lines", "--json", stdin="Rain fell all day.\n")
    assert (done.code, json.loads(done.out)["error"]["code"]) == (5, "echo")
