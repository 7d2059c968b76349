"""``llmcli models``: list, show, pull, verify, remove, and the user's own names and defaults."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from llmcli.cli import aliases
from llmcli.config import offered, places
from llmcli.errors import ModelError, OutputError, UsageError, one_line
from llmcli.reports import put

app = typer.Typer()
app.command()(aliases.alias)
app.command()(aliases.default)
Name = Annotated[str, typer.Argument(help="A model's name, alias, Hub id or path.", autocompletion=offered.models)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a model.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never fetch anything.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the known models: name, tasks, size, licence, source, and whether they are here.

    The size is what a model takes on the disk, or, where it is not here, what would be fetched. Tab-separated values
    where standard output is no terminal.

    Example: llmcli models list
    Example: llmcli models list --json
    """
    from llmcli.cli import table
    from llmcli.models import listing

    rows = listing.rows()
    if as_json:
        for row in rows:
            put(json.dumps(asdict(row), ensure_ascii=False))
        return
    table.show(
        ("name", "tasks", "size", "licence", "source", "here"),
        [(row.name, row.tasks, row.size, row.license, row.source, "pulled" if row.pulled else "") for row in rows],
    )


@app.command()
def show(name: Name, as_json: AsJson = False, offline: Offline = False) -> None:
    """Show what a model is: base or chat, tasks, languages, licence, where it is from, and its size on the disk.

    Of a model that is not pulled a few kB are fetched at the first look, none of its weights.

    Example: llmcli models show ./my-model --json
    Example: llmcli models show gpt2
    """
    from llmcli.models import describing, listing, names

    model = describing.describe(names.find(name), offline=offline)
    if as_json:
        put(json.dumps(listing.details(model), ensure_ascii=False))
        return
    for key, line in listing.described(model).items():
        put(f"{key}: {one_line(line)}")


@app.command()
def pull(name: Name, quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False) -> None:
    """Fetch a model, or the newest commit of its revision, and pin it.

    Example: llmcli models pull opus-mt-en-fr
    Example: llmcli models pull distilbert/distilbert-base-uncased-finetuned-sst-2-english
    """
    from llmcli.cli import progress
    from llmcli.models import describing, manifest, names, pairs, store

    model = describing.describe(pairs.fill(names.find(name), source="auto", target=""))
    folder = store.folder(model.source, name=model.stored)
    if folder is None:
        what = "a server's model" if model.source.server is not None else "a folder of yours"
        raise UsageError(f"{name} is {what}: nothing to pull")
    with progress.preparing({"quiet": quiet}) as report:
        report.introduce(model.name, store.introduction(model))
        store.renew(model, report=report)
    facts = manifest.read(folder) or {}
    put(f"{model.name}\t{facts.get('commit', 'ready')}\t{folder}")


@app.command()
def verify(
    name: Annotated[
        str | None, typer.Argument(help="A model; all that are here if missing.", autocompletion=offered.models)
    ] = None,
) -> None:
    """Read every byte of stored models, and compare with what was stored. Exit code 4 where one changed.

    Example: llmcli models verify
    Example: llmcli models verify gemma-3-270m
    """
    from llmcli.models import listing, manifest

    found = listing.stored() if name is None else [(name, _place(name))]
    for label, folder in found:
        if manifest.read(folder) is None:
            raise ModelError(f"{label} is not here", code="not-pulled", hint=f"llmcli models pull {label}")
        manifest.check(folder, name=label, whole=True)
        put(f"{label}\tok")


@app.command()
def remove(name: Name) -> None:
    """Delete a stored model, or what `llmcli train` wrote. Any other folder of your own is never touched.

    Example: llmcli models remove gpt2
    Example: llmcli models remove ./my-model
    """
    from llmcli.config.model_config import HubSource
    from llmcli.models import listing, manifest, small_files

    folder = _place(name)
    if not folder.is_dir():
        raise ModelError(f"{name} is not here", code="not-pulled")
    size, facts = listing.disk_use(folder), manifest.read(folder) or {}
    if "trained" not in facts and not folder.is_relative_to(places.cache()):
        raise ModelError(f"{name} is a folder of your own", code="no-model", hint="rm -r deletes it")
    try:
        if "trained" in facts:
            manifest.discard(folder)
        else:
            shutil.rmtree(folder)
        Path(f"{folder}.lock").unlink(missing_ok=True)
        if "repo" in facts:
            small_files.remove(HubSource(repo=facts["repo"], revision=facts["revision"]))
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror or error}", code="cache") from error
    put(f"{name}\tremoved, {size / 1e6:.0f} MB freed")


@app.command()
def path(name: Name) -> None:
    """Print the folder of a stored model, which any program can read: 32-bit weights that were let go are made again.

    Example: llmcli models path gemma-3-270m
    Example: du -sh "$(llmcli models path gemma-3-270m)"
    """
    from llmcli.cli import progress
    from llmcli.models import listing, manifest, names, store

    folder = _place(name)
    if name not in dict(listing.stored()) and manifest.read(folder) is not None:
        with progress.preparing({}) as report:
            store.complete(names.find(name), folder, report=report)
    put(str(folder))


@app.command()
def add(
    checkpoint: Annotated[str, typer.Argument(help="A folder, a GGUF file, a Hub id or URL#MODEL.")],
    name: Annotated[str, typer.Option("--name", help="What to call it.")] = "",
    offline: Offline = False,
) -> None:
    """Write a starter YAML for a checkpoint into your configuration folder.

    Example: llmcli models add ./my-model --name mine
    Example: llmcli models add http://localhost:8000/v1#llama --name local
    """
    import yaml

    from llmcli.config import whole_file
    from llmcli.models import describing, names

    model = describing.describe(names.find(checkpoint), offline=offline)
    path = Path(checkpoint)
    name = name or (path.stem if path.suffix.lower() == ".gguf" else path.absolute().name).lower()
    if not aliases.NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be a model's name", hint="give --name of letters, digits and -_.")
    target = places.user() / "models" / f"{name}.yaml"
    if target.exists():
        raise UsageError(f"{target} is there already", hint="give another --name, or edit it")
    said = {"name": name, "pipeline": model.pipeline} | ({"chat": model.chat} if model.pipeline == "causal" else {})
    values = said | model.model_dump(mode="json", exclude_none=True, exclude_defaults=True, exclude={"name"})
    if model.trained is not None:
        values = {"name": name, "source": {"path": str(model.trained)}}  # its own file says all
    whole_file.write(target, _HEAD + yaml.safe_dump(values, sort_keys=False, allow_unicode=True) + _TAIL)
    put(str(target))


_HEAD = "# Settings of a model. What is left out comes from the task's YAML: see `llmcli config show TASK`.\n"
_TAIL = """# license: {name: NAME, url: URL}
# languages: [en, fr]
# tasks:
#   generate: {generation: {temperature: 0.7}}
"""


def _place(name: str) -> Path:
    """The folder in the store of a model, or one that `models list` names. Raises ModelError for others."""
    from llmcli.models import listing, names, pairs, store

    label = dict(listing.stored()).get(name)
    if label is not None:
        return label
    model = names.find(name)
    if model.trained is not None:
        return model.trained
    folder = None if pairs.template(model) else store.folder(model.source, name=model.stored)
    if folder is None:
        raise ModelError(f"no stored model {name}", code="no-model", hint="llmcli models list")
    return folder
