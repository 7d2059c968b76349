"""The worker works for the client that asks: with its folder and settings; what is fetched, the client fetches."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmcli.config import places
from llmcli.config.places import Caller
from llmcli.worker import address, connection, control
from tests.support import hub_server, workers
from tests.support.hub_server import Hub

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hub(tiny_causal: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_server.serve() as server:
        server.repos["org/causal"] = tiny_causal
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "LLMCLI_CONFIG_DIR"):
            monkeypatch.delenv(name, raising=False)
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """The variables of a user with a Hub token of the same name."""

    def make(token: str) -> dict[str, str]:
        folder = tmp_path / token
        (folder / ".cache" / "huggingface").mkdir(parents=True)
        (folder / ".cache" / "huggingface" / "token").write_text(token)
        return {"HOME": str(folder)}

    return make


@pytest.fixture
def llmcli() -> Run:
    def run(*arguments: str, folder: Path = Path("/tmp"), **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "llmcli", *arguments], cwd=folder, env=os.environ | environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    return run


def test_a_model_is_fetched_with_the_clients_token(
    llmcli: Run, hub: Hub, place: Path, home: Callable[[str], dict[str, str]]
):
    """The worker was started by somebody with another one, and then answers."""
    assert llmcli("worker", "start", **home("hf_first")).returncode == 0
    call = ("sentiment", "-m", "org/causal", "--worker", "-v", "good")
    done = llmcli(*call, **home("hf_second"))
    assert done.returncode == 0, done.stderr
    assert {token for token in hub.tokens if token} == {"Bearer hf_second"}
    assert [model["name"] for model in control.status()["models"]] == ["org/causal"]
    asked = len(hub.log)
    assert llmcli(*call).stdout == done.stdout
    assert len(hub.log) == asked


@pytest.mark.parametrize(("text", "code"), [(" ", 3), ("good", 4)])
def test_what_is_refused_is_not_fetched(llmcli: Run, hub: Hub, place: Path, text: str, code: int):
    """No text, or a network that is forbidden: as without the worker."""
    assert llmcli("worker", "start").returncode == 0
    call = ("sentiment", "-m", "org/causal", *(["--offline"] if code == 4 else []), text)
    done = llmcli(*call)
    assert done.returncode == code
    assert (done.stdout, done.stderr) == ("", llmcli(*call, "--no-worker").stderr)
    assert not [path for _, path in hub.log if path.endswith(".safetensors")]
    assert control.status()["models"] == []


def test_nothing_is_made_in_the_worker(hub: Hub, place: Path, tmp_path: Path):
    workers.await_(lambda: control.start(keep_alive=None, memory=None))
    before = sorted((tmp_path / "cache").rglob("*"))
    channel = connection.reach(address.find())
    assert channel is not None
    channel.send({"kind": "open", "task": "sentiment", "settings": {"model": "org/causal"}, "folder": "/",
                  "environment": {}})  # fmt: skip
    message = channel.receive()
    assert (message["kind"], message["request"]["settings"]) == ("absent", {"model": "org/causal"})
    assert sorted((tmp_path / "cache").rglob("*")) == before
    assert hub.log == []


def test_the_worker_has_no_token_and_no_network(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    control.start(keep_alive=None, memory=None)
    (pid,) = workers.alive(place)
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert not [variable for variable in variables if b"hf_secret" in variable]
    assert b"HF_HUB_OFFLINE=1" in variables


def test_two_folders_two_settings(llmcli: Run, place: Path, tiny_causal: Path, tmp_path: Path):
    """One worker; each call's relative paths begin where it was made."""
    texts = {"one": "good", "two": "bad"}
    for name in texts:
        folder = tmp_path / name
        (folder / "conf").mkdir(parents=True)
        (folder / "in").mkdir()
        (folder / "in" / "a.txt").write_text(texts[name])
        (folder / "conf" / "config.yaml").write_text(
            f"tasks: {{sentiment: {{options: {{threshold: {len(name) - 3}.0}}}}}}"
        )
        (folder / "model").symlink_to(tiny_causal)
    for name in texts:
        for arguments in (["-i", "in"], ["-i", "in/a.txt", "--json"], ["good"]):
            call = ("sentiment", "-q", "-m", "./model", *arguments)
            warm, cold = (
                llmcli(*call, how, folder=tmp_path / name, LLMCLI_CONFIG_DIR="conf")
                for how in ("--worker", "--no-worker")
            )
            assert (warm.stdout, warm.stderr) == (cold.stdout, cold.stderr)
            assert warm.returncode == 0, warm.stderr
    assert control.status()["requests"] == 6
    assert len(workers.alive(place)) == 1


@pytest.mark.parametrize(
    ("environment", "user"),
    [
        ({"HOME": "/h"}, "/h/.config/llmcli"),
        ({"HOME": "/h", "XDG_CONFIG_HOME": "/x"}, "/x/llmcli"),
        ({"HOME": "/h", "XDG_CONFIG_HOME": "x"}, "/h/.config/llmcli"),
        ({"HOME": "/h", "LLMCLI_CONFIG_DIR": "/c"}, "/c"),
        ({"HOME": "/h", "LLMCLI_CONFIG_DIR": "c"}, "/f/c"),
    ],
)
def test_places_are_the_callers(environment: dict[str, str], user: str):
    here = places.user()
    with places.serving(Caller(Path("/f"), environment)):
        assert (places.user(), places.absolute(Path("a/b")), places.absolute(Path("/a"))) == (
            Path(user), Path("/f/a/b"), Path("/a"))  # fmt: skip
        assert places.variable("LLMCLI_MODEL") == ""
    assert places.user() == here


@pytest.mark.parametrize(("model", "cache"), [("./model", "/tmp/none"), ("/tmp/none", "cache")])
def test_what_a_folder_that_is_gone_leaves_open(place: Path, tmp_path: Path, model: str, cache: str):
    """A relative path is refused in one line."""
    command = f'mkdir gone; cd gone; rmdir ../gone; exec "$0" -m llmcli sentiment -m {model} good'
    done = subprocess.run(["bash", "-c", command, sys.executable], cwd=tmp_path, capture_output=True, text=True,
                          env=os.environ | {"LLMCLI_CACHE_DIR": cache}, check=False)  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "the working directory is gone" in done.stderr
