"""OpenAI's protocol: the bodies of requests, and what their answers say.

Chat and completions: https://platform.openai.com/docs/api-reference. What an answer lacks is not guessed: a reading
raises Unanswered for one of another shape, and the request is asked again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmcli.config.schemas import Generation
from llmcli.errors import AnswerError
from llmcli.pipelines.protocol import Completion
from llmcli.remote.asking import Json, Request
from llmcli.remote.transport import Unanswered
from llmcli.text.prompts import Rendered

if TYPE_CHECKING:
    from llmcli.config.model_config import ModelConfig

CHAT, COMPLETIONS = "/chat/completions", "/completions"
STOPS = 4
"""The most stop texts of a request; what is behind others is cut off here."""
CUT = 256
"""Tokens of a continuation where nothing is said: a server's own default is 16."""
_UNWRITABLE = re.compile("[\ud800-\udfff\0]")


@dataclass(frozen=True)
class Usage:
    """Tokens read and written; None where the server does not say."""

    read: int | None = None
    written: int | None = None


@dataclass(frozen=True)
class Written:
    """A text that a server wrote, and why it ends; what it thought before, where that came apart from it."""

    text: str
    finish_reason: str
    usage: Usage
    thinking: str = ""


def asked(
    model: str, prompt: Rendered, generation: Generation, *, count: int = 1, more: Mapping[str, Any] | None = None
) -> Request:
    """The request for so many texts behind a prompt. Its seed is the row's own, and counts where tokens are drawn."""
    body: dict[str, Any] = {"model": model}
    if prompt.messages:
        body["messages"] = [dict(message) for message in prompt.messages]
    else:
        body["prompt"] = prompt.prefix + prompt.row
    most = generation.max_new_tokens or (None if prompt.messages else CUT)
    if most:
        body["max_tokens"] = most
    body["temperature"] = generation.temperature or 0
    if generation.sampled:
        seed = generation.seed if prompt.seed is None else prompt.seed
        body |= {name: value for name, value in (("top_p", generation.top_p), ("seed", seed)) if value is not None}
    if generation.stop:
        body["stop"] = generation.stop[:STOPS]
    if count > 1:
        body["n"] = count
    return Request(CHAT if prompt.messages else COMPLETIONS, body | dict(more or {}))


def more(config: ModelConfig) -> dict[str, Any]:
    """What each request to a chat model says besides: the variables of its chat template."""
    kwargs = config.chat_template_kwargs
    return {"chat_template_kwargs": kwargs} if kwargs else {}


def obj(value: Any) -> Json:
    """A JSON object; an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def objs(value: Any) -> list[Json]:
    """A JSON array of objects; an empty one in place of anything else."""
    return value if isinstance(value, list) and all(isinstance(one, dict) for one in value) else []


def choices(answer: Json) -> list[Json]:
    """The choices of an answer by their index. Raises Unanswered where there is none."""
    found = objs(answer.get("choices"))
    if not found:
        raise Unanswered("its answer has no choices")
    places = [choice.get("index", place) for place, choice in enumerate(found)]
    if not all(isinstance(place, int) for place in places) or len({*places}) < len(places):
        raise Unanswered("the choices of its answer have no places")
    return [choice for _, choice in sorted(zip(places, found, strict=True), key=lambda pair: pair[0])]


def written(answer: Json, *, stop: Iterable[str] = ()) -> list[Written]:
    """The texts of an answer. Raises Unanswered for one of another shape, AnswerError for a refusal."""
    return [_written(choice, usage(answer), stop) for choice in choices(answer)]


def _written(choice: Json, used: Usage, stop: Iterable[str]) -> Written:
    message = choice.get("message", choice)
    if not isinstance(message, dict):
        raise Unanswered("a choice of its answer has no message")
    text = message.get("content" if "message" in choice else "text")
    thinking = message.get("reasoning_content") or message.get("reasoning") or ""
    if text is None and (thinking or choice.get("finish_reason") == "length"):
        text = ""
    if isinstance(message.get("refusal"), str) and not text:
        raise AnswerError("the server's model refuses to answer", code="refused")
    if not isinstance(text, str) or not isinstance(thinking, str):
        raise Unanswered("a choice of its answer has no text")
    return whole(text, choice.get("finish_reason"), used, thinking=thinking, stop=stop)


def whole(text: str, reason: Any, used: Usage, *, thinking: str = "", stop: Iterable[str] = ()) -> Written:
    """A text that can be written. Raises Unanswered, AnswerError."""
    if _UNWRITABLE.search(text) or _UNWRITABLE.search(thinking):
        raise Unanswered("its answer holds NUL, or what is no character")
    if reason == "content_filter":
        raise AnswerError("the server's filter has cut the answer", code="filtered")
    if reason in ("tool_calls", "function_call"):
        raise AnswerError("the server's model calls a tool, and answers nothing", code="refused")
    ended = False
    for mark in stop:
        if mark in text:
            text, ended = text[: text.index(mark)], True
    return Written(text, "length" if reason == "length" and not ended else "stop", used, thinking)


def usage(answer: Json) -> Usage:
    """The tokens that an answer says it took."""
    told = obj(answer.get("usage"))
    read, wrote = (
        value if isinstance(value := told.get(name), int) and value >= 0 else None
        for name in ("prompt_tokens", "completion_tokens")
    )
    return Usage(read, wrote)


def events(pieces: Iterator[bytes]) -> Iterator[Json]:
    """The JSON of the server-sent events of a stream. Raises Unanswered for what is none."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            data = line.strip().removeprefix(b"data:").strip() if line.startswith(b"data:") else b""
            if data and data != b"[DONE]":
                yield _event(data)


def _event(data: bytes) -> Json:
    try:
        event = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unanswered("a piece of its answer is not JSON") from error
    if not isinstance(event, dict) or event.get("error"):
        raise Unanswered("its answer ends with an error")
    return event


def streamed(pieces: Iterator[bytes], emit: Callable[[str], None]) -> Written:
    """The text of a stream, each piece of it heard as it comes. Raises Unanswered, AnswerError.

    It is whole when it says why it ends: not every server sends OpenAI's last event behind that.
    """
    texts: list[str] = []
    thoughts: list[str] = []
    reason, used = None, Usage()
    for event in events(pieces):
        if isinstance(event.get("usage"), dict):
            used = usage(event)
        for choice in objs(event.get("choices")):
            delta = obj(choice.get("delta", choice))
            piece = delta.get("content" if "delta" in choice else "text")
            if isinstance(thought := delta.get("reasoning_content") or delta.get("reasoning"), str):
                thoughts.append(thought)
            if isinstance(piece, str) and piece:
                if _UNWRITABLE.search(piece):
                    raise Unanswered("its answer holds NUL, or what is no character")
                texts.append(piece)
                emit(piece)
            reason = choice.get("finish_reason") or reason
    if reason is None:
        raise Unanswered("its answer broke off")
    return whole("".join(texts), reason, used, thinking="".join(thoughts))


def completion(made: Written, prompt: Rendered, count: Callable[[str], int]) -> Completion:
    """What tasks see of a text; where the server does not count tokens, they are estimated."""
    read, wrote = made.usage.read, made.usage.written
    said = prompt.prefix + prompt.row + "\n".join(message["content"] for message in prompt.messages)
    return Completion(
        made.text, count(said) if read is None else read, count(made.text) if wrote is None else wrote,
        made.finish_reason, thinking=made.thinking,
    )  # fmt: skip
