"""Tokens by the scripts in which they are written."""

from __future__ import annotations

from functools import cache
from string import ascii_letters
from typing import Any

import regex
from transformers.convert_slow_tokenizer import bytes_to_unicode

from llmcli.text import scripts

_BYTES = {character: byte for byte, character in bytes_to_unicode().items()}
"""The bytes that the characters of a byte-level vocabulary stand for."""
_BYTE = regex.compile("<0x([0-9A-F]{2})>")
"""A byte in the vocabularies of SentencePiece."""
_CUT = regex.compile(rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z")
"""The beginning of a character in UTF-8."""
OFTEN = 0.25
"""The share of a script in the characters with one beginning from which a token of that beginning is of the script:
0.75 of Chinese behind E3 (with kana), 1.0 behind E4 to E9, 0.03 behind E2, where dashes and quotation marks are."""


def tokens(tokenizer: Any, written: tuple[str, ...]) -> list[int]:
    """The tokens of a vocabulary with a letter of some scripts (ISO 15924), or with the beginning of one."""
    letter, by_bytes = scripts.letter(written), tokenizer.convert_tokens_to_string(["Ġ"]) == " "
    latin = letter.search(ascii_letters) is not None

    @cache
    def begins(cut: bytes) -> bool:
        behind = _behind(cut)
        return len(letter.findall(behind)) >= OFTEN * len(behind)

    chosen = []
    for token, number in tokenizer.get_vocab().items():
        if not latin and token.lstrip("Ġ▁").isascii() and not token.startswith("<0x"):
            continue  # most are, and need no look at their bytes
        spelled = _spelled(token, by_bytes=by_bytes)
        cut = _CUT.search(spelled)
        if letter.search(spelled.decode(errors="ignore")) or (cut and begins(cut[0])):
            chosen.append(number)
    return sorted(chosen)


def _spelled(token: str, *, by_bytes: bool) -> bytes:
    """A token in UTF-8."""
    if by_bytes and all(character in _BYTES for character in token):
        return bytes(_BYTES[character] for character in token)
    byte = _BYTE.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.encode(errors="ignore")


def _behind(cut: bytes) -> str:
    """All characters that begin with these bytes."""
    size = 2 if cut[0] < 0xE0 else 3 if cut[0] < 0xF0 else 4
    number = cut[0] & (0x7F >> size)
    for byte in cut[1:]:
        number = number << 6 | byte & 0x3F
    missing = 6 * (size - len(cut))
    return "".join(map(chr, range(number << missing, min(number + 1 << missing, 0x110000))))
