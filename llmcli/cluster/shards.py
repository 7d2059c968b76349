"""A folder of shards: who may write into it, and which run it is of."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from llmcli.config import cluster
from llmcli.config.cluster import ClusterOptions, Shard
from llmcli.config.run_config import FOLDER_JOURNAL, RunOptions, real
from llmcli.data.inputs import STDIN, unreadable
from llmcli.errors import InputError, OutputError, UsageError, shown
from llmcli.reports import say
from llmcli.run.sharding import ENDINGS
from llmcli.tasks import _packing

NOTE = "shards.json"
"""What is in the folder besides: what the shards read, and how results are to be written."""
_NAME = re.compile(r"shard-(\d+)-of-(\d+)")


def claim(run: RunOptions[Any], shard: Shard) -> None:
    """Make the folder ready for a shard. Raises UsageError where it holds parts of another number, OutputError."""
    folder = _folder(run)
    for path in run.source.input:
        if path.is_dir() and folder.resolve().is_relative_to(path.resolve()):
            raise UsageError(f"{shown(folder)}: the shards would be read as inputs", hint="give another -o")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_others(folder, shard.of)
    except OSError as error:
        raise OutputError(f"{shown(folder)}: {error.strerror or error}", code="write") from error
    _say(shard, quiet=run.output.quiet)


def note(run: RunOptions[Any], shard: Shard) -> None:
    """Write down in the folder what a shard does; its journal has to be open, so that it is what others did.

    Raises OutputError.
    """
    folder = _folder(run)
    partial = folder / f".{shard.name}.partial"
    try:
        partial.write_text(json.dumps({"of": shard.of, "run": _packed(run)}, default=str))
        partial.replace(folder / NOTE)
    except OSError as error:
        raise OutputError(f"{shown(folder)}: {error.strerror or error}", code="write") from error


def refuse_own(folder: Path, output: Path) -> None:
    """Raise UsageError where an output would replace what a shard has written."""
    inside, target = real(folder), real(output)
    if target.is_relative_to(inside) and target != inside:
        name = target.relative_to(inside).parts[0]
        if name == NOTE or _NAME.match(name):
            raise UsageError(f"{shown(output)}: a file of the shards", hint="give another --output")


def _folder(run: RunOptions[Any]) -> Path:
    assert run.output.output is not None  # a shard has an output
    return run.output.output.parent


def _say(shard: Shard, *, quiet: bool) -> None:
    """Which variables number this process, where they do."""
    with contextlib.suppress(UsageError):
        found = cluster.numbered(os.environ)
        if found is not None and found.shard == shard and not quiet:
            say(f"llmcli: shard {shard}, by {found.source}")


def _packed(run: RunOptions[Any]) -> dict[str, Any]:
    """The run as JSON values; its inputs are found from any folder."""
    source = replace(run.source, input=[path if path == STDIN else path.absolute() for path in run.source.input])
    return _packing.pack_run(replace(run, source=source))


def _refuse_others(folder: Path, of: int) -> None:
    """Raise UsageError where a part of another number of parts lies in the folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            match = _NAME.match(entry.name)
            if match and int(match[2]) != of:
                raise UsageError(f"{shown(folder)}: holds parts of {int(match[2])}, and not of {of}", code="shards",
                                 hint=f"give --shard I/{int(match[2])}, or another -o")  # fmt: skip


@dataclass(frozen=True)
class Shards:
    """A folder of shards: how many there are, and the run they are of, without its output.

    ``journals``: those of shards that are elsewhere.
    """

    folder: Path
    of: int
    run: RunOptions[Any]
    journals: Mapping[int, Path] = field(default_factory=dict)

    def journal(self, number: int) -> Path | None:
        """The journal of a shard; None where there is none."""
        if number in self.journals:
            return self.journals[number]
        name = Shard(number, self.of).name
        endings = dict.fromkeys(("", *ENDINGS.values()))
        places = [self.folder / name / FOLDER_JOURNAL, *(self.folder / f"{name}{end}.journal" for end in endings)]
        return next((place for place in places if place.is_file()), None)


def read(folder: Path) -> Shards:
    """The shards of a folder. Raises InputError where it holds none, UsageError where it holds those of two runs."""
    try:
        packed = json.loads((folder / NOTE).read_text())
        run = _packing.unpack_run(packed["run"])
        _refuse_others(folder, packed["of"])
    except FileNotFoundError as error:
        raise InputError(f"{shown(folder)}: no folder of shards", code="no-shards",
                         hint="give the -o of runs with --shard") from error  # fmt: skip
    except OSError as error:
        raise unreadable(folder, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{shown(folder / NOTE)}: damaged, or of another llmcli", code="no-shards",
                         hint="start a shard anew with --resume") from error  # fmt: skip
    output = replace(run.output, output=None, resume=None, retry_failed=False, max_errors=None)
    return Shards(folder, packed["of"], replace(run, output=output, cluster=ClusterOptions()))
