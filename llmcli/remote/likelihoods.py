"""Rungs that read the likelihood of a label's words: each from another extension of OpenAI's protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from llmcli.pipelines.protocol import Choice
from llmcli.remote import protocol
from llmcli.remote.asking import Json, Request
from llmcli.remote.protocol import COMPLETIONS
from llmcli.remote.rungs import Labels, Rung, Unable, normalized, number, together
from llmcli.text.prompts import Rendered


@dataclass(frozen=True)
class Tokens:
    """The tokens of a text as a server reads it, and the log-probability of each after those before it."""

    tokens: list[Any]
    logs: list[Any]


def behind(texts: Sequence[Tokens], start: int) -> list[float]:
    """Log-probability of each text behind its first ``start`` tokens. Raises Unable where one is not told."""
    return [sum(number(log) for log in text.logs[start:]) for text in texts]


def shared(texts: Sequence[Tokens]) -> int:
    """How many tokens all texts begin with."""
    columns = zip(*(text.tokens for text in texts), strict=False)
    return sum(1 for _ in takewhile(lambda column: len({*column}) == 1, columns))


def grouped(labels: Labels, logs: Mapping[str, float]) -> dict[str, float]:
    """Log-probability of each label, of those of its words."""
    return {name: together([logs[word] for word in words]) for name, words in labels.items()}


@dataclass(frozen=True)
class Echo(Rung):
    """Completions with ``echo`` and ``logprobs``: the server reads prompt and word, and tells each token's probability.

    Some servers leave the prompt out: then this is not possible. One token is written, for ``max_tokens: 0`` is refused
    by some, and to others means as many as there is room for.
    """

    name = "echo"
    several = True

    def choose(self, prompt: Rendered, labels: Labels, *, multi: bool) -> Choice:
        """See Rung. What all texts begin with is the same for all labels, wherever tokens meet."""
        words = list(dict.fromkeys(word for group in labels.values() for word in group))
        begin = prompt.prefix + prompt.row
        texts = [self.read(begin + word) for word in words]
        start = shared([self.read(begin), *texts] if multi or len(words) == 1 else texts)
        logs = dict(zip(words, behind(texts, start), strict=True))
        return Choice(normalized(grouped(labels, logs), multi=multi), start, self.name)

    def likelihood(self, prompt: Rendered, answer: str) -> float:
        """Mean log-probability a token of an answer after its prompt."""
        begin = prompt.prefix + prompt.row
        whole = self.read(begin + answer)
        start = shared([self.read(begin), whole])
        return behind([whole], start)[0] / max(len(whole.tokens) - start, 1)

    def read(self, text: str) -> Tokens:
        """A text's tokens and their log-probabilities. Raises Unable where they are not all there."""
        body = {"model": self.model, "prompt": text, "max_tokens": 1, "temperature": 0, "echo": True,
                "logprobs": 1}  # fmt: skip
        return self.asks.ask(Request(COMPLETIONS, body), lambda answer: self._read(answer, text))

    def _read(self, answer: Json, text: str) -> Tokens:
        choice = protocol.choices(answer)[0]
        told = protocol.obj(choice.get("logprobs"))
        tokens, logs = told.get("tokens"), told.get("token_logprobs")
        if not isinstance(tokens, list) or not isinstance(logs, list) or len(tokens) != len(logs):
            raise Unable("no log-probabilities of the prompt")
        size = protocol.usage(answer).read
        if size is None or not 0 <= len(tokens) - size <= 1:
            raise Unable("the prompt's positions are not all there")
        if not str(choice.get("text", "")).startswith(text) or size < 2 or size * 64 < len(text):
            raise Unable("the prompt's positions are not there")
        return Tokens(tokens[:size], logs[:size])


