"""A part of a run's rows: where its output goes, and which rows are in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from llmcli.config.cluster import Shard
from llmcli.config.run_config import RunConfig, plain
from llmcli.errors import InputError, UsageError, shown
from llmcli.run import keys
from llmcli.run.records import Record

OptionsT = TypeVar("OptionsT")
ENDINGS = {"jsonl": ".jsonl", "json": ".jsonl", "csv": ".csv", "tsv": ".tsv"}
"""What the output of a shard ends in, by the input's format; that of other formats has no ending."""


def placed(config: RunConfig[OptionsT]) -> RunConfig[OptionsT]:
    """The settings of a run; those of a shard with an output of its own in the folder that was named.

    Raises UsageError for what cannot be in parts.
    """
    shard, folder = config.shard, config.output.output
    if config.spread and config.output.requests is not None:
        raise UsageError("--requests is for all rows: without --shard and --cluster",
                         hint="give --shard with --responses")  # fmt: skip
    if shard is None:
        return _clustered(config)
    if config.cluster.cluster is not None:
        raise UsageError("--shard and --cluster exclude each other")
    if folder is None or not plain(folder) or folder.is_file():
        where = "" if folder is None else f"{shown(folder)}: "
        raise UsageError(f"{where}the output of a shard is in a folder", hint="give -o FOLDER")
    if not config.batch:
        raise UsageError("--shard is for rows, and the input is one text", hint="give --lines, --jsonl or --csv")
    ending = ENDINGS.get("jsonl" if config.output.json else config.format, "")
    return replace(config, output=replace(config.output, output=folder / f"{shard.name}{ending}"))


def _clustered(config: RunConfig[OptionsT]) -> RunConfig[OptionsT]:
    """The settings of a run without shards. Raises UsageError for what no cluster can do."""
    if config.cluster.cluster is not None:
        for option, given in (("--responses", config.source.responses), ("--cost", config.output.cost)):
            if given:
                raise UsageError(f"{option} is for one process", hint=f"leave {option} or --cluster away")
        if config.journal is None:
            raise UsageError("--cluster is for rows, and for files as --output", hint="give -o FILE")
        if any(str(path) == "-" for path in config.source.input) or not config.source.input:
            raise UsageError("--cluster is for files as --input", hint="give -i FILE")
    return config


def part(records: Iterator[Record], shard: Shard, row_fields: Sequence[str]) -> Iterator[Record]:
    """The records of a shard. Raises InputError where there is none of any shard."""
    held: Record | None = None
    empty = True
    for record in records:
        empty = False
        mine = shard.holds(keys.digest(record, row_fields))
        if held is not None and (mine or record.last):
            yield held if mine else replace(held, last=True)
            held = None
        if mine and record.last:
            yield record
        elif mine:
            held = record  # whether it is the last for now, the next one tells
    if held is not None:
        yield held
    if empty:
        raise InputError("the input is empty", code="empty")
