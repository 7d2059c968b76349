"""From groups of options to the flat signature that Typer reads."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import MISSING, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from typer import Argument, Option


def flatten(
    work: Callable[[dict[str, Any]], Any], groups: Sequence[type[Any]], *, without: Collection[str] = ()
) -> Callable[..., Any]:
    """A function with one parameter for each field of ``groups`` (dataclasses); ``work`` gets the values by name.

    A name that two groups have is the first one's; those in ``without`` are left out of all groups but the first.
    """
    names = {"Argument": Argument, "Option": Option}  # the groups' modules do without importing them
    parameters: dict[str, inspect.Parameter] = {}
    for place, group in enumerate(groups):
        hints = get_type_hints(group, localns=names, include_extras=True)
        for item in fields(group):
            if item.name in parameters or (place and item.name in without):
                continue
            default = item.default if item.default is not MISSING else inspect.Parameter.empty
            default = [] if item.default_factory is not MISSING else default
            kind = inspect.Parameter.KEYWORD_ONLY
            made = inspect.Parameter(item.name, kind, default=default, annotation=_breakable(hints[item.name]))
            parameters[item.name] = made

    def flat(**values: Any) -> Any:
        return work(values)

    flat.__signature__ = inspect.Signature([*parameters.values()])  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters.values()}
    return flat


def _breakable(annotation: Any) -> Any:
    """An option's annotation, whose choices the help shows with blanks between: it would break lines within a name."""
    kind, info = get_args(annotation)[:2]
    literal = next((part for part in (kind, *get_args(kind)) if get_origin(part) is Literal), None)
    if literal is not None and info.metavar is None:
        info.metavar = f"<{' | '.join(get_args(literal))}>"
    return annotation
