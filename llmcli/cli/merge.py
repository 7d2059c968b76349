"""``llmcli merge``: one file of the answers of all shards."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from typer import Argument, Option

    from llmcli.cli.progress import Preparing
    from llmcli.cluster.shards import Shards
    from llmcli.config.run_config import RunOptions

HELP = """Make one file of what shards have answered: what one process would have written.

    Each row of the input must have exactly one answer; otherwise nothing is written, and what is missing is named. The
    format is told by the output's ending, other options are those of the shards.

    Example: llmcli merge out/ -i big.jsonl -o scored.jsonl

    Example: llmcli merge out/ -i big.jsonl --partial -o so-far.csv
    """


@dataclass(frozen=True)
class Options:
    """What is put together, and where it goes."""

    folder: Annotated[Path, Argument(help="The folder that was the -o of the shards.")]
    input: Annotated[
        list[Path],
        Option("--input", "-i", help="The input of the shards; repeatable.", rich_help_panel="Input",
               show_default="where the shards read it"),
    ] = field(default_factory=list)  # fmt: skip
    output: Annotated[
        Path | None,
        Option("--output", "-o", help="Write to this file; '-' is standard output.", rich_help_panel="Output",
               show_default=False),
    ] = None  # fmt: skip
    partial: Annotated[
        bool, Option("--partial", help="Write what there is: a row without an answer is an error row.",
                     rich_help_panel="Output")
    ] = False  # fmt: skip
    quiet: Annotated[bool, Option("--quiet", "-q", help="Nothing on stderr but errors.", rich_help_panel="Output")] = (
        False
    )
    no_progress: Annotated[bool, Option("--no-progress", help="No progress bar.", rich_help_panel="Output")] = False
    debug: Annotated[bool, Option("--debug", help="Show the traceback of an error.", rich_help_panel="Output")] = False


def command(values: dict[str, Any]) -> int:
    """Merge the shards of a folder, and give the exit code."""
    from llmcli.cli import progress
    from llmcli.cluster import shards

    asked = Options(**values)
    if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    with progress.preparing(values) as report:
        found = shards.read(asked.folder)
        if asked.output is not None:
            shards.refuse_own(asked.folder, asked.output)
        output = replace(found.run.output, output=asked.output, quiet=asked.quiet, no_progress=asked.no_progress)
        source = replace(found.run.source, input=asked.input or found.run.source.input)
        return put_together(found, replace(found.run, source=source, output=output), report, partial=asked.partial)


def put_together(found: Shards, run: RunOptions[Any], report: Preparing, *, partial: bool = False) -> int:
    """Write the answers of shards as a run does, and give its exit code. Raises RowsFailed where one is missing."""
    from llmcli import tasks
    from llmcli.cli import progress
    from llmcli.cli.totals import closed, counted
    from llmcli.cluster.merging import Merging, missing
    from llmcli.data import inputs, readers, targets
    from llmcli.data.writer import Writer
    from llmcli.errors import InputError
    from llmcli.reports import say

    task = tasks.get(run.task)
    aside = targets.aside(run, task)
    files = inputs.listed(run, aside=aside)
    targets.check(run, files, aside=aside)
    silent = replace(run, output=replace(run.output, quiet=True))  # the shards said what is to be said of the input
    total = readers.count(run, files) if not run.output.quiet else None
    merging = Merging(found, run)
    with (
        progress.Rows(report, total=total, quiet=run.output.quiet, batch=True) as rows,
        Writer(run, task) as writer,
    ):
        results = merging.results(rows.reading(readers.read(silent, files)))
        for result in task.select(run, counted(run, results, rows)):
            if partial or not missing(result):
                writer.write(result)
        if not rows.rows:
            raise InputError("the input is empty", code="empty")
        if (lack := merging.lack()) and not partial:
            raise lack
        too_many = merging.too_many()
        if too_many and (doubled := merging.doubled(readers.read(silent, files), too_many)):
            raise doubled
        if too_many and not run.output.quiet:
            say(f"llmcli: {len(too_many):,} answers belong to no row of the input")
    return closed(run, rows, writer)
