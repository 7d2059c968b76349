"""What a command line asks for, as it was given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from llmcli.config import cluster
from llmcli.config.cluster import ClusterOptions
from llmcli.config.generation_options import GenerationOptions
from llmcli.config.options import InputOptions, ModelOptions, OutputOptions, ProcessOptions, given
from llmcli.errors import UsageError
from llmcli.run.task import Task

SHARED = (InputOptions, OutputOptions, ProcessOptions, ClusterOptions)
"""Groups of options that every task has beside its own, under ``options`` in YAML."""
_SAID = ("quiet", "verbose", "no_progress", "debug")
OF_ONE_RUN = frozenset({
    "text", "input", "responses", "lines", "pattern",
    *(item.name for group in (OutputOptions, ClusterOptions) for item in fields(group) if item.name not in _SAID),
})  # fmt: skip
"""Options of a run over rows: what it reads, what it writes, and where. Commands that judge or train have their own."""


@dataclass(frozen=True)
class Request:
    """A task, and the settings that were given: the strongest layer of them, as a YAML file would hold it."""

    task: str
    settings: Mapping[str, Any]

    @property
    def options(self) -> Mapping[str, Any]:
        """The options that were given, by name."""
        found: Mapping[str, Any] = self.settings.get("options", {})
        return found


def groups(task: Task[Any]) -> list[type[Any]]:
    """The dataclasses of all options of a task, its own first."""
    written = [GenerationOptions] if task.writes else []
    return [task.options, InputOptions, *written, ModelOptions, ProcessOptions, OutputOptions, ClusterOptions]


def request(task: Task[Any], values: Mapping[str, Any]) -> Request:
    """The request of parsed flags, by name: those that were given (not None, not empty).

    Raises UsageError for one that is not UTF-8; names of files may be any bytes.
    """
    for name, value in values.items():
        texts = [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
        if name != "pattern" and any("\ud800" <= character <= "\udfff" for text in texts for character in text):
            raise UsageError(f"{'TEXT' if name == 'text' else '--' + name.replace('_', '-')} is not UTF-8")
    settings = given(ModelOptions, values)
    if task.writes and (generation := given(GenerationOptions, values)):
        settings["generation"] = generation
    options: dict[str, Any] = {}
    for group in (task.options, *SHARED):
        options |= given(group, values)
    if "shard" in options:  # the environment is this process's, whoever resolves the settings
        options["shard"] = str(cluster.chosen(options["shard"], os.environ))
    return Request(task.name, task.read(settings | ({"options": options} if options else {})))
