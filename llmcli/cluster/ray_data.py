"""Ray Data: the windows of a run, answered on the machines of a cluster.

Read, map over a pool of actors, write; Ray's checkpoint, by llmcli's keys, skips the windows that an earlier run has
written, and takes back what it had half written.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmcli.cluster.windows import KEY
from llmcli.config.places import Caller
from llmcli.config.run_config import AnyConfig
from llmcli.errors import LlmcliError, UsageError, WorkerError

AUTO = "auto"
"""The address of a Ray of this machine's own, which ends with the run."""
SPARE = 2
"""CPUs that a Ray of this machine's own seems to have besides: for what reads, filters and writes."""
DISABLED = ".*[Cc]heckpointing will be disabled.*"
WINDOWS = 8
"""Given to an actor at once: each time costs some milliseconds, which short rows would feel."""
BLOCK = 1 << 18
"""The most bytes that are written at once: what an actor has done is soon on the disk."""


def available() -> None:
    """Raise UsageError where Ray is not installed."""
    from importlib.util import find_spec

    if find_spec("ray") is None or find_spec("pyarrow") is None:
        raise UsageError("--cluster needs Ray", hint="pip install 'llmcli[ray]'")


@contextlib.contextmanager
def joined(address: str) -> Iterator[None]:
    """Within this, Ray is there: the one at an address, or one of this machine's own. Raises WorkerError."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    import ray
    import ray.data

    # "local": where a Ray is up on this machine already, it is left alone.
    own = {"address": "local", "num_cpus": cores() + SPARE, "include_dashboard": False}
    where = own if address == AUTO else {"address": address}
    with _hushed():
        try:
            ray.init(**where, log_to_driver=False, logging_level=logging.CRITICAL)
        except Exception as error:  # of many kinds
            said = next((line for line in str(error).split("\n") if line.strip()), type(error).__name__)
            raise WorkerError(f"no Ray at {address}: {said.strip()[:200]}", code="no-cluster",
                              hint="see docs/cluster.md") from error  # fmt: skip
        try:
            yield
        finally:
            processes = _children()
            ray.shutdown()
            end(processes)


def end(processes: Sequence[Any] | None = None) -> None:
    """End the processes of a Ray of this machine's own, at once: a shutdown would wait for the work that goes on."""
    import psutil  # Ray brings it

    for process in reversed(_children() if processes is None else processes):
        with contextlib.suppress(psutil.Error):
            process.kill()


def _children() -> Sequence[Any]:
    import psutil

    children: list[Any] = psutil.Process().children(recursive=True)
    return children


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Within this, Ray says nothing; what it has to say is in its own files. Python's own stderr is as it was."""
    logging.disable(logging.CRITICAL)
    saved, before = [os.dup(1), os.dup(2)], sys.stderr
    with open(os.devnull, "w") as nowhere:
        for descriptor in (1, 2):
            os.dup2(nowhere.fileno(), descriptor)
    if before is not None and before.fileno() == 2:
        sys.stderr = os.fdopen(os.dup(saved[1]), "w", encoding="utf-8", errors="backslashreplace", buffering=1)
    try:
        yield
    finally:
        for descriptor, was in zip((1, 2), saved, strict=True):
            os.dup2(was, descriptor)
            os.close(was)
        sys.stderr = before
        logging.disable(logging.NOTSET)


def cores() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def answer(config: AnyConfig, folder: Path) -> None:
    """Answer the windows in ``folder/rows``; the answers are in ``folder/answers`` then.

    Raises the errors of the whole run, and WorkerError where Ray fails.
    """
    import ray
    from ray.data import ActorPoolStrategy, DataContext
    from ray.data.checkpoint import CheckpointConfig

    from llmcli.cluster.ray_actor import Answering

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.use_datasource_v2 = False  # which puts small files together, and starts dozens of processes
    context.target_max_block_size, context.target_min_block_size = BLOCK, 1
    context.checkpoint_config = CheckpointConfig(
        id_column=KEY, checkpoint_path=str(folder / "checkpoint"), delete_checkpoint_on_success=False
    )
    pool = resources(config, ray.cluster_resources())
    files = len(list((folder / "rows").iterdir()))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", message=DISABLED)
            # Tasks without a CPU of their own: all of them would begin at once, each in a process.
            few = pool.actors + 1
            rows = ray.data.read_parquet(str(folder / "rows"), num_cpus=0, override_num_blocks=files, concurrency=few)
            answers = rows.map_batches(
                Answering, fn_constructor_args=(config, Caller.here()), batch_size=WINDOWS, batch_format="numpy",
                compute=ActorPoolStrategy(size=pool.actors), num_cpus=pool.cpus, num_gpus=pool.gpus,
            )  # fmt: skip
            answers.write_parquet(str(folder / "answers"), ray_remote_args={"num_cpus": 0}, concurrency=few)
    except Exception as error:
        raise reason(error) from error


@dataclass(frozen=True)
class Pool:
    """How many actors there are, and the CPUs and GPUs of each."""

    actors: int
    cpus: float
    gpus: float


def resources(config: AnyConfig, there: dict[str, float]) -> Pool:
    """The actors that a run has on a cluster of so many CPUs and GPUs. Raises UsageError where there is no room.

    By default one GPU an actor where there are GPUs and the model may use them, else one CPU; as many actors as fit,
    with a CPU left for what reads and writes.
    """
    cluster = config.cluster
    gpus = cluster.actor_gpus
    if gpus is None:
        gpus = 1.0 if there.get("GPU") and config.settings.device != "cpu" else 0.0
    cpus = cluster.actor_cpus
    spare = SPARE if cluster.cluster == AUTO else 1
    fit = int((there.get("CPU", 1.0) - spare) / cpus) if cpus else 1
    fit = min(fit, int(there.get("GPU", 0.0) / gpus)) if gpus else fit
    if fit < 1:
        raise UsageError(f"the cluster has no room for an actor of {cpus:g} CPUs and {gpus:g} GPUs beside a spare CPU",
                         hint="see --actor-cpus and --actor-gpus")  # fmt: skip
    return Pool(cluster.actors or fit, cpus, gpus)


def reason(error: BaseException) -> LlmcliError:
    """The run's own error, wherever it is in what Ray raises."""
    cause: BaseException | None = error
    for _ in range(20):
        if cause is None:
            break
        if isinstance(cause, LlmcliError):
            return cause
        if isinstance(cause, Warning):
            return WorkerError("Ray would not keep what is done, with this version of its own", code="no-checkpoint",
                               hint="pip install 'ray[data]>=2.60'")  # fmt: skip
        cause = getattr(cause, "cause", None) or cause.__cause__ or cause.__context__
    said = [line for line in str(error).strip().split("\n") if line.strip()]
    return WorkerError(f"Ray failed: {(said[-1] if said else type(error).__name__)[:300]}", code="cluster",
                       hint="--resume goes on")  # fmt: skip
