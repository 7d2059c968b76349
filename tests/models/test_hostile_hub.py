"""A Hub, or who answers in its place, that sends nonsense, other bytes, too much, or almost nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmcli.models import checking, hub, hub_files, transfer
from tests.support.hub_server import COMMIT, Hub, serve

PICKLE = b"\x80\x04K\x01."


@pytest.fixture
def server(tiny_causal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    with serve() as server:
        server.repos = {"org/causal": shutil.copytree(tiny_causal, tmp_path / "repo")}
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        place = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", place)
        yield server


@pytest.fixture
def pull(cli) -> Callable[[], Any]:
    return lambda: cli("models", "pull", "org/causal")


def fetched(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.suffix != ".lock"]


def said(**values: Any) -> bytes:
    whole = {"id": "org/causal", "sha": COMMIT, "tags": [], "siblings": [{"rfilename": "config.json", "size": 9},
             {"rfilename": "model.safetensors", "size": 9}]}  # fmt: skip
    return json.dumps(whole | values).encode()


def named(name: Any, size: Any = 1) -> bytes:
    return said(siblings=[*json.loads(said())["siblings"], {"rfilename": name, "size": size}])


ANSWERS = {
    "HTML": (b"<html><body>Sign in to the hotel's network</body></html>", 4, "no description"),
    "nothing": (b"", 4, "no description"),
    "null": (b"null", 4, "no description"),
    "a list": (b"[1, 2]", 4, "no description"),
    "a number": (b"7", 4, "no description"),
    "deep": (b"[" * 200_000, 4, "no description"),
    "no commit": (said(sha=None), 4, "no description"),
    "a commit that is a path": (said(sha="../../../etc"), 4, "no description"),
    "files that are a number": (said(siblings=5), 4, "no description"),
    "a name that is a number": (named(5), 4, "no description"),
    "a size in words": (named("vocab.json", "large"), 4, "no description"),
    "a NUL": (named("model\0.safetensors"), 4, "impossible name"),
    "a surrogate": (named("model\ud800.safetensors"), 4, "impossible name"),
    "an escape": (named("model\x1b[31m.safetensors"), 4, "impossible name"),
    "another folder": (named("../model.safetensors"), 4, "outside its folder"),
    "an absolute path": (named("/model.safetensors"), 4, "outside its folder"),
    "a negative size": (named("vocab.json", -5), 4, "impossible name or size"),
    "a huge size": (named("vocab.json", 1 << 62), 10, "are free"),
    "no files": (said(siblings=[]), 4, "no config.json"),
}


@pytest.mark.parametrize(("answer", "code", "reason"), ANSWERS.values(), ids=ANSWERS)
def test_a_nonsensical_answer_is_one_line(pull, server: Hub, tmp_path: Path, answer: bytes, code: int, reason: str):
    server.answer = answer
    done = pull()
    errors = [line for line in done.err.splitlines() if "error[" in line]
    assert (done.code, errors, reason in done.err) == (code, done.err.splitlines()[-1:], True), done.err
    weights = [name for name in fetched(tmp_path) if name.endswith(".safetensors")]
    assert ("Traceback" in done.err, "\x1b" in done.err, weights) == (False, False, [])


@pytest.mark.parametrize("name", ["tokenizer.bin", "vocab.pkl", "x.model", "pytorch_model.bin", "tokenizer.pickle"])
def test_a_pickle_is_never_fetched(pull, server: Hub, tmp_path: Path, name: str):
    folder = server.repos["org/causal"]
    (folder / name).write_bytes(PICKLE)
    index = {"metadata": {}, "weight_map": {"a": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    done = pull()
    assert (done.code, "names a pickle" in done.err) == (4, True), done.err
    asked = {path.rpartition("/")[2] for _, path in server.log if "/resolve/" in path}
    assert asked & {name, "model.safetensors"} == set()
    assert name not in fetched(tmp_path)


def test_a_tokenizer_that_is_a_pickle_is_refused_before_the_weights(pull, server: Hub):
    (server.repos["org/causal"] / "vocab.json").write_bytes(PICKLE)
    assert "a pickle" in pull().err
    assert not [path for _, path in server.log if path.endswith(".safetensors")]


def test_only_what_a_tokenizer_reads_is_fetched():
    names = ("tokenizer.bin", "tokenizer.pkl", "vocab.pkl", "vocab.bin", "x.model", "a.pt", "tokenizer.py",
             "spiece.bin", "vocab")  # fmt: skip
    assert not [name for name in names if hub_files.like(name, hub_files.NEEDED)]
    assert all(map(checking.needed, ("tokenizer.json", "spiece.model", "source.spm", "vocab.txt", "chat.jinja")))


def test_a_file_that_is_not_the_hubs_is_noticed(pull, server: Hub, tmp_path: Path):
    server.digests["model.safetensors"] = "0" * 64
    done = pull()
    assert (done.code, "error[bad-checksum]" in done.err) == (4, True), done.err
    assert "model.safetensors" not in fetched(tmp_path)
    from llmcli.models import manifest

    server.digests["model.safetensors"] = manifest.sha256(server.repos["org/causal"] / "model.safetensors")
    assert pull().code == 0


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "main"])
def test_what_comes_a_byte_now_and_then_is_broken_off(pull, server: Hub, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setattr(transfer, "STALL", 0.5)
    server.slow.add(name)
    done = pull()
    assert (done.code, "bytes a second" in done.err) == (4, True), done.err


def test_a_file_larger_than_the_hub_says_is_broken_off(pull, server: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub, "SMALL", 100)
    sizes = {path.name: 10 for path in server.repos["org/causal"].iterdir()}
    server.answer = said(siblings=[{"rfilename": name, "size": size} for name, size in sizes.items()])
    done = pull()
    assert (done.code, "error[hostile]" in done.err) == (4, True), done.err


def test_a_huge_answer_is_broken_off(pull, server: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(transfer, "MOST", 1000)
    server.answer = b" " * 100_000 + said()
    done = pull()
    assert (done.code, "error[no-network]" in done.err) == (4, True), done.err
