"""Groups of commands whose help is printed at once."""

from __future__ import annotations

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
