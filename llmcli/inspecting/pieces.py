"""The tokens of a text: which bytes each stands for, and where in the text they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from typing import Any

from llmcli.errors import ModelError, UsageError
from llmcli.text.painted import visible

NEAR = 64
"""Bytes within which a piece is looked for that does not stand where the last one ended."""
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True)
class Token:
    """A token of a text. ``piece`` is the vocabulary's own spelling, ``raw`` the bytes that it stands for.

    ``begin`` and ``end`` count bytes of the text in UTF-8, ``first`` and ``last`` its characters; None of a special
    token, and of one whose bytes the tokenizer changed beyond finding them again. Characters that are shared by several
    tokens are counted in each.
    """

    id: int
    piece: str
    raw: bytes
    special: bool = False
    begin: int | None = None
    end: int | None = None
    first: int | None = None
    last: int | None = None

    @property
    def shown(self) -> str:
        """The text of a token for people: a part of a character as its bytes."""
        if self.special or not self.raw:
            return visible(self.piece)
        return visible(self.raw.decode("utf-8", "backslashreplace"))

    @property
    def name(self) -> str:
        """The same without the blanks around it, for lists and pictures."""
        return self.shown.strip() or "␣"


def tokens(encoder: Any, text: str) -> list[Token]:
    """The tokens of a text as a model reads it, special tokens too. What looks like one in the text is spelled out."""
    text = encoder.inert(text, same_length=True)
    tokenizer = encoder.tokenizer
    options: dict[str, Any] = {"split_special_tokens": True}
    if tokenizer.is_fast:
        options["return_offsets_mapping"] = True
    found = encoder.tokens(text, **options)
    places = [tuple(pair) for pair in found["offset_mapping"]] if tokenizer.is_fast else None
    return placed(tokenizer, [int(token) for token in found["input_ids"]], text, places=places)


def of_ids(encoder: Any, ids: Sequence[int]) -> list[Token]:
    """Tokens that belong to no text that was given: those that a model writes."""
    spelling = Spelling(encoder.tokenizer)
    return [spelling.token(token) for token in ids]


def place(tokens: Sequence[Token], named: str) -> int:
    """Where a token stands: the first whose text is ``named``, or its number. Raises UsageError."""
    for at, token in enumerate(tokens):
        if named.strip() in (token.shown.strip(), token.piece.strip()) and named.strip():
            return at
    if named.isdecimal() and int(named) < len(tokens):
        return int(named)
    raise UsageError("--token: the text has no such token", hint="llmcli inspect tokens lists them; a number will do")


def placed(
    tokenizer: Any, ids: Sequence[int], text: str, *, places: Sequence[tuple[int, ...]] | None = None
) -> list[Token]:
    """Tokens with their places in a text. ``places``: characters, as a fast tokenizer tells them."""
    spelling, raw = Spelling(tokenizer), text.encode()
    begins = [0, *accumulate(len(c.encode()) for c in text)]  # of each character, in bytes
    character = [place for place, (one, other) in enumerate(pairwise(begins))
                 for _ in range(other - one)]  # fmt: skip
    found, at = [], 0
    for place, number in enumerate(ids):
        token = spelling.token(number)
        if not token.special:
            said = (begins[places[place][0]], begins[places[place][1]]) if places else None
            span = _span(raw, token.raw, at, said)
            if span is not None:
                begin, end = span
                at = end
                first = character[begin] if begin < len(raw) else len(text)
                last = character[end - 1] + 1 if end > begin else first
                token = Token(token.id, token.piece, token.raw, begin=begin, end=end, first=first, last=last)
        found.append(token)
    return found


def _span(raw: bytes, piece: bytes, at: int, said: tuple[int, int] | None) -> tuple[int, int] | None:
    """Where a piece stands: where the last one ended, else where the tokenizer says, else not far behind.

    A tokenizer may have put a blank before the text, or changed its letters.
    """
    if piece and raw.startswith(piece, at):
        return at, at + len(piece)
    bare = piece.removeprefix(b" ")
    if bare != piece and raw.startswith(bare, at):
        return at, at + len(bare)
    if said is not None:
        return said if said[0] >= at else (at, max(at, said[1]))
    near = raw.find(bare, at, at + len(bare) + NEAR) if bare else -1
    return (near, near + len(bare)) if near >= 0 else None


@dataclass(frozen=True)
class Batch:
    """Several texts of one length, (texts, tokens): shorter ones filled up, which the mask hides."""

    ids: list[list[int]]
    mask: list[list[int]]


def padded(tokenizer: Any, found: Sequence[Sequence[Token]]) -> Batch:
    """Texts as a batch. Raises ModelError where there is no padding token."""
    pad = tokenizer.pad_token_id
    if pad is None:
        raise ModelError("its tokenizer has no padding token", code="no-padding", hint="give another --model")
    width = max(map(len, found))
    way = -1 if tokenizer.padding_side == "left" else 1
    ids = [[token.id for token in listed][::way] + [pad] * (width - len(listed)) for listed in found]
    mask = [[1] * len(listed) + [0] * (width - len(listed)) for listed in found]
    return Batch([row[::way] for row in ids], [row[::way] for row in mask])


class Spelling:
    """How a vocabulary spells bytes: byte-level BPE, SentencePiece with ▁ and <0xNN>, or WordPiece with ##."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._unknown = tokenizer.unk_token_id
        self._special = set(tokenizer.all_special_ids) - {self._unknown}
        self._added = {number: str(token) for number, token in getattr(tokenizer, "added_tokens_decoder", {}).items()}
        backend = getattr(tokenizer, "backend_tokenizer", None)
        parts = [part.__getstate__() for part in (backend.pre_tokenizer, backend.decoder) if part] if backend else []
        self._byte_level = any(b"ByteLevel" in part for part in parts)
        self._word_piece = any(b'"WordPiece"' in part for part in parts)

    def token(self, number: int) -> Token:
        """A token of the vocabulary, without a place."""
        piece = str(self._tokenizer.convert_ids_to_tokens(number) or "")
        return Token(number, piece, self._raw(number, piece), special=number in self._special)

    def _raw(self, number: int, piece: str) -> bytes:
        if number == self._unknown:
            return b""  # it stands for what the vocabulary cannot spell
        if number in self._added:
            return self._added[number].encode()
        if self._byte_level:
            return b"".join(_bytes().get(c) or c.encode() for c in piece)
        if self._word_piece:
            return piece.removeprefix("##").encode() if piece != "##" else b"##"
        if match := _BYTE.fullmatch(piece):
            return bytes([int(match[1], 16)])
        return piece.replace("▁", " ").removesuffix("</w>").encode()


@cache
def _bytes() -> dict[str, bytes]:
    """The byte that each character of a byte-level vocabulary stands for: GPT-2's table, which all of them share."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): bytes([byte]) for byte in printable}
    return table | {chr(256 + place): bytes([byte]) for place, byte in enumerate(others)}
