r"""Lines of bytes from a file, a pipe or a terminal, as they come; lines end at ``\n`` alone."""

from __future__ import annotations

import os
import select

LINE_CAP = 4 * 1024 * 1024
"""The most bytes of a line; a longer one is an error row, and is never held in memory."""
_BLOCK = 1 << 16


class LineReader:
    """Reads a file descriptor without ever asking for more than there is."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = b""
        self._start = 0
        self._ended = False
        self._returned: list[tuple[bytes, bool]] = []

    def readline(self) -> tuple[bytes, bool]:
        r"""The next line with its ``\n``, or ``b""`` at the end; and whether it was too long (then it is skipped)."""
        if self._returned:
            return self._returned.pop()
        seen = self._start
        while (end := self._buffer.find(b"\n", seen)) < 0:
            if len(self._buffer) - self._start > LINE_CAP:
                self._skip()
                return b"\n", True
            seen = len(self._buffer) - self._start
            if not self._fill():
                end = len(self._buffer) - 1
                break
        line, self._start = self._buffer[self._start : end + 1], end + 1
        return (b"\n", True) if len(line) > LINE_CAP else (line, False)

    def give_back(self, lines: list[tuple[bytes, bool]]) -> None:
        """Read these lines, as :meth:`readline` gave them, again next."""
        self._returned += reversed(lines)

    def waiting(self) -> bool:
        """Whether the next line is not there yet: reading on would block."""
        if self._returned or self._ended or self._buffer.find(b"\n", self._start) >= 0:
            return False
        try:
            return not select.select([self._descriptor], [], [], 0)[0]
        except (OSError, ValueError):  # not a thing that can be waited for: a file
            return False

    def _fill(self) -> bool:
        block = os.read(self._descriptor, _BLOCK)
        self._buffer, self._start = self._buffer[self._start :] + block, 0
        self._ended = not block
        return bool(block)

    def _skip(self) -> None:
        """Drop the rest of a line that is too long."""
        while True:
            self._buffer, self._start = b"", 0
            if not self._fill():
                return
            if (end := self._buffer.find(b"\n")) >= 0:
                self._start = end + 1
                return
