"""The folder of a trained model: what was trained, its YAML, its card, and the rows with their sides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from llmcli import __version__
from llmcli.config.model_config import ModelConfig, Source
from llmcli.config.run_config import AnyConfig
from llmcli.config.schemas import Settings
from llmcli.evaluate.seen import NAME, digest
from llmcli.models import manifest, store
from llmcli.models.names import TRAINED
from llmcli.run.fingerprint import OPTIONS_LEFT_OUT
from llmcli.train.splitting import Prepared

CARD = "README.md"


@dataclass(frozen=True)
class Story:
    """What the card tells: lines of text, by heading."""

    parts: Mapping[str, Sequence[str]]


def model(config: AnyConfig, *, method: str, whole: bool) -> dict[str, Any]:
    """The values of the YAML. ``config``: the run with what was trained; ``whole``: the weights are in the folder."""
    base = config.model
    kept = base.model_dump(mode="json", exclude_none=True, exclude_defaults=True, exclude={"tasks", "trained", "size"})
    source = {"path": "."} if whole else _source(base.source)
    described = f"{title(base)}, trained to {config.task} ({method})."
    values = {**kept, "name": "trained", "description": described, "source": source, "base": title(base),
              "pipeline": base.pipeline, "chat": base.chat, "supported_tasks": [config.task],
              "tasks": {config.task: _settings(config)}}  # fmt: skip
    if base.source.path is None and not whole:
        values["base_weights"] = store.identity(base.model_copy(update={"trained": None}))
    return values


def title(base: ModelConfig) -> str:
    """What a base model is called: a folder by its own name, however its path was spelled."""
    return base.source.path.name if base.source.path is not None else base.stored


def _source(source: Source) -> dict[str, Any]:
    if source.path is not None:
        return {"path": str(source.path.resolve())}
    return source.model_dump(mode="json", exclude_none=True, exclude_defaults=True)


def _settings(config: AnyConfig) -> dict[str, Any]:
    """The settings of the task with which it was trained: all that decides its prompts and answers."""
    settings = config.settings
    options = {item.name: getattr(config.options, item.name) for item in fields(config.options)
               if item.name not in (*OPTIONS_LEFT_OUT, "all_scores")
               and getattr(config.options, item.name) not in (None, False, [], "")}  # fmt: skip
    found = Settings(
        prompt=settings.prompt, labels=settings.labels, label_temperature=settings.label_temperature,
        neutral=settings.neutral, no_answer_bias=settings.no_answer_bias, generation=settings.generation,
    )  # fmt: skip
    values = found.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    if settings.prompt is not None:
        values["prompt"]["examples"] = [dict(shot) for shot in settings.prompt.examples]
    if settings.neutral is not None:
        values["neutral"] = list(settings.neutral)
    return values | ({"options": options} if options else {})


def write(folder: Path, config: AnyConfig, *, method: str, whole: bool, rows: Prepared) -> None:
    """Write the YAML and the rows. The card and the manifest come when it is known how good the model is."""
    import yaml

    head = "# Made by `llmcli train`: this folder is a model, by its path. README.md tells how good it is.\n"
    text = yaml.safe_dump(model(config, method=method, whole=whole), sort_keys=False, allow_unicode=True)
    (folder / TRAINED).write_text(head + text, encoding="utf-8")
    lines = [json.dumps({"id": one.row.record.id, "digest": digest(one.row.record), "side": one.side}) + "\n"
             for one in rows.rows]  # fmt: skip
    (folder / NAME).write_text("".join(lines), encoding="utf-8")


def finish(folder: Path, config: AnyConfig, story: Story) -> None:
    """Write the card and, last, the manifest."""
    from huggingface_hub import ModelCard, ModelCardData

    base = config.model
    licence = base.license.name if base.license else "unknown"
    data = ModelCardData(
        base_model=base.source.hub.repo if base.source.hub else title(base), license="other", license_name=licence,
        license_link=(base.license.url or None) if base.license else None, language=base.languages or None,
        tags=["llmcli", config.task],
    )  # fmt: skip
    parts = [f"## {title}\n\n" + "\n".join(lines) for title, lines in story.parts.items()]
    body = "\n\n".join([f"# {title(base)}, trained to {config.task}", *parts])
    ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}\n").save(folder / CARD)
    manifest.write(folder, trained=f"llmcli {__version__} train {config.task}", base=title(base))
