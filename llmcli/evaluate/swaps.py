"""What an audit changes in a text: terms of paired lists, typing errors, upper case."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from llmcli.config import places
from llmcli.errors import ConfigError, InputError, UsageError, nearest, shown
from llmcli.run.records import decode

FOLDER = "swaps"
OWN = ("typos", "case")
"""Changes that no list holds."""
DENIED = "negation"
"""The list after whose change another label is right."""
VOWELS = "aeiou"
"""Letters before which English writes "an"."""
EACH = 8
"""One word of so many gets a typing error, and at least one."""
_LETTERS = re.compile(r"[^\W\d_]{4,}")


@dataclass(frozen=True)
class Swapped:
    """A changed text. ``what`` was changed into what; ``forward``: from a list's first column to its second."""

    text: str
    what: list[str]
    forward: bool = True


@dataclass(frozen=True)
class Swap:
    """A kind of change. ``denies``: after it another label is right."""

    name: str
    change: Callable[[str], Swapped | None] = field(repr=False)
    denies: bool = False


def swap(name: str) -> Swap:
    """The kind of a name, or of a file of pairs of the user's. Raises UsageError, ConfigError, InputError."""
    if name in OWN:
        return Swap(name, _typos if name == "typos" else _case)
    path = places.shipped() / FOLDER / f"{name}.tsv"
    if "/" in name or name.endswith(".tsv") or not path.is_file():
        path = Path(name)
        if not path.exists() or path.is_dir():  # a pipe will do: --swap <(…)
            raise UsageError(f"--swap: no list {name}", hint=nearest(name, names(), what="give a .tsv file, or one of"))
    forward, backward = _read(path)
    denies = name == DENIED
    table = forward if denies else backward | forward
    pattern = _pattern(table)

    def change(text: str) -> Swapped | None:
        return _listed(text, pattern, table, forward, once=denies)

    return Swap(path.stem, change, denies=denies)


def names() -> list[str]:
    """The kinds that are shipped."""
    return sorted([*OWN, *(path.stem for path in (places.shipped() / FOLDER).glob("*.tsv"))])


def _read(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Pairs in small letters, either way; of terms that stand twice the first pair counts."""
    forward: dict[str, str] = {}
    backward: dict[str, str] = {}
    try:
        lines = decode(path.read_bytes()).removeprefix("\ufeff").split("\n")
    except OSError as error:
        raise InputError(f"{shown(path)}: {error.strerror or error}", code="unreadable") from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = [cell.strip() for cell in line.rstrip("\r").split("\t")]
        if len(cells) != 2 or not all(cells) or cells[0].lower() == cells[1].lower():
            raise ConfigError(f"{shown(path)}:{number}: not two terms that differ, with a tab between")
        forward.setdefault(cells[0].lower(), cells[1])
        backward.setdefault(cells[1].lower(), cells[0])
    if not forward:
        raise ConfigError(f"{shown(path)}: no pairs", hint="a line each: TERM, a tab, TERM")
    return forward, backward


def _pattern(table: Mapping[str, str]) -> re.Pattern[str]:
    """Whole words, the longest term first, in any case, and an article before them."""
    terms = "|".join(re.escape(term) for term in sorted(table, key=lambda term: (-len(term), term)))
    return re.compile(rf"(?<!\w)(?:(an?)(\s+))?({terms})(?!\w)", re.IGNORECASE)


def _listed(
    text: str, pattern: re.Pattern[str], table: Mapping[str, str], forward: Mapping[str, str], *, once: bool
) -> Swapped | None:
    changed: list[tuple[str, str]] = []

    def put(match: re.Match[str]) -> str:
        article, gap, term = match[1] or "", match[2] or "", match[3]
        if term.lower() not in table:  # a letter that has no case of its own: the pattern takes a dotless i for i
            return match[0]
        other = _cased(table[term.lower()], like=term)
        changed.append((term, other))
        if article and (term[0].lower() in VOWELS) != (other[0].lower() in VOWELS):
            article = article[0] if article[1:] else article + ("N" if article.isupper() and term.isupper() else "n")
        return article + gap + other

    new = pattern.sub(put, text, count=1 if once else 0)
    if not changed:
        return None
    return Swapped(new, [f"{one} → {other}" for one, other in dict.fromkeys(changed)],
                   forward=changed[0][0].lower() in forward)  # fmt: skip


def _cased(term: str, *, like: str) -> str:
    """A term in the case of another: SMALL, capital, or as the list has it."""
    if like.isupper() and len(like) > 1:
        return term.upper()
    if like.islower():
        return term.lower()
    return term[:1].upper() + term[1:] if like[:1].isupper() else term


def _typos(text: str) -> Swapped | None:
    """Two neighbouring letters within some words change places: the same ones of the same text."""
    found = [match for match in _LETTERS.finditer(text) if len({*match[0][1:-1]}) > 1]
    if not found:
        return None
    draw = random.Random(text)
    chosen = draw.sample(found, max(len(found) // EACH, 1))
    new, what = text, []
    for match in sorted(chosen, key=lambda one: -one.start()):
        word = match[0]
        at = draw.choice([place for place in range(1, len(word) - 2) if word[place] != word[place + 1]] or [1])
        wrong = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        new = new[: match.start()] + wrong + new[match.end() :]
        what.append(f"{word} → {wrong}")
    return Swapped(new, what[::-1]) if new != text else None


def _case(text: str) -> Swapped | None:
    """All in capitals; a text that is so already in small letters."""
    new = text.lower() if text.upper() == text else text.upper()
    return Swapped(new, ["capitals" if new == text.upper() else "small letters"]) if new != text else None
