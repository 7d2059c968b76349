"""The options of runs on many machines, and which shard this process is to take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from llmcli.errors import UsageError

if TYPE_CHECKING:
    from typer import Option

CLUSTER = "Clusters"
"""A panel of the help."""
_SHARD = r"(\d{1,7})/(\d{1,7})"


@dataclass(frozen=True)
class ClusterOptions:
    """Which part of the rows this process takes, or which machines take them. Once resolved, no shard is ``auto``."""

    shard: Annotated[
        str | None,
        Option(help="Work on part I of N of the rows, from 1 on; -o is the folder of all parts, and `llmcli merge` "
               "makes one file of them. 'auto': as Slurm, Kubernetes or MPI numbers this process.",
               metavar="I/N|auto", rich_help_panel=CLUSTER, show_default=False),
    ] = None  # fmt: skip
    cluster: Annotated[
        str | None,
        Option(help="Have Ray work on the rows: 'auto' on all cores of this machine, an address on the cluster there. "
               "Reads Parquet, s3:// and gs:// too.", metavar="auto|HOST:PORT", rich_help_panel=CLUSTER,
               show_default=False),
    ] = None  # fmt: skip
    actors: Annotated[
        int | None,
        Option(min=1, help="Ray: how many processes hold the model.", rich_help_panel=CLUSTER,
               show_default="as many as there is room for"),
    ] = None  # fmt: skip
    actor_cpus: Annotated[float, Option(min=0.0, help="Ray: CPUs of an actor.", rich_help_panel=CLUSTER)] = 1.0
    actor_gpus: Annotated[
        float | None,
        Option(min=0.0, help="Ray: GPUs of an actor; 0.5: two share one.", rich_help_panel=CLUSTER,
               show_default="1 where there are any"),
    ] = None  # fmt: skip


@dataclass(frozen=True)
class Shard:
    """Part ``number``, from 1 on, of ``of`` parts."""

    number: int
    of: int

    @property
    def name(self) -> str:
        """What its files are called, before their endings."""
        return f"shard-{self.number:05}-of-{self.of:05}"

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def holds(self, digest: str) -> bool:
        """Whether a row is in it; ``digest``: hexadecimal digits, evenly spread."""
        return number_of(digest, self.of) == self.number


@dataclass(frozen=True)
class Numbered:
    """A shard, and the variables of the environment that say so."""

    shard: Shard
    source: str


@dataclass(frozen=True)
class Variables:
    """The variables in which a launcher numbers its processes; the first number may be another than 0."""

    launcher: str
    rank: str
    count: str
    first: str = ""
    step: str = ""
    last: str = ""


LAUNCHERS = (
    Variables("a Slurm array", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN",
              "SLURM_ARRAY_TASK_STEP", "SLURM_ARRAY_TASK_MAX"),
    Variables("a Kubernetes indexed job", "JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"),
    Variables("Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    Variables("MPI", "PMI_RANK", "PMI_SIZE"),
    Variables("a launcher", "RANK", "WORLD_SIZE"),
    Variables("Slurm", "SLURM_PROCID", "SLURM_NTASKS"),
)  # fmt: skip
"""In the order in which they are asked: what starts processes within a job numbers them better than the job."""


def number_of(digest: str, of: int) -> int:
    """Which of so many shards, from 1 on, a row is in."""
    return int(digest, 16) % of + 1


def parse(text: str) -> Shard:
    """The shard that ``I/N`` names. Raises UsageError."""
    match = re.fullmatch(_SHARD, text)
    if match is None:
        raise UsageError(f"--shard {text!r} is not I/N", hint="give --shard 3/20, or --shard auto")
    number, of = map(int, match.groups())
    if not 1 <= number <= of:
        raise UsageError(f"--shard {text}: the parts are numbered from 1 to {of}", hint="give --shard 1/20 to 20/20")
    return Shard(number, of)


def chosen(text: str, environment: Mapping[str, str]) -> Shard:
    """The shard of a command line. Raises UsageError."""
    if text != "auto":
        return parse(text)
    found = numbered(environment)
    if found is None:
        named = ", ".join(variables.rank for variables in LAUNCHERS)
        raise UsageError(f"--shard auto: none of {named} is set", hint="give --shard I/N")
    return found.shard


def numbered(environment: Mapping[str, str]) -> Numbered | None:
    """Which shard the environment says that this process is; None where it says nothing. Raises UsageError."""
    for variables in LAUNCHERS:
        if variables.rank in environment:
            return _numbered(variables, environment)
    return None


def _numbered(variables: Variables, environment: Mapping[str, str]) -> Numbered:
    def whole(name: str, otherwise: int | None = None) -> int:
        if name not in environment and otherwise is not None:
            return otherwise
        if name not in environment:
            raise UsageError(f"--shard auto: {variables.rank} is set, {name} is not", hint=f"set {name} to N")
        if not environment[name].isdecimal():
            raise UsageError(f"--shard auto: {name} is no number", hint="give --shard I/N")
        return int(environment[name])

    rank, count = whole(variables.rank), whole(variables.count)
    first, step = (whole(name, other) if name else other for name, other in ((variables.first, 0), (variables.step, 1)))
    last = whole(variables.last, first + (count - 1) * step) if variables.last else count - 1
    number, rest = divmod(rank - first, max(step, 1))
    if rest or last - first != (count - 1) * step or not 0 <= number < count:
        raise UsageError(f"--shard auto: {variables.rank}={rank} is not one of {count} numbers without a gap",
                         hint=f"give --shard ${variables.rank}/N")  # fmt: skip
    return Numbered(Shard(number + 1, count), f"{variables.rank} and {variables.count} of {variables.launcher}")
