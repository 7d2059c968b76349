"""Shell completion of model names and languages; nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Iterator


def models(incomplete: str) -> Iterator[str]:
    """Names of the shipped and the user's models that begin so."""
    from llmcli.config import places

    yield from (name for name in places.names("models") if name.startswith(incomplete))


def languages(incomplete: str) -> Iterator[tuple[str, str]]:
    """Common language codes with their English names."""
    from llmcli.text import languages as table

    yield from (
        (code, name)
        for code, name in table.COMMON.items()
        if code.startswith(incomplete) or name.lower().startswith(incomplete.lower())
    )
