"""The worker's answers are those of a cold call, byte for byte; and what it keeps loaded."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmcli import api
from llmcli.pipelines import load as loading
from llmcli.worker import control
from llmcli.worker.resident import Resident
from tests.support import Done, workers
from tests.support.fake import FakeModel

ROWS = (
    '{"id": "a", "text": "a fine day"}\n{"text": 3}\nnot json\n{"text": ""}\n{"text": "so so \\u2028 x", "n": 1e999}\n'
)
CASES: dict[str, tuple[list[str], str]] = {
    "text": (["sentiment"], "a fine day\n"),
    "json": (["sentiment", "--json", "--all-scores"], "a fine day\n"),
    "lines": (["sentiment", "--lines"], "one\n\ntwo\nthree\n" * 50),
    "rows": (["sentiment", "--jsonl", "--merge"], ROWS),
    "table": (["sentiment", "--csv"], "id,text\n1,good\n2,\n3,bad,more\n"),
    "retry": (["sentiment", "--on-long", "error", "--lines"], "x" * 9000 + "\nshort\n"),
    "streamed": (["generate", "--max-new-tokens", "20"], "Once"),
    "sampled": (["generate", "--max-new-tokens", "20", "--temperature", "1", "--seed", "3"], "Once"),
    "several": (["generate", "--max-new-tokens", "5", "-n", "3", "--seed", "3", "--json"], "Once"),
    "beams": (["generate", "--max-new-tokens", "5", "--num-beams", "2"], "Once"),
    "batch": (["generate", "--max-new-tokens", "5", "--jsonl", "--temperature", "1", "--seed", "3"], ROWS),
    "summary": (["summarize", "--sentences", "1", "--method", "extractive"], "It rained. We stayed in. " * 9),
    "translation": (["translate", "--to", "fr", "--max-new-tokens", "5", "--no-rerank"], "# A cat\n\n- sat.\n"),
    "no target": (["translate"], "A cat"),
    "bad option": (["sentiment", "--device", "tpu"], "x"),
    "bad value": (["generate", "--max-new-tokens", "0"], "x"),
    "empty": (["sentiment"], " \n"),
    "bad bytes": (["sentiment"], "\ud800"),
    "no rows": (["sentiment", "--lines"], ""),
    "no field": (["sentiment", "--jsonl", "--field", "t"], ROWS),
}


@pytest.mark.parametrize("name", CASES)
def test_warm_is_cold(cli: Callable[..., Done], warm: Path, tiny_causal: Path, name: str):
    (command, *arguments), stdin = CASES[name]
    raw = stdin.encode("utf-8", "surrogatepass")
    call = [command, "-m", os.path.relpath(tiny_causal), *arguments]
    cold = cli(*call, "--no-worker", stdin=raw)
    before = control.status()["requests"]
    assert cli(*call, stdin=raw) == cold
    assert cold.out or cold.err
    assert name in ("bad value",) or control.status()["requests"] == before + 1


@pytest.fixture(scope="module")
def warm_place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One worker for all cases."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="llmcli-", dir="/tmp") as folder:
        yield Path(folder), tmp_path_factory.mktemp("cache")
        for pid in workers.alive(Path(folder)):
            os.kill(pid, 15)
        workers.await_(lambda: not workers.alive(Path(folder)))


@pytest.fixture
def warm(warm_place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    folder, cache = warm_place
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("LLMCLI_CACHE_DIR", str(cache))
    monkeypatch.setenv("LLMCLI_WORKER", "on")
    monkeypatch.setattr("llmcli.cli.progress.EVERY", 1e9, raising=False)  # a busy machine says more
    control.start(keep_alive=None, memory=None)
    return folder


def test_a_batch_and_its_journal(cli: Callable[..., Done], warm: Path, tiny_classifier: Any, tmp_path: Path):
    model = str(tiny_classifier(3))
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"text": f"row {number}"}) + "\n" for number in range(300)))
    files = {}
    for how in ("--worker", "--no-worker"):
        out = tmp_path / f"{how}.jsonl"
        done = cli("sentiment", "-m", model, "-i", str(source), "-o", str(out), how, "-q")
        assert (done.code, done.err) == (0, "")
        head = out.with_name(out.name + ".journal").read_bytes().split(b'"seed"')[0]
        files[how] = out.read_bytes(), head.partition(b"{")[2]
    assert files["--worker"] == files["--no-worker"]


def test_changed_weights(cli: Callable[..., Done], warm: Path, tiny_classifier: Any, tmp_path: Path):
    """A checkpoint that is written anew is read anew."""
    first, second = tiny_classifier(2), tiny_classifier(5)
    model = tmp_path / "model"
    model.symlink_to(first)
    call = ["sentiment", "-m", str(model), "--json", "--all-scores", "x"]
    assert len(json.loads(cli(*call).out)["scores"]) == 2
    model.unlink()
    model.symlink_to(second)
    assert len(json.loads(cli(*call).out)["scores"]) == 5


def test_relative_paths_and_folders(warm: Path, tiny_classifier: Any):
    """The same name in two folders is two models."""
    for labels in (2, 4):
        folder = tiny_classifier(labels)
        done = subprocess.run([sys.executable, "-m", "llmcli", "sentiment", "-m", f"./{folder.name}", "--json",
                               "--all-scores", "x"], cwd=folder.parent, capture_output=True, check=True)  # fmt: skip
        assert len(json.loads(done.stdout)["scores"]) == labels


def test_the_client_is_light(warm: Path, tiny_causal: Path):
    command = [sys.executable, "-X", "importtime", "-m", "llmcli", "sentiment", "-m", str(tiny_causal), "--json", "a"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["status"] == "ok"
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "llmcli.tasks._labelling" in imported
    assert not imported & {"torch", "transformers", "pydantic", "rich", "typer", "yaml", "numpy"}
    assert not imported & {"llmcli.data.picture", "llmcli.data.array", "llmcli.cli.cost", "llmcli.data.grep"}
    assert not [name for name in imported if name.startswith("llmcli.text.")]


def test_a_pipe_of_this_process_is_read_here(warm: Path, tiny_causal: Path):
    command = f"{sys.executable} -m llmcli classify -m {tiny_causal} --labels-file <(echo '[one, two]') a"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.split("\t")[0] in ("one", "two")


# What stays loaded


PLACES = itertools.count()
"""Where the weights of models lie that share none."""


class Module:
    """As much of a torch module as is looked at."""

    def __init__(self) -> None:
        self.base_model = self
        self.hooks: list[Any] = []

    def register_forward_pre_hook(self, hook: Any) -> None:
        self.hooks.append(hook)

    def parameters(self) -> list[Any]:
        sizes = {"numel": lambda self: 25, "element_size": lambda self: 4}
        return [type("Weight", (), {**sizes, "data_ptr": lambda self: next(PLACES)})()]


class Holder:
    pass


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the models in the order of their loading; each has 100 bytes."""
    names: list[str] = []

    def load(config: Any, *, report: Any, watch: Any) -> FakeModel:
        names.append(config.model.name)
        watch(Module())
        return FakeModel()

    monkeypatch.setattr(loading, "load", load)
    return names


