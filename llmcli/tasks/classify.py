"""Put the user's own labels on texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from llmcli.errors import UsageError
from llmcli.run.fields import Field
from llmcli.tasks import _labelling

if TYPE_CHECKING:
    from typer import Option

    from llmcli.config.run_config import RunConfig
    from llmcli.config.schemas import Label
    from llmcli.pipelines.protocol import Emit, Model
    from llmcli.run.records import Record, Result


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


def prepare(config: RunConfig[Options]) -> RunConfig[Options]:
    """The labels of the options in place of those of the YAML files. Raises UsageError."""
    config = _labelling.prepare(config)
    labels = _labels(config)
    options = replace(config.options, labels=None, labels_file=None, describe=[], example=[])
    settings = config.settings.model_copy(update={"labels": labels}) if labels else config.settings
    return replace(config, options=options, settings=settings)


def answer(
    model: Model, config: RunConfig[Options], records: Sequence[Record], *, emit: Emit | None = None
) -> list[Result]:
    """See :func:`llmcli.tasks._label_answers.answer`."""
    return _labelling.answer(model, config, records, multi=config.options.multi)


def _labels(config: RunConfig[Options]) -> list[Label]:
    """The labels of the options or of a YAML file: names, or objects as in ``schemas.Label``."""
    own = config.options
    labels = list(config.settings.labels or [])
    if own.labels_file:  # of config.yaml; that of the command line has been read
        labels = _of_file(own.labels_file)
    elif own.labels:
        from llmcli.config.schemas import Label

        labels = [Label(name=name.strip()) for name in own.labels.split(",") if name.strip()]
    names = [label.name for label in labels]
    given = own.labels or own.labels_file or config.origins.get("labels") == "flag"
    if given and (len(names) < 2 or len(set(names)) < len(names)):
        raise UsageError("labels must be two names or more, each given once", hint="give --labels a,b,c")
    for name, text in _said(own.describe, names, option="--describe"):
        at = names.index(name)
        labels[at] = labels[at].model_copy(update={"description": text})
    for name, text in _said(own.example, names, option="--example"):
        at = names.index(name)
        labels[at] = labels[at].model_copy(update={"examples": [*labels[at].examples, text]})
    return labels


def read(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The labels of --labels-file in its place. Raises ConfigError, UsageError."""
    options = dict(settings.get("options", {}))
    path = options.pop("labels_file", None)
    if path is None:
        return settings
    if "labels" in options:
        raise UsageError("--labels and --labels-file exclude each other")
    labels = [label.model_dump(exclude_defaults=True) for label in _of_file(path)]
    return {**settings, "options": options, "labels": labels}


def _of_file(path: Path) -> list[Label]:
    """The labels of a YAML list. Raises ConfigError."""
    from llmcli.config.schemas import Labels
    from llmcli.config.strict_yaml import load_yaml, parse

    listed = load_yaml(path)
    if not isinstance(listed, list):
        raise UsageError(f"{path}: labels must be a list of two names or more")
    return parse(Labels, {"labels": listed}, origin=str(path)).labels


def _said(given: list[str], names: list[str], *, option: str) -> Iterator[tuple[str, str]]:
    """The label and the text of each 'LABEL: TEXT'."""
    for item in given:
        name, _, text = (part.strip() for part in item.partition(":"))
        if name not in names or not text:
            raise UsageError(f"{option} {item!r} is not 'LABEL: TEXT' of one of the labels")
        yield name, text


LABELS = Field(
    "labels", "object of numbers", "the labels that hold, and the score of each; may be empty", option="multi"
)
TASK = replace(
    _labelling.task(
        "classify",
        help="""Put one of your labels on each text, with a score from 0 to 1.

    A causal model weighs the labels by their likelihood, its own preference taken back; a zero-shot (NLI)
    checkpoint by entailment; a classifier brings its own labels.

    Example: llmcli classify --labels billing,bug,praise "The app crashes when I log in"

    Example: llmcli classify --labels billing,bug,praise -i tickets.csv --field body -o labelled.csv

    Example: llmcli classify --labels-file labels.yaml --multi --threshold 0.5 < text.txt
    """,
        options=Options,
        answer=answer,
    ),
    prepare=prepare,
    read=read,
    fields=(*_labelling.FIELDS[:3], LABELS, *_labelling.FIELDS[3:]),
)
