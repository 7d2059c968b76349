"""Small files that are written whole or not at all; nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path

from llmcli.errors import OutputError, shown


def write(target: Path, content: str) -> None:
    """Write text to a file, whole or not at all. Raises OutputError."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        partial.write_text(content, encoding="utf-8", newline="\n")
        partial.replace(target)
    except OSError as error:
        raise OutputError(f"{shown(target)}: {error.strerror or error}", code="write") from error
