"""The console blocks of a page: commands, and what they print."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```console\n\$ llmcli (.*)\n((?:.*\n)*?)```$", re.MULTILINE)
NUMBER = re.compile(r"#[0-9a-f]{6}\b|-?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Block:
    """A command's arguments, and what the page says that it prints."""

    arguments: list[str]
    output: str

    @property
    def picture(self) -> str:
        """The picture that it writes, from the repository's top; empty where it writes none."""
        return self.arguments[self.arguments.index("--svg") + 1] if "--svg" in self.arguments else ""


def blocks(page: Path) -> list[Block]:
    """All blocks of a page, in order."""
    return [Block(shlex.split(match[1]), match[2]) for match in BLOCK.finditer(page.read_text())]


def alike(one: str, other: str) -> bool:
    """Whether two outputs say the same: numbers may differ by what another processor rounds otherwise."""
    if NUMBER.sub("0", one) != NUMBER.sub("0", other):
        return False
    pairs = zip(NUMBER.findall(one), NUMBER.findall(other), strict=True)
    return all(a == b or _near(a, b) for a, b in pairs)


def _near(one: str, other: str) -> bool:
    if one.startswith("#") and other.startswith("#"):
        parts = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in (one, other)]
        return all(abs(a - b) <= 3 for a, b in zip(*parts, strict=True))
    if "." not in one + other:
        return False
    return abs(float(one) - float(other)) <= max(0.0021, 0.01 * abs(float(one)))
