"""One HTTP request to a server, and its answer: bounded in time and size, to no other host, keys never shown."""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llmcli import __version__
from llmcli.errors import ServerError

if TYPE_CHECKING:
    import httpx2

    from llmcli.config.model_config import Source

LARGEST = 64 << 20
"""The most bytes of an answer."""
CONNECT = 20.0
"""Seconds to reach a server."""
REDIRECTS = 3
KEY, OPENAI = "LLMCLI_API_KEY", "api.openai.com"


class Unanswered(Exception):
    """A request that may be asked again: why, and how.

    ``status``: what the server said, 0 for nothing. ``after``: seconds that it asks to wait. ``slow``: its time was up.
    ``lost``: there was no connection at all.
    """

    def __init__(
        self, why: str, *, status: int = 0, after: float | None = None, slow: bool = False, lost: bool = False
    ) -> None:
        super().__init__(why)
        self.why, self.status, self.after, self.slow, self.lost = why, status, after, slow, lost


@dataclass(frozen=True)
class Reply:
    """What a server said: its status, some headers, and the whole body."""

    status: int
    kind: str
    after: str
    body: bytes

    @classmethod
    def of(cls, response: httpx2.Response, body: bytes) -> Reply:
        """A response, and the body that was read of it."""
        headers = response.headers
        kind = headers.get("content-type", "").split(";")[0].strip().lower()
        return cls(response.status_code, kind, headers.get("retry-after", ""), body)


def key(source: Source) -> str:
    """The server's key, from the environment alone. Raises ServerError where the named variable is not set."""
    if source.api_key_env:
        if not (found := os.environ.get(source.api_key_env, "")):
            raise ServerError(f"the environment has no {source.api_key_env}, the server's key", code="no-key",
                              hint=f"export {source.api_key_env}=…")  # fmt: skip
    else:
        found = os.environ.get(KEY, "")
        if not found and (source.server or "").startswith(f"https://{OPENAI}/"):
            found = os.environ.get("OPENAI_API_KEY", "")
    if not (found.isascii() and found.isprintable()):
        raise ServerError("the server's key holds a character that no header can", code="no-key")
    return found.strip()


class Transport:
    """Requests to one server. It is used by many threads."""

    def __init__(self, source: Source) -> None:
        import httpx2

        self.url = str(source.server)
        self._key, self._timeout = key(source), source.timeout
        headers = {"User-Agent": f"llmcli/{__version__}", "Accept-Encoding": "identity"}
        headers |= {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            self._client = httpx2.Client(
                headers=headers, timeout=httpx2.Timeout(self._timeout, connect=min(CONNECT, self._timeout)),
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64),
                trust_env=outside(self.url),  # a proxy is for what is outside
            )  # fmt: skip
        except (ValueError, OSError) as error:
            raise ServerError(f"a proxy or certificate of the environment cannot be used: {type(error).__name__}",
                              code="proxy") from error  # fmt: skip

    def hidden(self, text: str) -> str:
        """A text without the key."""
        return text.replace(self._key, "***") if self._key else text

    def send(self, path: str, body: Any = None) -> Reply:
        """POST a body as JSON, or GET without one; ``path`` begins behind the URL, with ``//`` at its host.

        Raises Unanswered, ServerError.
        """
        with self.opened(path, body) as (response, end):
            raw = b"".join(self.pieces(response, end))
            return Reply.of(response, raw)

    @contextmanager
    def opened(self, path: str, body: Any = None) -> Iterator[tuple[httpx2.Response, float]]:
        """The response before its body, and when its time is up. Raises Unanswered, ServerError."""
        import httpx2

        end = time.monotonic() + self._timeout
        try:
            with self._answered(self._place(path), body) as response:
                yield response, end
        except httpx2.TimeoutException as error:
            lost = isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout)
            raise Unanswered(f"no answer within {self._timeout:g} s", slow=not lost, lost=lost) from error
        except httpx2.ConnectError as error:
            raise Unanswered(self._why(error), lost=True) from error
        except httpx2.HTTPError as error:
            raise Unanswered(f"the connection broke ({type(error).__name__})") from error

    def _place(self, path: str) -> httpx2.URL:
        import httpx2

        if path.startswith("//"):
            return httpx2.URL(self.url).copy_with(path=path[1:])
        return httpx2.URL(self.url + path)

    @contextmanager
    def _answered(self, place: httpx2.URL, body: Any) -> Iterator[httpx2.Response]:
        """The response, redirected within the server's own host alone."""
        first = place
        for _ in range(REDIRECTS):
            with self._client.stream("POST" if body is not None else "GET", place, json=body) as response:
                if response.status_code not in (301, 302, 303, 307, 308):
                    yield response
                    return
                place = self._joined(place, response.headers.get("location", ""))
            if (place.scheme, place.host, place.port) != (first.scheme, first.host, first.port):
                raise ServerError(f"{self.url} redirects to another server, {place.scheme}://{place.host}",
                                  code="redirect", hint="give that one's URL if you trust it")  # fmt: skip
        raise ServerError(f"{self.url} redirects without end", code="redirect")

    def _joined(self, place: httpx2.URL, location: str) -> httpx2.URL:
        import httpx2

        try:
            return place.join(location)
        except (httpx2.InvalidURL, ValueError) as error:
            raise ServerError(f"{self.url} redirects to what is no URL", code="redirect") from error

    def pieces(self, response: httpx2.Response, end: float) -> Iterator[bytes]:
        """The body as it comes. Raises Unanswered where it is too large, or too slow."""
        size = 0
        if response.headers.get("content-encoding", "identity") != "identity":
            raise Unanswered("its answer is compressed, which was not asked for", status=response.status_code)
        for piece in response.iter_raw():
            size += len(piece)
            if size > LARGEST:
                raise Unanswered(f"its answer has more than {LARGEST >> 20} MB", status=response.status_code)
            if time.monotonic() > end:
                raise Unanswered(f"no whole answer within {self._timeout:g} s", slow=True)
            yield piece

    def _why(self, error: Exception) -> str:
        said = str(error)
        if "CERTIFICATE" in said.upper() or "certificate" in said:
            raise ServerError(f"{self.url}: its certificate cannot be trusted", code="certificate",
                              hint="SSL_CERT_FILE names one of your own") from error  # fmt: skip
        return "no connection" if "refused" not in said else "connection refused"


def outside(url: str) -> bool:
    """Whether a URL leads to another machine."""
    host = urlsplit(url).hostname or ""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
