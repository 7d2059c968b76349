"""Read plain option values without pydantic, which Typer imports (a third of a warm call) to check any value."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup

_UNREAD = object()


class Command(TyperCommand):
    """A command whose plainly right values are taken as they are; Typer reads, or refuses, all others."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See click."""
        _plainly(self.get_params(ctx))
        return super().parse_args(ctx, args)


class Group(TyperGroup):
    """A group of commands, likewise."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See click."""
        _plainly(self.get_params(ctx))
        return super().parse_args(ctx, args)


def _plainly(params: list[Any]) -> None:
    for param in params:
        known = hasattr(param, "type_descriptor")  # of Typer 0.29; with another all goes its way
        if known and not isinstance(param.process_value, partial):
            param.process_value = partial(_process, param, param.process_value)


def _process(param: Any, process: Any, ctx: Any, value: Any) -> Any:
    read = _UNREAD if param.required else _read(param, value)
    if read is _UNREAD:
        return process(ctx, value)
    return param.callback(ctx, param, read) if param.callback else read


def _read(param: Any, value: Any) -> Any:
    known = param.type_descriptor
    kind = known.annotation
    if known.parameter_info.parser:
        return _UNREAD
    if value is None:
        return () if param.multiple or param.nargs == -1 else None
    if not known.is_list:
        return _one(kind, known, value)
    items = [_one(kind.__args__[0], known, item) for item in value] if isinstance(value, list | tuple) else [_UNREAD]
    return _UNREAD if _UNREAD in items else items


def _one(kind: Any, known: Any, value: Any) -> Any:
    """The value of a plain text, or _UNREAD."""
    info = known.parameter_info
    if kind is bool and isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return _UNREAD
    if known.choices is not None:
        return value if value in known.choices else _UNREAD
    if kind is str and not known.is_path:
        return value
    if kind in (int, float) and not info.clamp and re.fullmatch(r"\d{1,15}" if kind is int else r"\d{1,9}(\.\d{1,9})?",
                                                               value, re.ASCII):  # fmt: skip
        number = kind(value)
        low, high = info.min, info.max
        return number if (low is None or number >= low) and (high is None or number <= high) else _UNREAD
    if (
        kind is Path
        and not (info.exists or info.resolve_path or info.writable or info.path_type)
        and (os.access(value, os.R_OK) or not os.path.lexists(value))
    ):
        return Path(value)
    return _UNREAD
