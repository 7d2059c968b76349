"""Writes docs/reference-yaml.md from the schemas, each key of the YAML files: ``python -m tests.support.reference``."""

from __future__ import annotations

import ast
import inspect
import json
import re
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from llmcli.config import model_config, schemas
from tests.support import ROOT

TARGET = ROOT / "docs" / "reference-yaml.md"
FILES = (model_config.ModelConfig, schemas.TaskConfig, schemas.UserConfig, schemas.Settings)
"""The schemas of whole files, and what two of them share."""
HEAD = """\
# Keys of the YAML files

Written by `python -m tests.support.reference` from the docstrings of the schemas; a test compares them.
Files are in `~/.config/llmcli` (`llmcli config path`); an unknown key is an error.
`llmcli models add CHECKPOINT` writes a file to begin with, and `llmcli config show TASK` tells which setting wins.
"""
TYPES = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path", Any: "any value"}
BOUNDS = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "min_length": "at least {} of them",
          "pattern": "like `{}`"}  # fmt: skip


def text() -> str:
    """The whole page."""
    return HEAD + "".join(_section(schema) for schema in _reached())


def _reached() -> list[type[BaseModel]]:
    """The schemas of files, and those that their keys hold."""
    reached: list[type[BaseModel]] = list(FILES)
    for schema in reached:
        inner = [kind for item in schema.model_fields.values() for kind in _schemas(item.annotation)]
        reached += [kind for kind in dict.fromkeys(inner) if kind not in reached]
    return reached


def _schemas(annotation: Any) -> list[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [kind for part in get_args(annotation) for kind in _schemas(part)]


def _section(schema: type[BaseModel]) -> str:
    meanings, shared = _docstrings(schema), set[str]()
    about = _plain(inspect.cleandoc(schema.__doc__ or ""))
    if schema is not schemas.Settings and issubclass(schema, schemas.Settings):
        shared = set(schemas.Settings.model_fields)
        about += " All keys of [Settings](#settings), and these:"
    rows = [
        f"| `{name}` | {_type(item.annotation)}{_bounds(item)} | {_default(item)} | {_plain(meanings[name])} |"
        for name, item in schema.model_fields.items()
        if name not in shared
    ]
    table = ["| key | value | default | meaning |", "|---|---|---|---|", *rows, ""]
    return "\n".join(["", f"## {schema.__name__}", "", about, "", *table])


def _docstrings(schema: type[BaseModel]) -> dict[str, str]:
    """What is written under each field, inherited ones too."""
    found: dict[str, str] = {}
    for kind in reversed(schema.__mro__):
        if not issubclass(kind, BaseModel) or kind is BaseModel:
            continue
        (tree,) = ast.parse(inspect.getsource(kind)).body
        assert isinstance(tree, ast.ClassDef)
        for field, below in zip(tree.body, tree.body[1:], strict=False):
            match (field, below):
                case (ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(meaning)))):
                    found[name] = inspect.cleandoc(meaning)
    return found


def _type(annotation: Any) -> str:
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(_type(part) for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) is list:
        return f"list of {_type(get_args(annotation)[0])}"
    if get_origin(annotation) is dict:
        return f"mapping to {_type(get_args(annotation)[1])}"
    if _schemas(annotation):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return TYPES[annotation]


def _bounds(item: FieldInfo) -> str:
    said = [
        words.format(str(value).replace("|", r"\|"))
        for rule in item.metadata
        for name, words in BOUNDS.items()
        if (value := getattr(rule, name, None)) is not None
    ]
    return "".join(f", {words}" for words in said)


def _default(item: FieldInfo) -> str:
    if item.is_required():
        return "required"
    value = item.get_default(call_default_factory=True)
    if value in (None, "", [], {}) or isinstance(value, BaseModel):
        return ""
    return f"`{json.dumps(value)}`"


def _plain(written: str) -> str:
    """Of reStructuredText, the little that docstrings have."""
    return re.sub(r"``(.+?)``", r"`\1`", " ".join(written.split())).replace("|", r"\|")


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
