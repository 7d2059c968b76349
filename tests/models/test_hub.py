"""The Hub: pulled, listed, verified, run and removed, by the real client from a server of our own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import tiny
from tests.support.hub_server import COMMIT, CONVERTED, Hub, serve


@pytest.fixture
def hub(tiny_causal: Path, tiny_classifier, tmp_path: Path) -> Iterator[Hub]:
    with serve() as server:
        server.repos = {"org/causal": tiny_causal, "org/classifier": tiny_classifier(2)}
        yield server


@pytest.fixture
def llmcli(process, hub: Hub, tmp_path: Path):
    def run(*arguments: str, **environment: str):
        own = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": str(tmp_path / "hf")}
        return process(*arguments, **own | environment)

    return run


def stored(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "models" / "hub" / "org--causal@main"


def test_pull_show_run_verify_remove(llmcli, hub: Hub, tmp_path: Path):
    pulled = llmcli("models", "pull", "org/causal")
    assert pulled.returncode == 0, pulled.stderr
    assert COMMIT in pulled.stdout.decode()
    shown = json.loads(llmcli("models", "show", "org/causal", "--json").stdout)
    assert (shown["pipeline"], shown["commit"]) == ("causal", COMMIT)
    asked = len(hub.log)
    done = llmcli("generate", "-m", "org/causal", "--raw", "--no-stream", "--max-new-tokens", "3", "a", "--offline")
    assert done.returncode == 0, done.stderr
    assert len(hub.log) == asked
    assert llmcli("models", "verify", "org/causal").returncode == 0
    assert b"MB freed" in llmcli("models", "remove", "org/causal").stdout
    assert not stored(tmp_path).exists()


def test_pull_again_takes_the_newest_commit(llmcli, hub: Hub, tmp_path: Path):
    llmcli("models", "pull", "org/causal")
    hub.log.clear()
    assert COMMIT in llmcli("models", "pull", "org/causal").stdout.decode()
    assert not [path for _, path in hub.log if "/resolve/" in path]
    hub.commit = COMMIT[::-1]
    assert COMMIT[::-1] in llmcli("models", "pull", "org/causal").stdout.decode()
    assert llmcli("models", "verify", "org/causal").returncode == 0


def test_a_first_use_fetches_and_only_what_is_needed(llmcli, hub: Hub, tiny_causal: Path, tmp_path: Path):
    folder = shutil.copytree(tiny_causal, tmp_path / "repo")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "README.md").write_text("words")
    hub.repos["org/causal"] = folder
    done = llmcli("sentiment", "-m", "org/causal", "good")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in stored(tmp_path).iterdir()} & {"pytorch_model.bin", "README.md"} == set()
    assert (stored(tmp_path) / "model.safetensors").is_file()


def test_how_a_sentence_embedding_is_pooled_is_fetched(llmcli, hub: Hub, checkpoint: Callable[..., Path]):
    hub.repos["org/causal"] = folder = checkpoint("encoder", pooling="cls_token")
    here, there = (llmcli("embed", "-m", name, "a dog").stdout for name in (str(folder), "org/causal"))
    assert here == there != b""


def test_an_interrupted_download_goes_on(llmcli, hub: Hub, tmp_path: Path):
    hub.cuts.add("model.safetensors")
    cut = llmcli("models", "pull", "org/causal")
    assert cut.returncode == 4, cut.stderr
    assert not stored(tmp_path).exists()
    assert cut.stderr.count(b"\n") == 2, cut.stderr  # what is fetched, and the error
    hub.cuts.clear()
    hub.log.clear()
    done = llmcli("models", "pull", "org/causal")
    assert done.returncode == 0, done.stderr
    assert {path.rpartition("/")[2] for _, path in hub.log if "/resolve/" in path} == {"model.safetensors"}
    assert llmcli("models", "verify", "org/causal").returncode == 0


@pytest.mark.parametrize("command", [["models", "verify", "org/causal"], ["sentiment", "-m", "org/causal", "good"]])
def test_a_changed_byte_is_noticed(llmcli, tmp_path: Path, command: list[str]):
    llmcli("models", "pull", "org/causal")
    path = stored(tmp_path) / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    done = llmcli(*command)
    assert (done.returncode, b"has changed" in done.stderr) == (4, True)


REFUSED = {
    "missing": ("org/nothing", None, "no repository org/nothing"),
    "gated": ("org/causal", (403, "GatedRepo"), "accept its terms at https://huggingface.co/org/causal"),
    "private": ("org/causal", (401, "RepoNotFound"), "set HF_TOKEN"),
    "down": ("org/causal", (500, ""), "the Hub answered 500"),
}


@pytest.mark.parametrize(("repo", "refusal", "message"), REFUSED.values(), ids=REFUSED)
def test_what_the_hub_refuses_is_one_line(llmcli, hub: Hub, tmp_path: Path, repo, refusal, message):
    if refusal:
        hub.refused[repo] = refusal
    done = llmcli("sentiment", "-m", repo, "good", HF_TOKEN="hf_secretsecretsecret")
    assert (done.returncode, message in done.stderr.decode()) == (4, True), done.stderr
    assert b"secret" not in done.stderr
    assert [line for line in done.stderr.splitlines() if b"error[" in line] == [done.stderr.splitlines()[-1]]


def test_no_network(llmcli):
    done = llmcli("sentiment", "-m", "org/causal", "good", HF_ENDPOINT="http://127.0.0.1:9")
    assert (done.returncode, b"cannot reach the Hub" in done.stderr) == (4, True), done.stderr


@pytest.mark.parametrize("environment", [{"HF_HUB_OFFLINE": "1"}, {}])
def test_offline_asks_nothing(llmcli, hub: Hub, environment: dict[str, str]):
    flags = [] if environment else ["--offline"]
    done = llmcli("sentiment", "-m", "org/causal", "good", *flags, **environment)
    assert (done.returncode, b"models pull org/causal" in done.stderr, hub.log) == (4, True, [])


def test_rounded_weights_are_kept_and_checked(llmcli, tmp_path: Path):
    def ask():
        return llmcli("sentiment", "-m", "org/causal", "--all-scores", "good")

    first, kept = ask(), next(stored(tmp_path).glob("int8-*.safetensors"))
    made = kept.stat().st_mtime_ns
    assert (ask().stdout, kept.stat().st_mtime_ns, first.returncode) == (first.stdout, made, 0), first.stderr
    assert llmcli("models", "verify", "org/causal").returncode == 0
    raw = bytearray(kept.read_bytes())
    raw[-1] ^= 1
    kept.write_bytes(raw)
    assert (ask().returncode, f"{kept.name} has changed".encode() in ask().stderr) == (4, True)


@pytest.mark.parametrize("converter", ["SFconvertbot", "somebody"])
def test_a_pickle_with_the_hubs_own_conversion(llmcli, hub: Hub, tiny_causal: Path, tmp_path: Path, converter: str):
    hub.repos["org/causal"] = shutil.copytree(tiny_causal, tmp_path / "repo")
    hostile_pickle(hub.repos["org/causal"], hub)
    hub.converted["org/causal"], hub.converter = tiny_causal, converter
    pulled = llmcli("models", "pull", "org/causal")
    if converter == "somebody":
        assert (pulled.returncode, b"no safetensors" in pulled.stderr) == (4, True)
        return
    assert CONVERTED in pulled.stdout.decode(), pulled.stderr
    assert CONVERTED in llmcli("models", "pull", "org/causal").stdout.decode()
    assert llmcli("sentiment", "-m", "org/causal", "good", "--offline").returncode == 0


def hostile_path(folder: Path, hub: Hub) -> None:
    hub.extra["org/causal"] = ["../../evil.safetensors"]


def hostile_pickle(folder: Path, hub: Hub) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def hostile_code(folder: Path, hub: Hub) -> None:
    path = folder / "config.json"
    own = {"model_type": "evil", "auto_map": {"AutoModelForCausalLM": "evil.Evil"}}
    path.write_text(json.dumps(json.loads(path.read_text()) | own))
    (folder / "evil.py").write_text("open('/tmp/evil', 'w')")


@pytest.mark.parametrize("make", [hostile_path, hostile_pickle, hostile_code])
def test_a_hostile_repository_leaves_no_trace(llmcli, hub: Hub, tiny_causal: Path, tmp_path: Path, make):
    hub.repos["org/causal"] = shutil.copytree(tiny_causal, tmp_path / "repo")
    make(hub.repos["org/causal"], hub)
    done = llmcli("models", "pull", "org/causal")
    assert done.returncode == 4, done.stderr
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()] == ["org--causal@main.lock"]


def test_names_of_ones_own(cli, tiny_causal: Path, tmp_path: Path):
    assert cli("models", "add", str(tiny_causal), "--name", "mine").code == 0
    assert cli("models", "add", str(tiny_causal), "--name", "mine").code == 2
    assert cli("models", "alias", "m", "mine").code == 0
    assert cli("models", "default", "sentiment", "m").code == 0
    assert cli("models", "default", "sentiment").out == "mine\n"
    assert json.loads(cli("sentiment", "--json", "good").out)["model"] == "mine"
    names = [json.loads(line)["name"] for line in cli("models", "list", "--json").out.splitlines()]
    assert {"mine", "gemma-3-270m", "smollm2-135m-instruct"} <= set(names)
    assert cli("models", "remove", str(tiny_causal)).code == 4
    assert (tiny_causal / "config.json").is_file()


def test_a_gguf_file_that_is_none(cli, tmp_path: Path):
    (tmp_path / "x.gguf").write_bytes(b"not a model")
    done = cli("generate", "-m", str(tmp_path / "x.gguf"), "hi")
    assert (done.code, "error[bad-gguf]" in done.err) == (4, True)


def test_what_cannot_be_run_is_listed_all_the_same(llmcli, tmp_path: Path):
    assert llmcli("models", "pull", "org/causal").returncode == 0
    assert b"org/causal\tany task" in llmcli("models", "list").stdout
    (stored(tmp_path) / "config.json").write_text('{"architectures": ["OtherHead"], "model_type": "other"}')
    listed = llmcli("models", "list")
    assert (listed.returncode, b"org/causal\tno task that is known" in listed.stdout) == (0, True), listed.stderr


TASKS = {
    ("marian", "mbart50", "m2m100", "nllb", "t5"): ["translate", "-t", "fr", "-f", "en", "a dog reads"],
    ("bart", "pegasus"): ["summarize", "a dog reads a book near the river"],
    tuple(tiny.CAUSAL): ["generate", "--max-new-tokens", "3", "a dog"],
    tuple(tiny.CLASSIFIERS): ["sentiment", "a good day"],
    ("nli", "bart-nli"): ["classify", "--labels", "good,bad", "a good day"],
    ("qa",): ["answer", "who reads?", "-i", "text"],
}
IN_TURN = """
import json, sys
from llmcli.cli.main import main
for command in json.loads(sys.argv[1]):
    sys.argv = ["llmcli", *command]
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            sys.exit(f"{command}: {ended.code}")
"""


def test_every_architecture_from_the_hub_then_without_a_network(
    hub: Hub, checkpoint: Callable[..., Path], tmp_path: Path
):
    """Pulled, listed, checked and run; then run again where there is no network, to the same answers; then removed."""
    hub.repos = {f"org/{name}": checkpoint(name) for names in TASKS for name in names}
    runs = [[*task, "-m", f"org/{name}", "--json"] for names, task in TASKS.items() for name in names]
    (tmp_path / "text").write_text("the dog reads a long book")
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")}

    def process(commands: list[list[str]], *before: str) -> str:
        done = subprocess.run(
            [*before, sys.executable, "-c", IN_TURN, json.dumps(commands)], env=environment, cwd=tmp_path, text=True,
            stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    listed = process([*(["models", "pull", repo] for repo in hub.repos), ["models", "list"]])
    assert [repo for repo in hub.repos if listed.count(repo) < 2] == []
    answers = process([["models", "verify"], *runs])
    alone = subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode == 0
    hub.shutdown()
    assert answers.endswith(process(runs, *(["unshare", "-rn"] if alone else [])))
    process([["models", "remove", repo] for repo in hub.repos])
    assert [*(tmp_path / "cache" / "models" / "hub").glob("org--*")] == []
