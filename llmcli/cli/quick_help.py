"""Groups of commands whose help is printed at once, examples first."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperGroup


class Group(TyperGroup):
    """A --help that was not given is False: of a missing value Typer imports pydantic to make one."""

    def get_help_option(self, ctx: Any) -> Any:
        """See TyperGroup."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """See TyperGroup."""
        command = super().get_command(ctx, cmd_name)
        if command is not None and command.help:
            command.help = laid_out(command.help)
        return command


def laid_out(text: str) -> str:
    """A help text whose examples follow its first paragraph, and whose paragraphs have no line breaks of their own."""
    parts = re.split(r"\n\n|\n(?=Example: )", text.strip())
    examples = "\n".join(part for part in parts if part.startswith("Example: "))
    first, *more = (" ".join(part.split()) for part in parts if not part.startswith("Example: "))
    return "\n\n".join(filter(None, [first, examples, *more]))
