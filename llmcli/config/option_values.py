"""Options from a YAML file: checked as their flags are, by the same declarations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from llmcli.config.options import COMMAND_LINE, SHORT_FORMATS
from llmcli.config.strict_yaml import parse
from llmcli.errors import ConfigError, UsageError, nearest

FLAG = "flag"
"""The origin of what the command line says."""


def check(groups: Sequence[type[Any]], values: Mapping[str, Any], *, task: str, origin: str) -> dict[str, Any]:
    """The values of a layer's ``options``, of the types and within the bounds that the flags have.

    ``groups`` are dataclasses of annotated options. What a short flag stands for is folded into ``format``. Raises
    ConfigError as ``origin: [options.name] what``.
    """
    if origin == FLAG:  # Typer has checked them
        return _with_format(_with_paths(groups, values), origin="")
    known = [item.name for group in groups for item in fields(group)]
    for name in values:
        if name not in known:
            raise ConfigError(f"{origin}: [options.{name}] {task} has no such option", hint=nearest(str(name), known))
        if name in COMMAND_LINE:
            raise ConfigError(f"{origin}: [options.{name}] can only be given on the command line")
    whole = parse(_schema(tuple(groups)), {"options": dict(values)}, origin=origin)
    typed = whole.options.model_dump(exclude_unset=True, by_alias=True)  # type: ignore[attr-defined]
    return _with_format(typed, origin=f"{origin}: [options.format] ")


def _with_paths(groups: Sequence[type[Any]], values: Mapping[str, Any]) -> dict[str, Any]:
    """Paths that came as text, from another process."""
    typed = dict(values)
    for item in (item for group in groups for item in fields(group)):
        value = typed.get(item.name)
        if "Path" in str(item.type) and value is not None:
            typed[item.name] = [Path(path) for path in value] if isinstance(value, list) else Path(value)
    return typed


def _with_format(values: dict[str, Any], *, origin: str) -> dict[str, Any]:
    """One ``format`` in place of several flags. Raises UsageError where two differ."""
    named = [name for name in SHORT_FORMATS if values.pop(name, False)]
    if values.get("format", "auto") not in ("auto", *named):
        named.append(values["format"])
    if len(named) > 1:
        raise UsageError(f"{origin}two input formats: {' and '.join(named)}", hint="give one")
    return values | ({"format": named[0]} if named else {})


@lru_cache(32)
def _schema(groups: tuple[type[Any], ...]) -> type[BaseModel]:
    """A pydantic model of ``{options: {…}}`` with the fields of all groups."""
    import typer

    names = {"Argument": typer.Argument, "Option": typer.Option}
    declared: dict[str, Any] = {}
    for group in groups:
        hints = get_type_hints(group, localns=names, include_extras=True)
        declared |= {f"{item.name}_": (_strict(hints[item.name]), _field(item)) for item in fields(group)}
    config = ConfigDict(extra="forbid")
    options = create_model("Options", __config__=config, **declared)
    return create_model("Layer", options=(options, ...))


def _field(item: Any) -> Any:
    """By an alias: pydantic has methods of the names of some options."""
    if item.default is MISSING:
        return Field(default_factory=list, alias=item.name)
    return Field(item.default, alias=item.name)


def _strict(annotation: Any) -> Any:
    """A flag's type and bounds for pydantic; a number is no text, and YAML's ``no`` is neither."""
    kind, *metadata = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    inner = next(part for part in get_args(kind) if part is not NoneType) if _optional(kind) else kind
    if get_origin(inner) is Literal or inner is Path:
        return kind
    if get_origin(inner) is list:
        item = get_args(inner)[0]
        return list[Annotated[item, Field(strict=item is not Path)]]  # type: ignore[valid-type]
    bounds = metadata[0] if inner in (int, float) and metadata else None
    strict = Field(strict=True, ge=getattr(bounds, "min", None), le=getattr(bounds, "max", None))
    checked: Any = Annotated[inner, strict]
    return checked | None if _optional(kind) else checked


def _optional(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType) and NoneType in get_args(kind)
