"""A strict YAML reader: no repeated keys, no anchors; every error as ``file: [field] what``."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from llmcli.config import places
from llmcli.errors import ConfigError

S = TypeVar("S", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Safe YAML without aliases and without repeated keys."""

    def _peek(self) -> Any:
        return self.peek_event()  # type: ignore[no-untyped-call]

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent) or getattr(self._peek(), "anchor", None):
            raise yaml.MarkedYAMLError(problem="anchors and aliases are not allowed",
                                       problem_mark=self._peek().start_mark)  # fmt: skip
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be text", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} is given twice",
                                           problem_mark=key.start_mark)  # fmt: skip
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_yaml(path: Path) -> Any:
    """Read a YAML file strictly. Raises ConfigError as ``file: [line N] what``."""
    try:
        return yaml.load(places.absolute(path).read_text("utf-8-sig"), _Loader)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from error
    except yaml.MarkedYAMLError as error:
        line = f"[line {error.problem_mark.line + 1}] " if error.problem_mark else ""
        raise ConfigError(f"{path}: {line}{error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error


def parse(schema: type[S], data: Any, *, origin: str) -> S:
    """Validate ``data``. Raises ConfigError as ``origin: [field] what``."""
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(f"{origin}: [top level] must be a mapping")
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "top level"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise ConfigError(f"{origin}: [{where}] {_plain(first)}{more}") from error


REASONS = {
    "extra_forbidden": "unknown key",
    "missing": "must be given",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "string_pattern_mismatch": "is not of the form {pattern}",
    "too_short": "must have {min_length} or more",
}
"""What is wrong, in plain words, by pydantic's name for it."""


def _plain(error: Any) -> str:
    """The reason of one of pydantic's errors."""
    context = error.get("ctx", {})
    reason = REASONS.get(error["type"])
    message = reason.format(**context) if reason else str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "string_type" and isinstance(error["input"], bool):
        message += "; YAML reads yes, no, on and off as true and false: put it in quotes"
    return message


def load(schema: type[S], path: Path) -> S:
    """Read and validate one YAML file; one that is as it was is not read again."""
    try:
        facts = places.absolute(path).stat()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    found: S = _loaded(schema, path, (facts.st_size, facts.st_mtime_ns, facts.st_ino))
    return found


@lru_cache(64)
def _loaded(schema: type[Any], path: Path, facts: tuple[int, ...]) -> Any:
    return parse(schema, load_yaml(path), origin=str(path))
