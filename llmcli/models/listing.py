"""What `llmcli models list` lists: models with a YAML, and pulled checkpoints without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmcli.config import places
from llmcli.config.schemas import HubSource, ModelConfig, Source
from llmcli.errors import ModelError
from llmcli.models import describing, manifest, names, store


def known() -> list[ModelConfig]:
    """The models that have a YAML."""
    return [model for name in places.names("models") if (model := names.named(name))]


def pulled(known: list[ModelConfig]) -> Iterator[ModelConfig]:
    """Checkpoints of the Hub that are here and have no YAML: what their own files tell."""
    named = {(model.source.hub.repo, model.source.hub.revision) for model in known if model.source.hub}
    for _, folder in stored():
        found = manifest.read(folder) or {}
        if "repo" in found and (found["repo"], found["revision"]) not in named:
            source = Source(hub=HubSource(repo=found["repo"], revision=found["revision"]))
            size = sum(facts["size"] for facts in found["files"].values())
            try:
                model = describing.infer(folder, name=found["repo"], source=source)
            except ModelError:  # one that llmcli cannot run is listed too: it takes room
                model = ModelConfig(name=found["repo"], source=source, supported_tasks=["no task that is known"])
            yield model.model_copy(update={"size": f"{size / 1e9:.1f} GB"})


def row(model: ModelConfig) -> dict[str, Any]:
    """What a listing says of a model: name, tasks, size, licence, source, and whether it is here."""
    source = model.source
    place = source.hub.repo if source.hub else source.package.requirements[0] if source.package else str(source.path)
    folder = None if describing.template(model) else store.folder(source, name=model.name)
    pulled = source.path is not None or (folder is not None and manifest.read(folder) is not None)
    able = ", ".join(model.supported_tasks) or model.abilities.removeprefix("do ")
    return {"name": model.name, "tasks": able, "size": model.size,
            "license": model.license.name if model.license else "", "source": place, "pulled": pulled}  # fmt: skip


def stored() -> list[tuple[str, Path]]:
    """All checkpoints of the store, by folder name."""
    models = places.cache() / "models"
    folders = [path for path in sorted([*models.glob("*"), *models.glob("hub/*")]) if path.is_dir()]
    return [(path.name, path) for path in folders if path.name != "hub" and not path.name.endswith(".partial")]
