"""One YAML for many checkpoints: where ``{source}`` and ``{target}`` stand, the languages of a pair."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from llmcli.config.model_config import HubSource, ModelConfig, Source
from llmcli.errors import UsageError
from llmcli.text import languages


def template(model: ModelConfig) -> str:
    """Where the weights are, if the place has ``{source}`` and ``{target}`` in it: one YAML, many checkpoints."""
    place = model.source.hub.repo if model.source.hub else str(model.source.path or "")
    return place if "{source}" in place and "{target}" in place else ""


def match(model: ModelConfig, name: str) -> ModelConfig | None:
    """The model that a name means by a template's name: ``opus-mt-en-fr`` by ``opus-mt``. None where it does not."""
    found = re.fullmatch(re.escape(model.name) + r"-([a-z]{2,3})-([a-z]{2,3})", name)
    return _filled(model, source=found[1], target=found[2]) if found and template(model) else None


def fill(model: ModelConfig, *, source: str, target: str) -> ModelConfig:
    """The model of a pair of languages, where the YAML is a template; any other model as it is.

    Raises UsageError where a language is missing.
    """
    if not template(model):
        return model
    if not target or source in ("", "auto"):
        raise UsageError(
            f"{model.name} has a checkpoint for each pair of languages", code="no-pair",
            hint=f"give --from and --to, or -m {model.name}-en-fr",
        )  # fmt: skip
    return _filled(model, source=languages.parse(source), target=languages.parse(target))


def _filled(model: ModelConfig, *, source: str, target: str) -> ModelConfig:
    place = template(model).replace("{source}", source).replace("{target}", target)
    hub = model.source.hub
    where = Source(hub=HubSource(repo=place, revision=hub.revision)) if hub else Source(path=Path(place))
    return model.model_copy(
        update={
            "name": f"{model.name}-{source}-{target}",
            "source": where,
            "source_languages": [languages.parse(source)],
            "target_languages": [languages.parse(target)],
        }
    )


def pair(source: str | None, target: str | None) -> str:
    """How settings name a pair of languages: ``zh-en``; empty where one is not given, or not known."""
    if not source or not target or "auto" in (source, target):
        return ""
    with contextlib.suppress(UsageError):  # the task says so
        return f"{languages.parse(source)}-{languages.parse(target)}"
    return ""