def folders(tmp_path: Path, *names: str) -> dict[str, Any]:
    found = {}
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text('{"architectures": ["XForCausalLM"]}')
        found[name] = api.open("sentiment", model=str(tmp_path / name)).config
    return found


def loaded(resident: Resident) -> list[str]:
    return [Path(model["name"]).name for model in resident.list()]


@pytest.mark.parametrize(
    "asked, limit, left",
    [
        ("a", 200, "a"),
        ("ab", 200, "ab"),
        ("aba", 200, "ba"),
        ("abc", 200, "bc"),
        ("abac", 200, "ac"),
        ("abc", 50, "c"),
    ],
)
def test_least_recently_used_goes_first(loads: list[str], tmp_path: Path, asked: str, limit: int, left: str):
    runs = folders(tmp_path, *"abc")
    resident = Resident(limit=limit, check=lambda: None, used=lambda: 0)
    for name in asked:
        resident.get(runs[name], holder=Holder(), report=lambda stage, share: None)
    assert "".join(loaded(resident)) == left
    assert len(loads) == len(set(asked))


def test_what_is_in_use_stays(loads: list[str], tmp_path: Path):
    runs = folders(tmp_path, *"ab")
    resident, holder = Resident(limit=100, check=lambda: None, used=lambda: 0), Holder()
    resident.get(runs["a"], holder=holder, report=lambda stage, share: None)
    resident.get(runs["b"], holder=Holder(), report=lambda stage, share: None)
    assert loaded(resident) == ["a", "b"]
    del holder
    resident.trim()
    assert loaded(resident) == ["b"]


def test_all_memory_counts(loads: list[str], tmp_path: Path):
    """Weights are not all that a process holds."""
    runs, holds = folders(tmp_path, *"abc"), 0
    resident = Resident(limit=1000, check=lambda: None, used=lambda: holds)
    for name in "abc":
        resident.get(runs[name], holder=Holder(), report=lambda stage, share: None)
    assert loaded(resident) == ["a", "b", "c"]
    holds = 1001
    resident.trim()
    assert loaded(resident) == ["c"]


def test_a_changed_checkpoint_takes_the_place_of_the_old(loads: list[str], tmp_path: Path):
    run = folders(tmp_path, "a")["a"]
    resident = Resident(limit=1000, check=lambda: None, used=lambda: 0)
    for text in ("{}", "{ }"):
        (tmp_path / "a" / "weights").write_text(text)
        resident.get(run, holder=Holder(), report=lambda stage, share: None)
    assert (loaded(resident), len(loads)) == (["a"], 2)
