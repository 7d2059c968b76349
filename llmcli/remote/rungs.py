"""Ways to choose a label with a server, each a rung of the ladder in scoring.py. None of them invents a score.

Likelihoods of a label's words: ``token-ids``, ``echo`` (after the prompt that local models read), ``prompt-logprobs``
(as the answer of a chat). Probabilities of an option: ``decisions``, ``top-logprobs``. A label alone: ``enum``,
``answer``.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from llmcli.errors import AnswerError
from llmcli.pipelines.protocol import Choice
from llmcli.remote import protocol
from llmcli.remote.asking import Asks, Json, Request
from llmcli.remote.protocol import CHAT
from llmcli.text.prompts import Rendered

Labels = Mapping[str, Sequence[str]]
LETTERS = "ABCDEFGHIJKLMNOPQRST"
"""What options are called: as many as a server tells the likeliest tokens of."""
LONGEST = 64
"""Tokens of an answer that is a label, and of the braces around it."""


class Unable(Exception):
    """The server's answer shows that it cannot do this: why."""


@dataclass(frozen=True)
class Rung(ABC):
    """A way to choose a label: the server, its name for the model, and what else each request says.

    ``several``: it can tell each label's probability by itself.
    """

    name: ClassVar[str] = ""
    several: ClassVar[bool] = False

    asks: Asks
    model: str
    more: Mapping[str, Any]
    limit: int = 0

    @property
    def called(self) -> str:
        """The rung's name, and what distinguishes it from others of that name."""
        return f"{self.name} {self.limit}"

    def chat(self, prompt: Rendered, **body: Any) -> Request:
        """The request of a chat, with no more said than what every rung says."""
        messages = [dict(message) for message in prompt.messages]
        return Request(CHAT, {"model": self.model, "messages": messages, "temperature": 0, **self.more, **body})

    @abstractmethod
    def choose(self, prompt: Rendered, labels: Labels, *, multi: bool) -> Choice:
        """The choice for one prompt. Raises AnswerError, Unable."""


