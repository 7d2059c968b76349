"""The settings of one run, resolved once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmcli.config.schemas import Generation, ModelConfig, Settings


@dataclass(frozen=True)
class RunConfig:
    """A task, a model, and the settings that won. ``origins`` names each setting's source."""

    task: str
    model: ModelConfig
    settings: Settings
    offline: bool = False
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def generation(self) -> Generation:
        """The generation config; what is unset is the model's own."""
        return self.settings.generation or Generation()

    def option(self, name: str, default: Any = None) -> Any:
        """One of the task's own options."""
        return (self.settings.options or {}).get(name, default)
