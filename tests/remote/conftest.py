"""A mock server, and no time lost between attempts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support import openai_server
from tests.support.openai_server import Server


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second attempt comes at once."""
    monkeypatch.setattr("llmcli.remote.asking.PAUSE", 0.001)
    monkeypatch.delenv("LLMCLI_API_KEY", raising=False)


@pytest.fixture
def serving() -> Iterator[Callable[..., Server]]:
    """Starts servers, which must have been asked for nothing that the schema does not allow."""
    with ExitStack() as stack:
        servers: list[Server] = []

        def start(**options: Any) -> Server:
            servers.append(stack.enter_context(openai_server.running(**options)))
            return servers[-1]

        yield start
        assert [server.violations for server in servers] == [[] for _ in servers]
