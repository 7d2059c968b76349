"""A run and its records as JSON values: for the worker's wire, and for those who put shards together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llmcli import tasks
from llmcli.config.cluster import ClusterOptions
from llmcli.config.options import InputOptions, OutputOptions
from llmcli.config.run_config import RunOptions
from llmcli.run.records import Record

Packed = dict[str, Any]


def pack_run(run: RunOptions[Any]) -> Packed:
    """What a run reads and writes as JSON values; paths are written as text."""
    return {"task": run.task, "source": asdict(run.source), "output": asdict(run.output),
            "options": asdict(run.options), "combine": run.combine,
            "documents": run.documents, "cluster": asdict(run.cluster)}  # fmt: skip


def unpack_run(packed: Mapping[str, Any]) -> RunOptions[Any]:
    """What :func:`pack_run` took apart."""
    source, output = dict(packed["source"]), dict(packed["output"])
    source["input"] = [Path(path) for path in source["input"]]
    output["output"] = Path(output["output"]) if output["output"] else None
    options = tasks.get(packed["task"]).options(**packed["options"])
    return RunOptions(packed["task"], InputOptions(**source), OutputOptions(**output), options, packed["combine"],
                      packed["documents"], ClusterOptions(**packed["cluster"]))  # fmt: skip


_RECORD = ("id", "text", "line", "where", "fields", "named", "seed", "argument", "shifts", "part")


def pack_record(record: Record) -> Packed:
    """A record as JSON values."""
    return {name: getattr(record, name) for name in _RECORD} | {"path": str(record.path) if record.path else None}


def unpack_record(packed: Mapping[str, Any]) -> Record:
    """The record that :func:`pack_record` took apart."""
    path, values = packed["path"], {name: packed[name] for name in _RECORD}
    return Record(**values | {"shifts": tuple(values["shifts"])}, path=Path(path) if path else None)
