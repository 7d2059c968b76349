"""The settings of one run, resolved once, before anything reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from llmcli.config import places
from llmcli.config.options import InputOptions, OutputOptions
from llmcli.errors import UsageError

if TYPE_CHECKING:
    from llmcli.config.model_config import ModelConfig
    from llmcli.config.schemas import Generation, Settings

OptionsT = TypeVar("OptionsT")
ENDINGS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv"}
"""Formats by file ending; other files hold one text each."""


@dataclass(frozen=True)
class RunOptions(Generic[OptionsT]):
    """What a run reads, does and writes: all that readers, journal and writer need. ``format`` is never ``auto``.

    ``options`` are the task's own. ``combine``: standard input and TEXT make one prompt, in this order.
    """

    task: str
    source: InputOptions
    output: OutputOptions
    options: OptionsT
    combine: bool = False

    @property
    def format(self) -> str:
        """The input's format."""
        return self.source.format

    @property
    def batch(self) -> bool:
        """Whether there are rows: several texts, each with a result of its own."""
        folder = any(path.is_dir() for path in self.source.input)
        return self.format != "text" or len(self.source.input) > 1 or folder

    @property
    def into_folder(self) -> bool:
        """Whether each file of an input folder gives a file of the output folder. ``-o NAME.jsonl`` is one file."""
        target = self.output.output
        if target is None or self.format != "text" or not any(path.is_dir() for path in self.source.input):
            return False
        return target.is_dir() or target.suffix.lower() not in ENDINGS

    @property
    def journal(self) -> Path | None:
        """Where a batch's journal is; None where the run keeps none: no output file, or a single text."""
        target = self.output.output
        if target is None or not self.batch:
            return None
        return target / ".llmcli.journal" if self.into_folder else target.with_name(target.name + ".journal")


@dataclass(frozen=True)
class RunConfig(RunOptions[OptionsT]):
    """A run, its model, and the settings that won. ``origins`` names each setting's source."""

    model: ModelConfig = field(kw_only=True)
    settings: Settings = field(kw_only=True)
    offline: bool = False
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def generation(self) -> Generation:
        """The generation config; what is unset is the model's own."""
        from llmcli.config.schemas import Generation

        return self.settings.generation or Generation()

    @property
    def light(self) -> RunOptions[OptionsT]:
        """Without model and settings: what another process needs to read and to write."""
        return RunOptions(self.task, self.source, self.output, self.options, self.combine)


AnyConfig = RunConfig[Any]


def check_apart(source: InputOptions, target: Path | None) -> None:
    """Raise UsageError where an output file is an input."""
    if target is not None and any(_same(path, target) for path in source.input):
        raise UsageError(f"{target} is both input and output", hint="give another --output")


def _same(path: Path, other: Path) -> bool:
    one, two = places.absolute(path), places.absolute(other)
    return one.exists() and two.exists() and one.samefile(two)
