"""As much of the Hub as its own client needs: a repository's facts, and its files by commit."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONVERTED = "fedcba9876543210fedcba9876543210fedcba98"


class Hub(ThreadingHTTPServer):
    """Serves ``repos``. ``refused`` maps a repository to (status, X-Error-Code); ``cuts`` stops a file half-way.

    ``converted`` maps a repository to what the pull request 1 of ``converter`` would make of it.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.commit = COMMIT
        self.stopped = threading.Event()
        self.repos: dict[str, Path] = {}
        self.converted: dict[str, Path] = {}
        self.converter = "SFconvertbot"
        self.extra: dict[str, list[str]] = {}
        self.tags: list[str] = []
        self.refused: dict[str, tuple[int, str]] = {}
        self.cuts: set[str] = set()
        self.answer: bytes | None = None
        """What is said of every repository, instead of the truth."""
        self.digests: dict[str, str] = {}
        """The sha256 that is said of a file."""
        self.slow: set[str] = set()
        """Files of which a byte comes now and then, for ever."""
        self.log: list[tuple[str, str]] = []
        self.tokens: list[str] = []

    @property
    def files(self) -> list[str]:
        """The names of the files that were asked for, in order."""
        return list(dict.fromkeys(path.rpartition("/")[2] for _, path in self.log if "/resolve/" in path))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


def path_name(path: str) -> str:
    return path.partition("?")[0].rpartition("/")[2]


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0].strip("/")
        self.server.log.append((self.headers.get("Range", ""), path))
        self.server.tokens.append(self.headers.get("Authorization", ""))
        parts = path.removeprefix("api/models/").split("/")
        repo = "/".join(parts[:2])
        if repo in self.server.refused or repo not in self.server.repos:
            status, code = self.server.refused.get(repo, (404, "RepoNotFound"))
            self._send(status, b"{}", {"X-Error-Code": code}, body=body)
        elif path.endswith("/discussions"):
            self._send(200, json.dumps(self._changes(repo)).encode(), {}, body=body)
        elif path.startswith("api/") and self.server.answer is not None:
            self._send(200, self.server.answer, {}, body=body)
        elif path.startswith("api/"):
            self._send(200, json.dumps(self._facts(repo, path.rpartition("/")[2])).encode(), {}, body=body)
        else:
            folder = self.server.converted[repo] if parts[3] == CONVERTED else self.server.repos[repo]
            self._file(folder / "/".join(parts[4:]), commit=parts[3], body=body)

    def _changes(self, repo: str) -> dict[str, object]:
        offered = {"title": "Adding `safetensors` variant of this model", "num": 1, "status": "open",
                   "author": {"name": self.server.converter}, "isPullRequest": True,
                   "repo": {"name": repo, "type": "model"}, "createdAt": "2024-01-01T00:00:00.000Z"}  # fmt: skip
        wanted = f"author={self.server.converter}" in self.path and repo in self.server.converted
        return {"discussions": [offered] if wanted else [], "count": int(wanted), "start": 0}

    def _facts(self, repo: str, revision: str) -> dict[str, object]:
        converted = revision in ("refs%2Fpr%2F1", CONVERTED)
        folder = self.server.converted[repo] if converted else self.server.repos[repo]
        whole = sorted(file for file in folder.rglob("*") if file.is_file())
        files = [(file.relative_to(folder).as_posix(), file.stat().st_size) for file in whole]
        files += [(name, 1) for name in self.server.extra.get(repo, [])]
        commit = CONVERTED if converted else revision if len(revision) == len(COMMIT) else self.server.commit
        return {"id": repo, "modelId": repo, "sha": commit, "private": False, "tags": self.server.tags, "downloads": 0,
                "siblings": [self._sibling(name, size) for name, size in files]}  # fmt: skip

    def _sibling(self, name: str, size: int) -> dict[str, object]:
        digest = self.server.digests.get(name)
        large = {"lfs": {"size": size, "sha256": digest, "pointerSize": 130}} if digest else {}
        return {"rfilename": name, "size": size} | large

    def _file(self, path: Path, *, commit: str, body: bool) -> None:
        raw = path.read_bytes()
        start = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
        headers = {
            "ETag": f'"{hashlib.sha256(raw).hexdigest()}"',
            "X-Repo-Commit": commit,
            "Accept-Ranges": "bytes",
        }
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(raw) - 1}/{len(raw)}"
        cut = body and path.name in self.server.cuts
        self._send(206 if start else 200, raw[start:], headers, body=body, half=cut)

    def _send(self, status: int, raw: bytes, headers: dict[str, str], *, body: bool, half: bool = False) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(raw))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body and path_name(self.path) in self.server.slow:
            while not self.server.stopped.wait(0.05):
                self.wfile.write(b" ")
        elif body:
            self.wfile.write(raw[: len(raw) // 2] if half else raw)
        if half:
            self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        """Nothing: stderr is the test's."""


@contextlib.contextmanager
def serve() -> Iterator[Hub]:
    """A Hub on a port of this machine."""
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.stopped.set()
        server.shutdown()
        server.server_close()


def ask(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process's client asks it: the address was read when the client was imported."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
