"""Put the user's own labels on texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from llmcli.errors import UsageError
from llmcli.run.options import ModelOptions, request
from llmcli.run.request import InputOptions, OutputOptions, Request
from llmcli.tasks import _labelling

FIELDS, OPTIONAL, WINDOW = _labelling.FIELDS, _labelling.OPTIONAL, _labelling.WINDOW
answer = _labelling.answer


@dataclass(frozen=True)
class Options(_labelling.Options):
    """The task's own options."""

    labels: Annotated[
        str | None,
        Option(help="The labels, with commas between.", rich_help_panel="Labels", show_default=False),
    ] = None
    labels_file: Annotated[
        Path | None,
        Option(help="A YAML list of labels: names, or objects with name, words, description and examples.",
               rich_help_panel="Labels", show_default=False),
    ] = None  # fmt: skip
    describe: Annotated[
        list[str],
        Option(help="What a label is for: 'billing: invoices and payments'; repeatable.",
               rich_help_panel="Labels", show_default=False),
    ] = field(default_factory=list)  # fmt: skip
    example: Annotated[
        list[str],
        Option(help="A text that has a label: 'bug: it crashes at once'; repeatable.",
               rich_help_panel="Labels", show_default=False),
    ] = field(default_factory=list)  # fmt: skip
    multi: Annotated[
        bool, Option("--multi", help="Several labels may hold, or none: those that score --threshold (0.5) or more.",
                     rich_help_panel="Labels")
    ] = False  # fmt: skip


def command(source: InputOptions, own: Options, model: ModelOptions, output: OutputOptions) -> Request:
    """Put one of your labels on each text, with a score from 0 to 1.

    A causal model weighs the labels by their likelihood, its own preference taken back; a zero-shot (NLI)
    checkpoint by entailment; a classifier brings its own labels.

    Example: llmcli classify --labels billing,bug,praise "The app crashes when I log in"

    Example: llmcli classify --labels billing,bug,praise -i tickets.csv --field body -o labelled.csv

    Example: llmcli classify --labels-file labels.yaml --multi --threshold 0.5 < text.txt
    """
    labels = _labels(own)
    own = replace(_labelling.routed(own, source, output), labels=None, labels_file=None, describe=[], example=[])
    made = request("classify", source=source, model=model, output=output, own=own)
    return replace(made, flags=made.flags | {"labels": labels}) if labels else made


def _labels(own: Options) -> list[dict[str, Any]]:
    """The labels of the command line or of a YAML file: names, or objects as in ``schemas.Label``."""
    if own.labels and own.labels_file:
        raise UsageError("--labels and --labels-file exclude each other")
    found: Any = [name.strip() for name in (own.labels or "").split(",") if name.strip()]
    if own.labels_file:
        from llmcli.config.strict_yaml import load_yaml

        found = load_yaml(own.labels_file)
    found = found if isinstance(found, list) else []
    labels: list[Any] = [{"name": item} if isinstance(item, str) else item for item in found]
    names = [item.get("name") if isinstance(item, dict) else None for item in labels]
    if (own.labels or own.labels_file) and (len(names) < 2 or None in names or len(set(names)) < len(names)):
        raise UsageError("labels must be two names or more, each given once", hint="give --labels a,b,c")
    for name, text in _said(own.describe, names, option="--describe"):
        labels[names.index(name)]["description"] = text
    for name, text in _said(own.example, names, option="--example"):
        item = labels[names.index(name)]
        item["examples"] = [*item.get("examples", []), text]
    return labels


def _said(given: list[str], names: list[Any], *, option: str) -> Iterator[tuple[str, str]]:
    """The label and the text of each 'LABEL: TEXT'."""
    for item in given:
        name, _, text = (part.strip() for part in item.partition(":"))
        if name not in names or not text:
            raise UsageError(f"{option} {item!r} is not 'LABEL: TEXT' of one of the labels")
        yield name, text
