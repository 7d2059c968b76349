r"""Bytes and lines from a file, a pipe or a terminal, as they come; lines end at ``\n`` alone."""

from __future__ import annotations

import os
import re
import select
import zlib

from llmcli.errors import InputError

LINE_CAP = 4 * 1024 * 1024
"""The most bytes of a line; a longer one is an error row, and is never held in memory."""
TEXT_CAP = 256 * 1024 * 1024
"""The most bytes of a file that is one text."""
_BLOCK = 1 << 16
_GZIP = b"\x1f\x8b"
_NO_TEXT = {
    rb"%PDF-\d": ("a PDF file", "pdftotext FILE - gives its text"),
    rb"PK\x03\x04": ("a zip archive, or a document of an office program", "unpack it, or save it as text"),
    rb"\x28\xb5\x2f\xfd": ("compressed by zstd", "zstdcat unpacks it"),
    rb"\xfd7zXZ\0": ("compressed by xz", "xzcat unpacks it"),
    rb"PAR1": ("a Parquet file", "--cluster reads it"),
    rb"BZh\d1AY&SY": ("compressed by bzip2", "bzcat unpacks it"),
}
"""First bytes of what is no text: what it is, and what makes text of it."""


class Bytes:
    """The bytes of a descriptor, unpacked where they are compressed by gzip, whatever the file is called."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._packed = b""
        self._unpacker: zlib._Decompress | None = None
        self._begun = False

    def read(self) -> bytes:
        """The next bytes, as many as there are up to a block; none at the end.

        Raises InputError for what is no text, or is damaged.
        """
        if not self._begun:
            self._begun = True
            first = self._first()
            if first.startswith(_GZIP):
                self._packed, self._unpacker = first, zlib.decompressobj(zlib.MAX_WBITS | 16)
            else:
                _check_text(first)
                return first
        return self._unpacked(self._unpacker) if self._unpacker else os.read(self._descriptor, _BLOCK)

    def whole(self) -> bytes:
        """All bytes. Raises InputError, also for more than TEXT_CAP."""
        parts, size = [], 0
        while block := self.read():
            parts.append(block)
            size += len(block)
            if size > TEXT_CAP:
                raise InputError(f"more than {TEXT_CAP} bytes", code="too-large", hint="split it, or use --lines")
        return b"".join(parts)

    def waiting(self) -> bool:
        """Whether reading on would block."""
        if self._packed:
            return False
        try:
            return not select.select([self._descriptor], [], [], 0)[0]
        except (OSError, ValueError):  # not a thing that can be waited for: a file
            return False

    def _first(self) -> bytes:
        first = os.read(self._descriptor, _BLOCK)
        return first + os.read(self._descriptor, _BLOCK) if first == _GZIP[:1] else first

    def _unpacked(self, unpacker: zlib._Decompress) -> bytes:
        while True:
            if unpacker.eof:
                # Files may be put together; what else follows is padding.
                rest = unpacker.unused_data
                rest += os.read(self._descriptor, _BLOCK) if len(rest) < len(_GZIP) else b""
                if not rest.startswith(_GZIP):
                    self._packed = b""
                    return b""
                self._packed, unpacker = rest, zlib.decompressobj(zlib.MAX_WBITS | 16)
                self._unpacker = unpacker
            packed = self._packed or os.read(self._descriptor, _BLOCK)
            if not packed:
                raise InputError("the compressed data breaks off", code="bad-gzip")
            try:
                plain = unpacker.decompress(packed, _BLOCK)
            except zlib.error as error:
                raise InputError("the compressed data is damaged", code="bad-gzip") from error
            self._packed = unpacker.unconsumed_tail
            if plain:
                return plain


def _check_text(first: bytes) -> None:
    for magic, (what, hint) in _NO_TEXT.items():
        if re.match(magic, first):
            raise InputError(f"no text, but {what}", code="not-text", hint=hint)


class LineReader:
    """Reads a descriptor without ever asking for more than there is. All methods raise what Bytes does."""

    def __init__(self, descriptor: int) -> None:
        self._bytes = Bytes(descriptor)
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

    def read(self) -> bytes:
        """What comes next, lines or not; nothing at the end."""
        if self._start < len(self._buffer) or self._fill():
            block, self._buffer, self._start = self._buffer[self._start :], b"", 0
            return block
        return b""

    def ahead(self) -> tuple[bytes, bool]:
        """What :meth:`readline` will give, as far as it is there already; and whether it is all."""
        while len(self._buffer) - self._start < _BLOCK and not self._ended and not self._bytes.waiting():
            self._fill()
        returned = b"".join(line for line, _ in reversed(self._returned))
        return returned + self._buffer[self._start : self._start + _BLOCK], self._ended

    def waiting(self) -> bool:
        """Whether the next line is not there yet: reading on would block."""
        if self._returned or self._ended or self._buffer.find(b"\n", self._start) >= 0:
            return False
        return self._bytes.waiting()

    def _fill(self) -> bool:
        block = self._bytes.read()
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
