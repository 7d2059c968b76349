"""A client, as the worker's event loop sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from llmcli.worker import protocol
from llmcli.worker.protocol import Message


class Peer:
    """A client, as the event loop sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def post(self, message: Mapping[str, Any]) -> None:
        """Queue a message."""
        if not self.writer.is_closing():
            self.writer.write(protocol.encode(message))

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send a message. Raises TimeoutError where the client does not read."""
        self.post(message)
        await asyncio.wait_for(self.writer.drain(), protocol.WHOLE)

    async def receive(self, *, timeout: float | None) -> Message:
        """Wait for a message to begin; then it must end soon."""
        first = await asyncio.wait_for(self.reader.readexactly(1), timeout)
        return await asyncio.wait_for(self._rest(first), protocol.WHOLE)

    async def _rest(self, first: bytes) -> Message:
        head = first + await self.reader.readexactly(protocol.LENGTH.size - 1)
        return protocol.decode(await self.reader.readexactly(protocol.length(head)))
