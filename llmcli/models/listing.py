"""What `llmcli models list` and `models show` tell: what a model is, where it is from, and the room that it takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmcli.config import places
from llmcli.config.model_config import HubSource, ModelConfig, Source
from llmcli.errors import ModelError
from llmcli.models import describing, manifest, names, pairs, refusals, small_files, store
from llmcli.reports import human
from llmcli.text import languages

KINDS = {
    "seq2seq": "encoder-decoder",
    "classification": "classifier",
    "zero-shot": "zero-shot classifier",
    "question-answering": "span finder",
    "server": "model of a server",
}


@dataclass(frozen=True)
class Listed:
    """A line of the list. ``disk``: the bytes that it takes here, derived files too; None where it is not here."""

    name: str
    tasks: str
    size: str
    license: str
    source: str
    pulled: bool
    disk: int | None


def rows() -> list[Listed]:
    """Models that have a YAML, then checkpoints in the store that have none."""
    known = [model for name in places.names("models") if (model := names.named(name))]
    listed = [_listed(_told(model)) for model in known]
    places_known = {_folder(model) for model in known}
    return [*listed, *(_listed(model, folder) for model, folder in _others() if folder not in places_known)]


def details(model: ModelConfig) -> dict[str, Any]:
    """All that is known of a model, as JSON values: what its YAML and its checkpoint say, and how it is here."""
    folder = _folder(model)
    facts = (manifest.read(folder) if folder else None) or {}
    values = model.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return values | {"pipeline": model.pipeline, "kind": kind(model), "origin": origin(model.source),
                     "instruct": model.chat if model.pipeline == "causal" else None, "refused": _refused(model, folder),
                     "folder": str(folder) if folder else None, "commit": facts.get("commit"),
                     "disk": _disk(model.source, folder)}  # fmt: skip


def described(model: ModelConfig) -> dict[str, str]:
    """The same for people: a name and a line each."""
    values = details(model)
    read, written = languages.listed(model.sources, 40), languages.listed(model.targets, 40)
    licence = model.license
    here = human(values["disk"]) if values["disk"] is not None else f"not here; {model.size or 'its size is not known'}"
    lines = {
        "name": model.name,
        "description": model.description,
        "kind": values["kind"],
        "tasks": model.abilities.removeprefix("do "),
        "languages": "not told" if not model.targets else read if read == written else f"{read} to {written}",
        "licence": f"{licence.name} {licence.url} {licence.notice}".rstrip() if licence else "not told",
        "refused": "" if model.source.server is not None else _said(values["refused"]),
        "trained on": model.base,
        "origin": values["origin"],
        "commit": values["commit"] or "",
        "folder": values["folder"] or "",
        "size on disk": "" if model.source.server is not None else here,
    }
    return {name: line for name, line in lines.items() if line}


def _refused(model: ModelConfig, folder: Path | None) -> list[str] | None:
    """Files that may hold code, and are not read; None where it is not known which there are."""
    hub = model.source.hub
    facts = (manifest.read(small_files.folder(hub)) if hub is not None else None) or {}
    if "refused" in facts:
        return [name for name in str(facts["refused"]).split(", ") if name]
    return refusals.of_folder(folder) if folder is not None and folder.is_dir() and hub is None else None


def _said(refused: list[str] | None) -> str:
    if refused is None:
        return "not known"
    return f"{', '.join(refused)}: never read, never run" if refused else "nothing: no pickle, no code of its author"


def kind(model: ModelConfig) -> str:
    """What sort of model it is."""
    if "pipeline" not in model.model_fields_set and model.source.package is None:
        return "not known: no checkpoint is there"
    if model.pipeline == "causal":
        return "chat model" if model.chat else "base model: it continues text"
    return KINDS[model.pipeline]


def origin(source: Source) -> str:
    """Where a model comes from."""
    if source.hub is not None:
        return f"https://huggingface.co/{source.hub.repo}, revision {source.hub.revision}"
    if source.package is not None:
        return f"Python packages {', '.join(source.package.requirements)}"
    return f"{source.model} of the server {source.server}" if source.server is not None else str(source.path)


def stored() -> list[tuple[str, Path]]:
    """All checkpoints of the store, by folder name."""
    models = places.cache() / "models"
    folders = [path for path in sorted([*models.glob("*"), *models.glob("hub/*")]) if path.is_dir()]
    return [(path.name, path) for path in folders if path.name != "hub" and not path.name.endswith(".partial")]


def disk_use(folder: Path) -> int:
    """The bytes of a file, or of all files of a folder."""
    files = folder.rglob("*") if folder.is_dir() else [folder]
    return sum(path.stat().st_size for path in files if path.is_file())


def _told(model: ModelConfig) -> ModelConfig:
    """With what its checkpoint tells, where that is known here."""
    try:
        return describing.describe(model, offline=True)
    except ModelError:
        return model


def _folder(model: ModelConfig) -> Path | None:
    """Where its checkpoint is, or would be; None for a template of many."""
    if pairs.template(model):
        return None
    if model.trained is not None:
        return model.trained
    try:
        return store.folder(model.source, name=model.stored) or model.source.path
    except ModelError:  # a GGUF file that is gone
        return None


def _listed(model: ModelConfig, folder: Path | None = None) -> Listed:
    source = model.source
    local = source.package.requirements[0] if source.package else source.server or str(source.path)
    place = source.hub.repo if source.hub else local
    disk = disk_use(folder) if folder else _disk(source, _folder(model))
    return Listed(
        model.name, tasks=", ".join(model.supported_tasks) or model.abilities.removeprefix("do "),
        size=model.size if disk is None else human(disk), license=model.license.name if model.license else "",
        source=place, pulled=disk is not None, disk=disk,
    )  # fmt: skip


def _disk(source: Source, folder: Path | None) -> int | None:
    """The bytes of a checkpoint that is here: in the store, whole, or with the user, what is in the store beside it."""
    if folder is not None and "trained" in (manifest.read(folder) or {}):
        return disk_use(folder)
    whole = {folder} if folder is not None and manifest.read(folder) else set()
    if source.path is not None and (source.path.is_file() or (source.path / "config.json").is_file()):
        whole |= {source.path}
    return sum(map(disk_use, whole)) if whole else None


def _others() -> Iterator[tuple[ModelConfig, Path]]:
    """The store's checkpoints as their own files tell; one that llmcli cannot run takes room too."""
    for label, folder in stored():
        facts = manifest.read(folder) or {}
        if "repo" in facts:
            name, source = facts["repo"], Source(hub=HubSource(repo=facts["repo"], revision=facts["revision"]))
        else:
            name, source = label, Source(path=Path(facts.get("source", folder)))
        try:
            yield _told(describing.infer(folder, name=name, source=source)), folder
        except ModelError:
            yield ModelConfig(name=name, source=source, supported_tasks=["no task that is known"]), folder
