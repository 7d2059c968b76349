"""Request files: OpenAI batch lines out, their responses in; no network.

https://platform.openai.com/docs/guides/batch. A request is known again by what it asks: its ``custom_id`` is a digest
of it. So the responses' order does not matter, equal requests are asked once, and what is missing can be told.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, TypeVar

from llmcli.errors import WAITING, AnswerError, InputError, OutputError, shown
from llmcli.remote.asking import Json, Request
from llmcli.remote.transport import LARGEST, Unanswered
from llmcli.reports import RowErrors

T = TypeVar("T")
LINES, BYTES = 50_000, 200_000_000
"""The most requests of a file, and the most bytes, as OpenAI takes them."""
PREFIX = "llmcli-"


def custom_id(request: Request) -> str:
    """A request's name in the files: the same for the same request."""
    return PREFIX + hashlib.blake2b(request.text().encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def numbered(path: Path, number: int) -> Path:
    """Of the files that requests go into, the one of that number, from 1."""
    return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")


class RequestFiles:
    """Writes requests, each once, to a file, and to more where it is full: ``req.jsonl``, ``req-2.jsonl``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: set[bytes] = set()
        self._open: IO[bytes] | None = None
        self._lines = self._bytes = 0
        self.count = 0
        self.paths: list[Path] = []

    def put(self, request: Request) -> None:
        """Write a request, if it is new. Raises OutputError."""
        name = custom_id(request)
        if (key := bytes.fromhex(name.removeprefix(PREFIX))) in self._known:
            return
        line = {"custom_id": name, "method": "POST", "url": f"/v1{request.path}", "body": request.body}
        raw = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        self._known.add(key)
        self.count += 1
        try:
            if self._open is None or self._lines == LINES or self._bytes + len(raw) > BYTES:
                self._next()
            assert self._open is not None  # _next() opened one
            self._open.write(raw)
        except OSError as error:
            raise self._failed(error) from error
        self._lines += 1
        self._bytes += len(raw)

    def _next(self) -> None:
        self._shut()
        self.paths.append(self.next)
        self._open = _partial(self.paths[-1]).open("wb")
        self._lines = self._bytes = 0

    @property
    def next(self) -> Path:
        """The file that follows those that there are."""
        return numbered(self._path, len(self.paths) + 1)

    def close(self, *, whole: bool) -> None:
        """Give all files their names, if all requests are in them; else leave nothing. Raises OutputError."""
        try:
            if whole and not self.paths:
                self._next()  # a file without requests says that there are none
            self._shut()
            for path in self.paths:
                if whole:
                    _partial(path).replace(path)
                else:
                    _partial(path).unlink(missing_ok=True)
        except OSError as error:
            raise self._failed(error) from error

    def _shut(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(f"{shown(self._path)}: {error.strerror or error}", code="write")


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


@dataclass(frozen=True)
class _Place:
    """Where a response stands, and what it says: its bytes are read when they are asked for."""

    file: int
    begin: int
    size: int
    good: bool
    doubled: bool = False


@dataclass
class Responses:
    """The responses of files, in any order, found by their ``custom_id``."""

    paths: Sequence[Path] = ()
    _places: dict[str, _Place] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Index all files. Raises InputError for one that cannot be read; a line that is none is said, and skipped."""
        errors = RowErrors()
        for file, path in enumerate(self.paths):
            for number, begin, raw in _lines(path):
                try:
                    self._add(_response(raw), _Place(file, begin, len(raw), good=False))
                except InputError as error:
                    error.where = f"{shown(path)}:{number}"
                    errors.say(error)
        errors.close()

    def _add(self, line: Mapping[str, Any], place: _Place) -> None:
        name = line["custom_id"]
        good = _body(line) is not None
        before = self._places.get(name)
        if before is not None and before.good and not good:
            return  # what failed was asked again
        doubled = before is not None and before.good and good and (before.doubled or self._differs(before, line))
        self._places[name] = replace(place, good=good, doubled=doubled)

    def _differs(self, before: _Place, line: Mapping[str, Any]) -> bool:
        one, other = _body(self._read(before)), _body(line)
        return (one or {}).get("choices") != (other or {}).get("choices")

    def _read(self, place: _Place) -> Mapping[str, Any]:
        with self.paths[place.file].open("rb") as stream:
            stream.seek(place.begin)
            return _response(stream.read(place.size))

    def find(self, name: str) -> Json | None:
        """The body of a response; None where there is none. Raises AnswerError for one that failed, or for two."""
        place = self._places.get(name)
        if place is None:
            return None
        if place.doubled:
            raise AnswerError("there are two responses to its request, and they differ", code="doubled",
                              hint="give the one that counts")  # fmt: skip
        line = self._read(place)
        body = _body(line)
        if body is None:
            raise AnswerError(f"its response is an error{_why(line)}", code="failed-response",
                              hint="--retry-failed --requests FILE asks again")  # fmt: skip
        return body


def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Each line's number, place and bytes. Raises InputError."""
    if path.exists() and not path.is_file():
        raise InputError(f"{shown(path)}: no plain file", code="unreadable",
                         hint="responses are read in any order, which a pipe cannot do")  # fmt: skip
    begin = 0
    try:
        with path.open("rb") as stream:
            number = 0
            while raw := stream.readline(LARGEST + 1):
                number += 1
                if raw.strip():
                    yield number, begin, raw
                begin += len(raw)
    except OSError as error:
        raise InputError(f"{shown(path)}: {error.strerror or error}", code="unreadable") from error


def _response(raw: bytes) -> Mapping[str, Any]:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InputError("no JSON; the line is skipped", code="bad-json") from error
    if not isinstance(line, dict) or not isinstance(line.get("custom_id"), str):
        raise InputError("no response with a custom_id; the line is skipped", code="bad-json")
    return line


def _body(line: Mapping[str, Any]) -> Json | None:
    """The body of a good response; None where it failed."""
    response = line.get("response")
    if line.get("error") or not isinstance(response, dict) or response.get("status_code", 200) != 200:
        return None
    body = response.get("body")
    return body if isinstance(body, dict) else None


def _why(line: Mapping[str, Any]) -> str:
    response, error = line.get("response"), line.get("error")
    status = response.get("status_code") if isinstance(response, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    told = [f"HTTP {status}" if isinstance(status, int) else "", code if isinstance(code, str) else ""]
    return ": " + ", ".join(filter(None, told)) if any(told) else ""


class FileAsks:
    """Answers requests from responses; what has none is written to the request files, if there are some.

    Without ``seeded`` no request has a seed: a run that reads the responses would draw another one.
    """

    def __init__(self, responses: Responses, requests: RequestFiles | None, *, seeded: bool) -> None:
        self._responses, self._requests, self._seeded = responses, requests, seeded

    def ask(self, request: Request, read: Callable[[Json], T]) -> T:
        """See Asks."""
        if not self._seeded:
            request = Request(request.path, {name: value for name, value in request.body.items() if name != "seed"})
        answer = self._responses.find(custom_id(request))
        if answer is None:
            if self._requests is not None:
                self._requests.put(request)
            raise AnswerError("its request has no response yet", code=WAITING, hint="--requests FILE writes it")
        try:
            return read(answer)
        except Unanswered as error:
            raise AnswerError(f"its response is none: {error.why}", code="failed-response") from error
