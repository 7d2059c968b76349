"""A request that is asked until it is answered, or until it is clear that it will not be."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar

from llmcli.errors import AnswerError, GenerationError, ServerError
from llmcli.remote.pace import Pace
from llmcli.remote.transport import KEY, Reply, Transport, Unanswered

T = TypeVar("T")
Json = Mapping[str, Any]
ATTEMPTS, SLOW = 6, 2
"""How often a request is asked, and one whose time was up."""
PATIENCE = 600.0
"""Seconds for which a server may put a request off."""
PAUSE, LONGEST = 0.5, 30.0
"""Seconds before the second attempt, and the most before a later one."""
AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 529})
"""What a server says that may be otherwise the next time."""
PUT_OFF = (429, 503)
HOPELESS = 8
"""So many refusals and not one answer: it is not the rows."""


_TOO_LONG = re.compile(r"context (length|size|window)|too many tokens", re.IGNORECASE)


class Refused(AnswerError):
    """A request that the server will not answer, however often it is asked."""

    default_code = "refused"

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Request:
    """What is asked of a server: a path behind its URL, and a JSON body."""

    path: str
    body: Mapping[str, Any]

    def text(self) -> str:
        """The same for the same request."""
        return json.dumps([self.path, self.body], sort_keys=True, ensure_ascii=False)


class Asks(Protocol):
    """Answers requests: over the network, or from files."""

    def ask(self, request: Request, read: Callable[[Json], T]) -> T:
        """What ``read`` makes of the answer. Raises AnswerError for this request, ServerError for all."""


def parsed(reply: Reply) -> Json:
    """The JSON object of an answer. Raises Unanswered."""
    try:
        values = json.loads(reply.body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        kind = f" ({reply.kind})" if "json" not in reply.kind else ""
        raise Unanswered(f"its answer is not JSON{kind}", status=reply.status) from error
    if not isinstance(values, dict):
        raise Unanswered("its answer is no JSON object", status=reply.status)
    return values


def _no_number(constant: str) -> float:
    raise ValueError(constant)


class Asker:
    """Asks one server, again where that may help. Used by many threads."""

    def __init__(self, transport: Transport, pace: Pace) -> None:
        self.transport, self.pace = transport, pace
        self._answered, self._refusals = 0, 0
        self._lock = threading.Lock()

    def ask(self, request: Request, read: Callable[[Json], T]) -> T:
        """See Asks."""
        try:
            return self.probe(request, read)
        except Refused as error:
            with self._lock:
                self._refusals += 1
            if not self._answered and self._refusals >= HOPELESS:
                raise ServerError(f"{self.transport.url}: {error.message}, every time", code="refused") from error
            raise

    def probe(self, request: Request, read: Callable[[Json], T], *, attempts: int = ATTEMPTS) -> T:
        """The same, where a refusal says something of the server. Raises Refused, Missing."""
        return self.patiently(lambda: self._once(request, read), attempts=attempts)

    def _once(self, request: Request, read: Callable[[Json], T]) -> T:
        reply = self.transport.send(request.path, request.body)
        self.check(reply, request)
        return read(parsed(reply))

    def stream(self, request: Request, read: Callable[[Iterator[bytes]], T]) -> T:
        """What ``read`` makes of the pieces of an answer, once. Raises Unanswered, AnswerError, ServerError."""
        with self.transport.opened(request.path, request.body) as (response, end):
            pieces = self.transport.pieces(response, end)
            if response.status_code >= 300:
                self.check(Reply.of(response, b"".join(pieces)), request)
            return read(pieces)

    def patiently(self, work: Callable[[], T], *, attempts: int = ATTEMPTS) -> T:
        """What ``work`` gives, tried again while it raises Unanswered and there is hope."""
        begun, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            try:
                with self.pace.place() as since:
                    found = work()
                self.pace.answered()
                with self._lock:
                    self._answered += 1
                return found
            except Unanswered as error:
                wait = self._wait(error, attempt, begun, attempts)
                if error.status in PUT_OFF:
                    self.pace.refused(since, wait=wait if error.after is not None else 0.0)
                time.sleep(wait)

    def _wait(self, error: Unanswered, attempt: int, begun: float, attempts: int) -> float:
        """Seconds until the next attempt. Raises AnswerError, or ServerError where no other row would fare better."""
        jittered: float = random.uniform(0.5, 1.0) * min(LONGEST, PAUSE * 2 ** (attempt - 1))
        if error.lost and not self._answered:
            raise ServerError(f"{self.transport.url} cannot be reached: {error.why}", code="unreachable",
                              hint="is the server running?") from error  # fmt: skip
        if error.status in PUT_OFF:
            wait = max(jittered, error.after or 0.0)
            if time.monotonic() - begun + wait > PATIENCE:
                raise ServerError(f"{self.transport.url} puts requests off: {error.why}", code="busy",
                                  hint="--resume goes on later") from error  # fmt: skip
            return wait
        if attempt < (SLOW if error.slow else attempts):
            return max(jittered, min(error.after or 0.0, LONGEST))
        times = f"after {attempt} attempts"
        if not error.lost and self._alive():
            raise AnswerError(f"the server has no answer: {error.why}, {times}") from error
        raise ServerError(f"{self.transport.url} does not answer: {error.why}, {times}", code="unreachable",
                          hint="is the URL right? it ends with /v1 as a rule")  # fmt: skip

    def _alive(self) -> bool:
        """Whether the server answers at all: then it is the request that it has no answer to."""
        try:
            return self.transport.send("/models").status < 500
        except (Unanswered, ServerError):
            return False

    def check(self, reply: Reply, request: Request) -> None:
        """Raise what an answer that is none means: Unanswered, Refused, GenerationError, ServerError."""
        status = reply.status
        if 200 <= status < 300:
            return
        said = self._said(reply, request)
        if status == 429 and said.code == "insufficient_quota":
            raise ServerError("the server's account has no quota left", code="quota")
        if status in AGAIN:
            raise Unanswered(f"HTTP {status}{said.why}", status=status, after=_seconds(reply.after))
        url = self.transport.url
        if status in (401, 403):
            raise ServerError(f"{url} refuses the key{said.why}", code="key",
                              hint=f"{KEY}, or api_key_env in the model's YAML, names the key")  # fmt: skip
        if status in (404, 405) and not self._answered:
            raise Missing(f"{url} has no {request.path} for the model{said.why}", code="no-model",
                          hint=f"{url}/models lists its models")  # fmt: skip
        if said.code == "context_length_exceeded" or _TOO_LONG.search(said.why):
            raise GenerationError("the text is too long for the server's model", code="too-long",
                                  hint="context_window in the model's YAML has long texts read in chunks")  # fmt: skip
        raise Refused(f"the server refuses: HTTP {status}{said.why}", status=status)

    def _said(self, reply: Reply, request: Request) -> Said:
        """What the server says of an error, without what the request says: that is the user's text."""
        try:
            values = parsed(reply)
        except Unanswered:
            return Said()
        error = values.get("error", values)
        if not isinstance(error, dict):
            error = {"message": error}
        code, message = error.get("code"), error.get("message", error.get("detail"))
        code = code if isinstance(code, str) else ""
        if not isinstance(message, str) or _quotes(message, request.body):
            return Said(code=code, why=f" ({code})" if code else "")
        short = " ".join(self.transport.hidden(message).split())
        return Said(code=code, why=f": {short[:200]}")


class Missing(ServerError):
    """There is no such path, or no such model."""


@dataclass(frozen=True)
class Said:
    """A server's own words about an error."""

    code: str = ""
    why: str = ""


def _quotes(message: str, body: Any) -> bool:
    """Whether a message holds a piece of a text of the request."""
    if isinstance(body, str):
        words = [body[at : at + 24] for at in range(0, max(len(body) - 24, 0) + 1, 12)]
        return len(body) >= 12 and any(len(word) >= 12 and word in message for word in words)
    if isinstance(body, Mapping):
        return any(_quotes(message, value) for name, value in body.items() if name != "model")
    return isinstance(body, list | tuple) and any(_quotes(message, value) for value in body)


def _seconds(after: str) -> float | None:
    """What a Retry-After header asks for; None where it says nothing that makes sense."""
    try:
        return min(max(float(after), 0.0), 86400.0)
    except ValueError:
        pass
    try:
        return max(float(parsedate_to_datetime(after).timestamp()) - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None
