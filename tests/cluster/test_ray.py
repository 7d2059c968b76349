"""--cluster: what is refused, how many actors there are, what they answer. Ray itself where it is installed."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmcli import tasks
from llmcli.cluster import ray_actor, ray_data
from llmcli.cluster.ray_data import Pool
from llmcli.config.cluster import ClusterOptions
from llmcli.errors import LlmcliError, ModelError, UsageError, WorkerError
from llmcli.run.records import Record
from llmcli.run.resolve import merged
from llmcli.run.session import Local

REFUSED: dict[str, tuple[list[str], str]] = {
    "no output": (["-i", "{file}"], "give -o FILE"),
    "standard output": (["-i", "{file}", "-o", "-"], "give -o FILE"),
    "standard input": (["-o", "out.jsonl"], "give -i FILE"),
    "a shard": (["-i", "{file}", "-o", "out", "--shard", "1/2"], "--shard and --cluster exclude each other"),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_what_a_cluster_cannot_do(cli, fake, tmp_path: Path, monkeypatch, arguments: list[str], message: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").write_text('{"text": "good"}\n')
    given = [item.format(file=tmp_path / "in.jsonl") for item in arguments]
    done = cli("sentiment", "--jsonl", "--cluster", "auto", *given, stdin='{"text": "good"}\n')
    assert (done.code, message in done.err) == (2, True), done.err


def test_without_ray_it_is_one_line(cli, fake, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / "in.jsonl").write_text('{"text": "good"}\n')
    files = ["-i", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl")]
    done = cli("sentiment", *files, "--cluster", "auto")
    assert (done.code, done.err) == (2, "llmcli: error[usage]: --cluster needs Ray; pip install 'llmcli[ray]'\n")
    assert sorted(path.name for path in tmp_path.glob("*.jsonl*")) == ["in.jsonl"]


def test_parquet_is_for_clusters(cli, fake, tmp_path: Path):
    (tmp_path / "in.parquet").write_bytes(b"PAR1\0\0")
    done = cli("sentiment", "-i", str(tmp_path / "in.parquet"))
    assert (done.code, "a Parquet file; --cluster reads it" in done.err) == (3, True)


POOLS: dict[str, tuple[dict[str, Any], dict[str, float], Pool | None]] = {
    "this machine": ({"cluster": "auto"}, {"CPU": 10.0}, Pool(8, 1.0, 0.0)),
    "a cluster": ({"cluster": "host:1"}, {"CPU": 9.0}, Pool(8, 1.0, 0.0)),
    "GPUs": ({"cluster": "host:1"}, {"CPU": 64.0, "GPU": 4.0}, Pool(4, 1.0, 1.0)),
    "GPUs that are shared": ({"cluster": "host:1", "actor_gpus": 0.5}, {"CPU": 64.0, "GPU": 4.0}, Pool(8, 1.0, 0.5)),
    "GPUs that are left alone": ({"cluster": "host:1", "actor_gpus": 0.0}, {"CPU": 5.0, "GPU": 4.0}, Pool(4, 1.0, 0.0)),
    "large actors": ({"cluster": "host:1", "actor_cpus": 4.0}, {"CPU": 9.0}, Pool(2, 4.0, 0.0)),
    "a number": ({"cluster": "host:1", "actors": 3}, {"CPU": 9.0}, Pool(3, 1.0, 0.0)),
    "no room": ({"cluster": "host:1"}, {"CPU": 1.0}, None),
}


@pytest.mark.parametrize(("options", "there", "expected"), POOLS.values(), ids=POOLS)
def test_how_many_actors(options: dict[str, Any], there: dict[str, float], expected: Pool | None):
    config: Any = SimpleNamespace(cluster=ClusterOptions(**options), settings=SimpleNamespace(device=None))
    if expected is None:
        with pytest.raises(UsageError, match="no room"):
            ray_data.resources(config, there)
    else:
        assert ray_data.resources(config, there) == expected


@pytest.fixture
def session(fake, tiny_causal: Path) -> Local:
    task = tasks.get("sentiment")
    return Local(task, merged(task, {"model": str(tiny_causal)}))


def test_a_bug_is_the_error_of_one_row(session: Local, fake, monkeypatch):
    choose = type(fake).choose

    def failing(prompts: Any, labels: Any, *, multi: bool = False) -> Any:
        if any("cursed" in prompt.row for prompt in prompts):
            raise ZeroDivisionError("the text itself")
        return choose(fake, prompts, labels, multi=multi)

    monkeypatch.setattr(fake, "choose", failing)
    results = ray_actor.answer(session, [Record(n, text) for n, text in enumerate(["good", "cursed", "bad"])])
    assert [result.status for result in results] == ["ok", "error", "ok"]
    assert results[1].error is not None
    assert results[1].error.line().endswith("error[internal]: a bug in llmcli, or in a library: ZeroDivisionError")


def test_what_ends_the_run_ends_it(session: Local, monkeypatch):
    def missing(config: Any, *, report: Any) -> Any:
        raise ModelError("gone")

    monkeypatch.setattr("llmcli.pipelines.load.load", missing)
    with pytest.raises(ModelError, match="gone"):
        ray_actor.answer(session, [Record(1, "good")])


def chained(*errors: BaseException) -> BaseException:
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    return errors[0]


REASONS: dict[str, tuple[BaseException, type[LlmcliError], str]] = {
    "the run's own": (chained(ValueError("a"), RuntimeError("b"), ModelError("gone")), ModelError, "gone"),
    "no checkpoint": (
        chained(ValueError("a"), UserWarning("Checkpointing will be disabled.")),
        WorkerError,
        "not keep",
    ),
    "any other": (RuntimeError("first\n\nthe last line\n"), WorkerError, "the last line"),
    "without a word": (RuntimeError(), WorkerError, "RuntimeError"),
}


@pytest.mark.parametrize(("error", "kind", "message"), REASONS.values(), ids=REASONS)
def test_why_ray_failed(error: BaseException, kind: type[LlmcliError], message: str):
    found = ray_data.reason(error)
    assert (type(found), message in found.message) == (kind, True)


def test_on_a_real_ray(process, checkpoint, tmp_path: Path):
    """On the cores of this machine: what one process writes, with a bad row in its place."""
    pytest.importorskip("ray")
    folder = checkpoint("distilbert", labels=("NEGATIVE", "POSITIVE"))
    rows = [json.dumps({"id": n, "text": f"a good day {n}"}) for n in range(300)]
    (tmp_path / "in.jsonl").write_text("\n".join([*rows[:150], "{broken", *rows[150:]]))
    arguments = ["sentiment", "-m", str(folder), "--dtype", "float32", "-i", str(tmp_path / "in.jsonl"), "-q"]
    process(*arguments, "-o", str(tmp_path / "one.jsonl"))
    done = process(*arguments, "-o", str(tmp_path / "ray.jsonl"), "--cluster", "auto")
    assert done.returncode == 5, done.stderr
    assert (tmp_path / "ray.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    assert not (tmp_path / "ray.jsonl.cluster").exists()
