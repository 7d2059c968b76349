"""The ladder: the first way to choose a label that a server can do, tried once, and remembered for its version."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from llmcli.config import places, whole_file
from llmcli.errors import AnswerError, GenerationError, ModelError, OutputError, ServerError, UsageError
from llmcli.remote.asking import Asker, Json, Missing, Refused, Request, parsed
from llmcli.remote.likelihoods import ChatPrompt, Echo, TokenIds
from llmcli.remote.rungs import LETTERS, Decisions, Enum, Labels, Letters, Plain, Rung, Unable
from llmcli.remote.transport import Unanswered
from llmcli.text.prompts import Rendered

PROBE = Rendered(
    row="One, two, three, four, five, six,",
    messages=({"role": "user", "content": "Which word goes on: one, two, three, four, five, six?"},),
)
"""What a rung is tried on: whether it gives what it has to, not how good the model is."""
TRIED = 3
"""Attempts at a request on trial."""
LABELS = {"seven": [" seven"], "table": [" table"]}


class Scores(Protocol):
    """How labels are chosen."""

    def rung(self, labels: Labels, *, multi: bool) -> Rung:
        """The way for these labels. Raises UsageError, ServerError where there is none."""

    def echo(self) -> Echo:
        """The way to score a text. Raises ModelError where there is none."""


class _Probing:
    """Asks for a rung on trial: what it cannot do is Unable, and no row's error. ``asker`` answers as usual later."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self.settled = False

    def ask(self, request: Request, read: Any) -> Any:
        """See Asks."""
        if self.settled:
            return self._asker.ask(request, lambda answer: _read(read, answer, settled=True))
        try:
            return self._asker.probe(request, read, attempts=TRIED)
        except (Refused, Missing) as error:
            raise Unable(error.message) from error


def _read(read: Any, answer: Json, *, settled: bool) -> Any:
    """What a rung reads; later an answer of another shape is asked again."""
    try:
        return read(answer)
    except Unable as error:
        if settled:
            raise Unanswered(f"its answer lacks what it had before: {error}") from error
        raise


class Ladder:
    """The rungs of one server, and the one that is used. ``chat``: the model answers messages too."""

    def __init__(self, asker: Asker, *, model: str, chat: bool, more: Mapping[str, Any]) -> None:
        self._asker, self._model, self._chat, self._more = asker, model, chat, more
        self._file = places.cache() / "servers" / f"{_digest(f'{asker.transport.url}#{model}')}.json"
        self._lock = threading.Lock()
        self._found: dict[tuple[bool, bool], Rung] = {}
        self._why: list[str] = []
        self._sure = True

    def rung(self, labels: Labels, *, multi: bool) -> Rung:
        """See Scores. More labels than letters need another rung."""
        many = len(labels) > len(LETTERS)
        with self._lock:
            if (multi, many) not in self._found:
                self._found[multi, many] = self._first(multi=multi, many=many)
        return self._found[multi, many]

    def echo(self) -> Echo:
        """See Scores."""
        for rung in self._rungs():
            if isinstance(rung, Echo) and self._able(rung, multi=False):
                return rung
        raise ModelError("the server does not tell the log-probabilities of a text", code="no-scores",
                         hint="; ".join(self._why))  # fmt: skip

    def _first(self, *, multi: bool, many: bool) -> Rung:
        version, known = self._version(), self._known()
        able = [rung for rung in self._rungs() if (rung.several or not multi)
                and not (many and isinstance(rung, Letters))]  # fmt: skip
        name = f"{'multi' if multi else 'one'}{' many' if many else ''}"
        known = known if known.get("version") == version else {"version": version}
        if remembered := next((rung for rung in able if rung.called == known.get(name)), None):
            return self._settled(remembered)
        for rung in able:
            if self._able(rung, multi=multi):
                if self._sure:
                    self._keep(known | {name: rung.called})
                return rung
        if multi:
            raise UsageError("--multi needs the probability of each label, which the server does not tell",
                             hint="without --multi it gives the one that fits best")  # fmt: skip
        raise ServerError("the server's model gives no label to a question that llmcli tries it with",
                          code="no-label", hint="; ".join(self._why[:3]))  # fmt: skip

    def _rungs(self) -> Iterator[Rung]:
        """All rungs, the best first."""
        model, more = self._model, self._more

        def asks() -> Any:
            return _Probing(self._asker)

        yield Decisions(asks(), model, more)
        yield TokenIds(asks(), model, more)
        yield Echo(asks(), model, more)
        if self._chat:
            yield ChatPrompt(asks(), model, more)
            yield Letters(asks(), model, more)
            yield Letters(asks(), model, more, limit=5)
            yield Enum(asks(), model, more)
            yield Plain(asks(), model, more)

    def _able(self, rung: Rung, *, multi: bool) -> bool:
        try:
            rung.choose(PROBE, LABELS, multi=multi)
        except (Unable, AnswerError, GenerationError) as error:
            self._why.append(f"{rung.name}: {error}")
            self._sure &= not isinstance(error, AnswerError) or error.code != AnswerError.default_code
            return False
        self._settled(rung)
        return True

    def _settled(self, rung: Rung) -> Rung:
        """The rung, which is tried no longer: what it cannot do now is an error."""
        assert isinstance(rung.asks, _Probing)
        rung.asks.settled = True
        return rung

    def _version(self) -> str:
        """What tells a server from a newer one: its software's version, and what it says of the model."""
        told: list[Any] = []
        for path in ("//version", "/models"):
            try:
                values = parsed(self._asker.transport.send(path))
            except Unanswered:
                continue
            models = values.get("data")
            if isinstance(models, list):  # when it was made is the time of the request, with some
                told.append([[one.get(name) for name in ("id", "owned_by", "root", "max_model_len")] for one in models
                             if isinstance(one, dict) and one.get("id") == self._model])  # fmt: skip
            else:
                told.append(values.get("version"))
        return _digest(json.dumps(told, sort_keys=True, default=str))

    def _known(self) -> dict[str, Any]:
        try:
            found = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _keep(self, found: Mapping[str, Any]) -> None:
        try:
            whole_file.write(self._file, json.dumps(found))
        except OutputError:
            return  # it is found out again the next time


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]