def normalized(logs: Mapping[str, float], *, multi: bool) -> dict[str, float]:
    """Probabilities of log-probabilities: they sum to 1, unless several labels may hold."""
    if multi:
        return {name: math.exp(min(log, 0.0)) for name, log in logs.items()}
    top = max(logs.values())
    weights = {name: math.exp(log - top) for name, log in logs.items()}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def number(value: Any) -> float:
    """A log-probability. Raises Unable for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        raise Unable("a log-probability is no number")
    return float(value)


def together(logs: Sequence[float]) -> float:
    """The log of a sum of probabilities."""
    top = max(logs)
    return top + math.log(sum(math.exp(log - top) for log in logs))


@dataclass(frozen=True)
class Decisions(Rung):
    """``/v1/decisions``: OpenAI's and SGLang's endpoint for typed questions."""

    name = "decisions"
    several = True

    def choose(self, prompt: Rendered, labels: Labels, *, multi: bool) -> Choice:
        """See Rung. One question with all labels, or one a label where several may hold."""
        said = [message["content"] for message in prompt.messages if message["role"] == "system"]
        how = " ".join(said) or "Which label fits the text?"
        if multi:
            questions: list[dict[str, Any]] = [
                {"type": "predicate", "name": f"label{place}", "instructions": f"{how} Does the label {name!r} fit?"}
                for place, name in enumerate(labels)
            ]
        else:
            choices = [{"value": name} for name in labels]
            questions = [{"type": "choice", "name": "label", "instructions": how, "choices": choices}]
        text = prompt.messages[-1]["content"] if prompt.messages else prompt.row
        body = {"model": self.model, "input": text, "questions": questions}
        return self.asks.ask(Request("/decisions", body), lambda answer: self._read(answer, labels, multi=multi))

    def _read(self, answer: Json, labels: Labels, *, multi: bool) -> Choice:
        answers = protocol.objs(answer.get("answers"))
        if not answers:
            raise Unable("no answers")
        if any(one.get("type") == "refusal" for one in answers):
            raise AnswerError("the server's model refuses to decide", code="refused")
        if multi:
            scores = dict(zip(labels, (number(one.get("probability")) for one in answers), strict=False))
        else:
            told = protocol.objs(answers[0].get("probabilities"))
            scores = {str(one.get("value")): number(one.get("probability")) for one in told}
        if scores.keys() != labels.keys():
            raise Unable("a label has no probability")
        read = protocol.obj(answer.get("usage")).get("input_tokens")
        return Choice(scores, read if isinstance(read, int) else 0, self.name, likely=False)


@dataclass(frozen=True)
class Letters(Rung):
    """Chat ``top_logprobs``: the labels are options with letters, and the probability of each letter counts."""

    limit: int = 20
    name = "top-logprobs"

    def choose(self, prompt: Rendered, labels: Labels, *, multi: bool) -> Choice:
        """See Rung. A letter that is not among the likeliest tokens has no probability worth counting: 0."""
        if len(labels) > len(LETTERS):
            raise Unable(f"more than {len(LETTERS)} labels")
        letters = dict(zip(LETTERS, labels, strict=False))
        options = "\n".join(f"{letter}) {name}" for letter, name in letters.items())
        asked = _asking(prompt, f"Options:\n{options}\n\nAnswer with the letter of one option alone.",
                        _answers(labels, {name: letter for letter, name in letters.items()}))  # fmt: skip
        request = self.chat(asked, max_tokens=1, logprobs=True, top_logprobs=self.limit)
        return self.asks.ask(request, lambda answer: self._read(answer, letters))

    def _read(self, answer: Json, letters: Mapping[str, str]) -> Choice:
        choice, read = protocol.choices(answer)[0], protocol.usage(answer).read or 0
        told = protocol.objs(protocol.obj(choice.get("logprobs")).get("content"))
        if not told:
            return self._bare(answer, letters, read)
        found: dict[str, list[float]] = {}
        for one in protocol.objs(told[0].get("top_logprobs")):
            if (letter := str(one.get("token")).strip().rstrip(").")) in letters:
                found.setdefault(letters[letter], []).append(number(one.get("logprob")))
        if not found:
            raise AnswerError("the server's model names none of the labels", code="no-label")
        logs = {name: together(found[name]) for name in letters.values() if name in found}
        scores = dict.fromkeys(letters.values(), 0.0) | normalized(logs, multi=False)
        return Choice(scores, read, self.name, likely=False)

    def _bare(self, answer: Json, letters: Mapping[str, str], read: int) -> Choice:
        raise Unable("no log-probabilities of the answer")


class Answered(Letters):
    """The same from files, whose answers may come without log-probabilities: then the letter alone counts."""

    def _bare(self, answer: Json, letters: Mapping[str, str], read: int) -> Choice:
        letter = protocol.written(answer)[0].text.strip().rstrip(").")
        if letter not in letters:
            raise AnswerError("the server's model names none of the labels", code="no-label")
        return Choice({}, read, Plain.name, label=letters[letter])


@dataclass(frozen=True)
class Enum(Rung):
    """``response_format``: the server lets the model write one of the labels and nothing else. There is no score."""

    name = "enum"

    def choose(self, prompt: Rendered, labels: Labels, *, multi: bool) -> Choice:
        """See Rung."""
        names = [*labels]
        schema = {"type": "object", "properties": {"label": {"type": "string", "enum": names}},
                  "required": ["label"], "additionalProperties": False}  # fmt: skip
        asked = _asking(prompt, f'Labels: {", ".join(names)}.\n\nAnswer with JSON: {{"label": ONE OF THEM}}.',
                        _answers(labels, {name: json.dumps({"label": name}) for name in names}))  # fmt: skip
        form = {"type": "json_schema", "json_schema": {"name": "label", "strict": True, "schema": schema}}
        request = self.chat(asked, max_tokens=LONGEST, response_format=form)
        return self.asks.ask(request, lambda answer: self._read(answer, names))

    def _read(self, answer: Json, names: Sequence[str]) -> Choice:
        text = protocol.written(answer)[0].text
        try:
            label = json.loads(text)["label"]
        except (ValueError, KeyError, TypeError, RecursionError):
            label = None
        if label not in names:
            raise Unable("its answer is not of the form that was asked for")
        return Choice({}, protocol.usage(answer).read or 0, self.name, label=label)


@dataclass(frozen=True)
class Plain(Rung):
    """A chat answer that is a label's name, and nothing else. There is no score."""

    name = "answer"

    def choose(self, prompt: Rendered, labels: Labels, *, multi: bool) -> Choice:
        """See Rung."""
        names = [*labels]
        asked = _asking(prompt, f"Labels: {', '.join(names)}.\n\nAnswer with one of them alone.",
                        _answers(labels, {name: name for name in names}))  # fmt: skip
        request = self.chat(asked, max_tokens=LONGEST)
        return self.asks.ask(request, lambda answer: self._read(answer, names))

    def _read(self, answer: Json, names: Sequence[str]) -> Choice:
        text = protocol.written(answer)[0].text.strip().strip("\"'`*.").casefold()
        found = [name for name in names if name.casefold() == text]
        if len(found) != 1:
            raise AnswerError("the server's model names none of the labels", code="no-label")
        return Choice({}, protocol.usage(answer).read or 0, self.name, label=found[0])


def _answers(labels: Labels, given: Mapping[str, str]) -> dict[str, str]:
    """What stands in the examples for each label, and what a row is to be answered with."""
    return {word.strip(): given[name] for name, words in labels.items() for word in (name, *words)}


def _asking(prompt: Rendered, options: str, answers: Mapping[str, str]) -> Rendered:
    """The prompt with the options behind its last message; its examples answer as the row is to be answered."""
    messages = [dict(message) for message in prompt.messages]
    for message in messages:
        if message["role"] == "assistant":
            message["content"] = answers.get(message["content"].strip(), message["content"])
    messages[-1]["content"] += f"\n\n{options}"
    return replace(prompt, messages=tuple(messages))