@dataclass(frozen=True)
class ChatPrompt(Rung):
    """Chat with vLLM's ``prompt_logprobs``: a word as the model's own answer, which the server reads."""

    name = "prompt-logprobs"
    several = True

    def choose(self, prompt: Rendered, labels: Labels, *, multi: bool) -> Choice:
        """See Rung. A label's name is its word: those in the YAML are for another prompt."""
        own = {name: [name] for name in labels}
        texts = [self._read_on(prompt, name) for name in own]
        start = shared([self._read_on(prompt, ""), *texts] if multi else texts)
        logs = dict(zip(own, behind(texts, start), strict=True))
        return Choice(normalized(logs, multi=multi), start, self.name, likely=False)

    def _read_on(self, prompt: Rendered, word: str) -> Tokens:
        request = self.chat(prompt, max_tokens=1, prompt_logprobs=0, add_generation_prompt=not word)
        if word:
            said = [*request.body["messages"], {"role": "assistant", "content": word}]
            request = Request(request.path, {**request.body, "messages": said, "continue_final_message": True})
        return self.asks.ask(request, self._read)

    def _read(self, answer: Json) -> Tokens:
        told = answer.get("prompt_logprobs")
        if not isinstance(told, list) or len(told) < 2:
            raise Unable("no log-probabilities of the prompt")
        tokens: list[Any] = []
        logs: list[Any] = []
        for one in told:
            if one is None:
                one = {"": {"logprob": None}}
            if not isinstance(one, dict) or len(one) != 1:
                raise Unable("a position of the prompt has no token, or several")
            ((token, value),) = one.items()
            tokens.append(token)
            logs.append(protocol.obj(value).get("logprob"))
        return Tokens(tokens, logs)


@dataclass(frozen=True)
class TokenIds(Rung):
    """Completions with vLLM's ``logprob_token_ids``: the next token's probability, of those that are asked for.

    The words are a tree of tokens, and each of its inner nodes is a request: one, where words are single tokens.
    """

    name = "token-ids"
    several = True

    def choose(self, prompt: Rendered, labels: Labels, *, multi: bool) -> Choice:
        """See Rung."""
        words = {word: tuple(self._tokens(word, special=False)) for group in labels.values() for word in group}
        begin = self._tokens(prompt.prefix + prompt.row, special=True)
        nodes: dict[tuple[int, ...], list[int]] = {}
        for word in words.values():
            for place, token in enumerate(word):
                if token not in nodes.setdefault(word[:place], []):
                    nodes[word[:place]].append(token)
        told = {node: self._next([*begin, *node], tokens) for node, tokens in nodes.items()}
        logs = {
            text: sum(told[word[:place]][token] for place, token in enumerate(word)) for text, word in words.items()
        }
        return Choice(normalized(grouped(labels, logs), multi=multi), len(begin), self.name)

    def _tokens(self, text: str, *, special: bool) -> list[int]:
        body = {"model": self.model, "prompt": text, "add_special_tokens": special}
        return self.asks.ask(Request("//tokenize", body), _ids)

    def _next(self, ids: list[int], tokens: list[int]) -> dict[int, float]:
        body = {"model": self.model, "prompt": ids, "max_tokens": 1, "temperature": 0, "logprobs": 1,
                "logprob_token_ids": tokens, "return_tokens_as_token_ids": True}  # fmt: skip
        return self.asks.ask(Request(COMPLETIONS, body), lambda answer: _told(answer, tokens))


def _ids(answer: Json) -> list[int]:
    tokens = answer.get("tokens")
    if not isinstance(tokens, list) or not tokens or not all(isinstance(token, int) for token in tokens):
        raise Unable("no tokens")
    return tokens


def _told(answer: Json, tokens: list[int]) -> dict[int, float]:
    tops = protocol.objs(protocol.obj(protocol.choices(answer)[0].get("logprobs")).get("top_logprobs"))
    if not tops:
        raise Unable("no log-probabilities of the next token")
    missing = [token for token in tokens if f"token_id:{token}" not in tops[0]]
    if missing:
        raise Unable("no log-probabilities of the tokens that were asked for")
    return {token: number(tops[0][f"token_id:{token}"]) for token in tokens}
