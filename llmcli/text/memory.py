"""Translations of earlier runs: pairs of texts, as TMX or as lines of two columns."""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from llmcli.errors import InputError

_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write."""
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}


class Memory:
    """Translations from one language to another. ``source`` is empty while it is not known."""

    def __init__(self, source: str, target: str) -> None:
        self.source, self.target = source, target
        self._pairs: dict[str, str] = {}
        self.added: dict[str, str] = {}
        """What is new."""

    def find(self, text: str) -> str | None:
        """The translation of a text, word for word."""
        return self._pairs.get(text.strip())

    def add(self, text: str, translation: str, *, source: str) -> None:
        """Remember a translation. What is already known stays."""
        if _NO_XML.search(text + translation):
            return  # a TMX file could not be read again
        self.source = self.source or source
        if source == self.source and text.strip() not in self._pairs:
            self._pairs[text.strip()] = self.added[text.strip()] = translation.strip()

    def known(self, text: str, translation: str) -> None:
        """Take over a translation of an earlier run; the last one of a text counts."""
        self._pairs[text.strip()] = translation.strip()


def read_tsv(text: str, memory: Memory) -> None:
    """Lines of source, tab, translation. Raises InputError."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            source, tab, target = line.rstrip("\r").partition("\t")
            if not tab:
                raise InputError(f"line {number}: no two columns", code="bad-memory")
            memory.known(_unescaped(source), _unescaped(target.partition("\t")[0]))


def tsv_lines(memory: Memory) -> str:
    """What is new, as lines to append."""
    return "".join(f"{_escaped(one)}\t{_escaped(other)}\n" for one, other in memory.added.items())


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)


def _unescaped(text: str) -> str:
    named = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}
    return re.sub(r"\\([tnr\\])", lambda match: named[match[1]], text)


def read_tmx(text: str, memory: Memory) -> None:
    """The units that have both languages; where the source is not known, any other than the target. Raises InputError.

    A document type is refused: its entities could grow without bounds.
    """
    if re.search(r"<!ENTITY", text):
        raise InputError("a TMX file with entities of its own", code="bad-memory")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InputError(f"no TMX: {error}", code="bad-memory") from error
    for unit in root.iter("tu"):
        texts = {(variant.get(_LANG) or variant.get("lang") or "").lower(): "".join(segment.itertext())
                 for variant in unit.iter("tuv") for segment in variant.iter("seg")}  # fmt: skip
        target = _of(texts, memory.target)
        others = {code: said for code, said in texts.items() if said is not target}
        source = _of(others, memory.source) if memory.source else next(iter(others.values()), None)
        if source is not None and target is not None:
            memory.known(source, target)


def _of(texts: dict[str, str], language: str) -> str | None:
    """The text in a language, whatever its region."""
    wanted = language.lower()
    return texts.get(wanted) or next((said for code, said in texts.items() if code.partition("-")[0] == wanted), None)


def tmx(memory: Memory, before: str) -> str:
    """A TMX file: the one before with the new units at its end."""
    units = "".join(
        f'    <tu>\n      <tuv xml:lang={quoteattr(memory.source)}><seg>{escape(one)}</seg></tuv>\n'
        f'      <tuv xml:lang={quoteattr(memory.target)}><seg>{escape(other)}</seg></tuv>\n    </tu>\n'
        for one, other in memory.added.items()
    )  # fmt: skip
    if "</body>" in before:
        head, _, tail = before.rpartition("</body>")
        return f"{head.rstrip(' ')}{units}  </body>{tail}"
    return (f'<?xml version="1.0" encoding="UTF-8"?>\n<tmx version="1.4">\n  <header creationtool="llmcli" '
            f'creationtoolversion="1" segtype="sentence" o-tmf="llmcli" adminlang="en" srclang='
            f'{quoteattr(memory.source)} datatype="plaintext"/>\n  <body>\n{units}  </body>\n</tmx>\n')  # fmt: skip
