"""Answers of any shape: what a server says may be wrong, and is never a bug here."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llmcli.errors import AnswerError
from llmcli.remote import protocol
from llmcli.remote.likelihoods import ChatPrompt, Echo, TokenIds
from llmcli.remote.rungs import Answered, Decisions, Enum, Labels, Letters, Plain, Rung, Unable
from llmcli.remote.transport import Unanswered
from llmcli.text.prompts import Rendered

PROMPT = Rendered(row="One", messages=({"role": "user", "content": "One?"},))
LABELS: Labels = {"sea": [" sea"], "river": [" river"]}
OTHERS: list[Any] = [None, True, 7, -1.5, "x", "", [], [7], [[]], {}, {"x": 7}, ["x", "y"], 10**400]
USAGE = {"prompt_tokens": 2, "completion_tokens": 1, "input_tokens": 2}
TOPS = [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -2.5}]


def choice(**more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "finish_reason": "stop", **more}], "usage": USAGE}


def chat(text: str, **more: Any) -> dict[str, Any]:
    return choice(message={"role": "assistant", "content": text}, **more)


SCORED = chat("A", logprobs={"content": [{"token": "A", "logprob": -0.1, "top_logprobs": TOPS}]})
ECHO = choice(text="One sea!", logprobs={"tokens": ["One", " sea", "!"], "token_logprobs": [None, -1.0, -2.0]})
DECIDED = {"answers": [{"type": "choice", "probabilities": [{"value": "sea", "probability": 0.8},
                                                            {"value": "river", "probability": 0.2}]}],
           "usage": USAGE}  # fmt: skip
EACH = {"answers": [{"type": "predicate", "probability": 0.8}, {"type": "predicate", "probability": 0.2}]}
LOGS = {"prompt_logprobs": [None, {"5": {"logprob": -1.0}}, {"6": {"logprob": -1.0}}]}
IDS = {"tokens": [5, 6]}
NEXT = choice(text="", logprobs={"top_logprobs": [{"token_id:5": -1.0, "token_id:6": -2.0}]})


class Asks:
    """Gives one answer to all requests; another to those for tokens."""

    def __init__(self, answer: Any, tokens: Any = None) -> None:
        self.answer, self.tokens = answer, tokens

    def ask(self, request: Any, read: Callable[[Any], Any]) -> Any:
        return read(self.tokens if request.path == "//tokenize" else self.answer)


def chosen(kind: type[Rung], *, multi: bool = False, tokens: Any = None) -> Callable[[Any], Any]:
    return lambda answer: kind(Asks(answer, tokens), "m", {}).choose(PROMPT, LABELS, multi=multi)


def streamed(answer: Any) -> Any:
    return protocol.streamed(iter([b"data: " + json.dumps(answer).encode() + b"\n"]), lambda piece: None)


CASES: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "text": (protocol.written, chat("Yes.", reasoning_content="Hm.", refusal=None)),
    "completion": (protocol.written, choice(text="Yes.")),
    "stream": (streamed, choice(delta={"content": "Yes.", "reasoning": "Hm."})),
    "letters": (chosen(Letters), SCORED),
    "answered": (chosen(Answered), SCORED),
    "letter": (chosen(Answered), chat("A", logprobs=None)),
    "enum": (chosen(Enum), chat('{"label": "sea"}')),
    "plain": (chosen(Plain), chat("Sea.")),
    "decisions": (chosen(Decisions), DECIDED),
    "decisions of each": (chosen(Decisions, multi=True), EACH),
    "echo": (lambda answer: Echo(Asks(answer), "m", {}).read("One sea"), ECHO),
    "prompt-logprobs": (chosen(ChatPrompt), LOGS),
    "token-ids": (chosen(TokenIds, tokens=IDS), NEXT),
    "tokenize": (lambda tokens: chosen(TokenIds, tokens=tokens)(NEXT), IDS),
}


def changed(value: Any) -> Iterator[Any]:
    """The value with each part of it in turn replaced by things that do not belong there, or left out."""
    yield from OTHERS
    if isinstance(value, dict):
        for name in value:
            yield {other: one for other, one in value.items() if other != name}
            yield from ({**value, name: one} for one in changed(value[name]))
    if isinstance(value, list):
        for place in range(len(value)):
            yield from ([*value[:place], one, *value[place + 1 :]] for one in changed(value[place]))


@pytest.mark.parametrize("case", CASES)
def test_an_answer_of_another_shape_is_none(case: str):
    read, good = CASES[case]
    assert read(good)
    for answer in changed(good):
        if not isinstance(answer, dict):
            continue  # that is found out before
        try:
            found = read(answer)
        except (Unanswered, Unable, AnswerError):
            continue
        scores = getattr(found, "scores", {})
        assert all(math.isfinite(score) for score in scores.values()), answer
