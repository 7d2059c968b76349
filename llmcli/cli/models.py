"""``llmcli models``: list, show, pull, verify, remove, and the user's own names and defaults."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmcli import tasks
from llmcli.config import options, places
from llmcli.errors import ModelError, OutputError, UsageError

if TYPE_CHECKING:
    from llmcli.config.schemas import Chosen

app = typer.Typer()
Name = Annotated[
    str, typer.Argument(help="A model's name, alias, Hub id or path.", autocompletion=options.matching_models)
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a model.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never fetch anything.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the known models: name, tasks, size, licence, source, and whether they are here.

    Example: llmcli models list
    """
    from llmcli.models import listing

    known = listing.known()
    rows = [listing.row(model) for model in [*known, *listing.pulled(known)]]
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row, ensure_ascii=False))
        return
    for row in rows:
        here = "pulled" if row["pulled"] else ""
        typer.echo("\t".join([row["name"], row["tasks"], row["size"], row["license"], row["source"], here]).rstrip())


@app.command()
def show(name: Name, as_json: AsJson = False, offline: Offline = False) -> None:
    """Show all that is known of a model; for a checkpoint without a YAML, what its own files tell.

    Example: llmcli models show ./my-model --json
    """
    from llmcli.models import manifest, names, store

    model = names.find(name, offline=offline)
    folder = store.folder(model.source, name=model.name) or model.source.path
    found = manifest.read(folder) if folder else None
    values = model.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    values |= {"pipeline": model.pipeline, "folder": str(folder), "commit": found.get("commit") if found else None}
    if as_json:
        typer.echo(json.dumps(values, ensure_ascii=False))
        return
    for key, value in values.items():
        typer.echo(f"{key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")


@app.command()
def pull(name: Name, quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False) -> None:
    """Fetch a model, or the newest commit of its revision, and pin it.

    Example: llmcli models pull opus-mt-en-fr
    """
    from llmcli.cli import progress
    from llmcli.models import manifest, names, store

    with progress.preparing({"quiet": quiet}) as report:
        model = names.named(names.chosen().aliases.get(name, name))
        if model is not None:
            report.introduce(model.name, model.introduction)
        else:
            report.introduce(name, [f"fetching {name}"])
            model = names.find(name, report=report)
        folder = store.folder(model.source, name=model.name)
        if folder is None:
            raise UsageError(f"{name} is a folder of yours: nothing to pull")
        store.renew(model, report=report)
    found = manifest.read(folder) or {}
    typer.echo(f"{model.name}\t{found.get('commit', 'ready')}\t{folder}")


@app.command()
def verify(name: Annotated[str | None, typer.Argument(help="A model; all that are here if missing.")] = None) -> None:
    """Read every byte of stored models, and compare with what was stored. Exit code 4 where one changed.

    Example: llmcli models verify
    """
    from llmcli.models import listing, manifest

    found = listing.stored() if name is None else [(name, _place(name))]
    for label, folder in found:
        if manifest.read(folder) is None:
            raise ModelError(f"{label} is not here", code="not-pulled", hint=f"llmcli models pull {label}")
        manifest.check(folder, name=label, whole=True)
        typer.echo(f"{label}\tok")


@app.command()
def remove(name: Name) -> None:
    """Delete a stored model. A folder of your own is never touched.

    Example: llmcli models remove gpt2
    """
    folder = _place(name)
    if not folder.is_dir():
        raise ModelError(f"{name} is not here", code="not-pulled")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    try:
        shutil.rmtree(folder)
        Path(f"{folder}.lock").unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror or error}", code="cache") from error
    typer.echo(f"{name}\tremoved, {size / 1e6:.0f} MB freed")


@app.command()
def path(name: Name) -> None:
    """Print the folder of a stored model.

    Example: llmcli models path gemma-3-270m
    """
    typer.echo(str(_place(name)))


@app.command()
def alias(short: Annotated[str, typer.Argument(help="The new name.")], name: Name) -> None:
    """Give a model a shorter name.

    Example: llmcli models alias fr Helsinki-NLP/opus-mt-en-fr
    """
    if "/" in short:
        raise UsageError("an alias holds no slash")
    _write(lambda found: found.model_copy(update={"aliases": {**found.aliases, short: name}}))


@app.command()
def default(
    task: Annotated[str, typer.Argument(help="A task.")],
    name: Annotated[str | None, typer.Argument(help="A model; missing: print the one that is chosen.")] = None,
) -> None:
    """Set or print the default model of a task; config.yaml and --model win over it.

    Example: llmcli models default sentiment distilbert-sst2
    """
    from llmcli.run import resolve

    if task not in tasks.names():
        raise UsageError(f"no task named {task}", hint=f"tasks: {', '.join(tasks.names())}")
    if name is None:
        typer.echo(resolve.merged(tasks.get(task), {}).model.name)
        return
    _write(lambda found: found.model_copy(update={"defaults": {**found.defaults, task: name}}))


@app.command()
def add(
    checkpoint: Annotated[str, typer.Argument(help="A folder, a GGUF file or a Hub id.")],
    name: Annotated[str, typer.Option("--name", help="What to call it.")] = "",
) -> None:
    """Write a starter YAML for a checkpoint into your configuration folder.

    Example: llmcli models add ./my-model --name mine
    """
    import yaml

    from llmcli.models import names

    model = names.find(checkpoint)
    name = name or Path(checkpoint).stem.lower()
    target = places.user() / "models" / f"{name}.yaml"
    if target.exists():
        raise UsageError(f"{target} is there already", hint="give another --name, or edit it")
    values = model.model_dump(mode="json", exclude_none=True, exclude_defaults=True) | {"name": name}
    _save(target, _HEAD + yaml.safe_dump(values, sort_keys=False, allow_unicode=True) + _TAIL)
    typer.echo(str(target))


_HEAD = "# Settings of a model. What is left out comes from the task's YAML: see `llmcli config show TASK`.\n"
_TAIL = """# license: {name: NAME, url: URL}
# languages: [en, fr]
# tasks:
#   generate: {generation: {temperature: 0.7}}
"""


def _place(name: str) -> Path:
    """The folder in the store of a model that is known, or of a Hub id. Raises ModelError for others."""
    from llmcli.config.schemas import HubSource, Source
    from llmcli.models import names, store

    name = names.chosen().aliases.get(name, name)
    model = names.named(name)
    source = model.source if model else Source(path=Path(name)) if Path(name).exists() else None
    if source is None and name.count("/") == 1:
        source = Source(hub=HubSource(repo=name))
    folder = store.folder(source, name=model.name if model else name) if source else None
    if folder is None:
        raise ModelError(f"no stored model {name}", code="no-model", hint="llmcli models list")
    return folder


def _write(change: Any) -> None:
    import yaml

    from llmcli.models import names

    changed: Chosen = change(names.chosen())
    _save(places.user() / "chosen.yaml", "# Written by `llmcli models`; config.yaml wins over it.\n"
          + yaml.safe_dump(changed.model_dump(exclude_defaults=True), allow_unicode=True))  # fmt: skip


def _save(target: Path, content: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        partial.write_text(content, encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        raise OutputError(f"{target}: {error.strerror or error}", code="write") from error
