"""Describing: what a model is comes from a few small files, and from the YAML where it says something."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmcli import tasks
from llmcli.config import places
from llmcli.config.model_config import HubSource, License, ModelConfig, PackageSource, Source
from llmcli.config.schemas import Generation
from llmcli.errors import ModelError
from llmcli.models import describing, gguf_header, listing, manifest, names, small_files, store
from llmcli.reports import unheard
from llmcli.run import resolve
from tests.support.hub_server import COMMIT, Hub, ask, serve


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve() as server:
        ask(server, monkeypatch)
        yield server


def described(name: str, *, offline: bool = False) -> ModelConfig:
    return describing.describe(names.find(name), offline=offline)


def user_yaml(tmp_path: Path, text: str) -> ModelConfig:
    folder = tmp_path / "config" / "models"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.yaml").write_text(f"name: mine\n{text}\n")
    return described("mine")


SMALL = {
    "qwen3": ["config.json", "tokenizer_config.json", "chat_template.jinja"],
    "gemma3": ["config.json", "tokenizer_config.json"],
    "distilbert": ["config.json", "tokenizer_config.json"],
    "m2m100": ["config.json", "tokenizer_config.json"],
    "marian": ["config.json", "tokenizer_config.json", "vocab.json"],
}


@pytest.mark.parametrize(("name", "files"), SMALL.items(), ids=SMALL)
def test_of_a_hub_model_only_small_files_are_asked_for_and_once(
    hub: Hub, checkpoint: Callable[..., Path], name: str, files: list[str]
):
    hub.repos[f"org/{name}"] = checkpoint(name)
    there = describing.infer(checkpoint(name), name="x", source=Source(path=Path("x")))
    model = described(f"org/{name}")
    assert sorted(hub.files) == sorted(files)
    apart = {"name", "source", "size", "license"}
    assert model.model_dump(exclude=apart) == there.model_dump(exclude=apart)
    hub.shutdown()
    assert described(f"org/{name}", offline=True) == model


def test_what_the_hub_says_of_it(hub: Hub, tiny_causal: Path):
    hub.repos["org/causal"], hub.tags = tiny_causal, ["safetensors", "license:apache-2.0"]
    model = described("org/causal")
    assert model.license is not None
    assert (model.license.name, model.size) == ("apache-2.0", small_files.read(HubSource(repo="org/causal"))["size"])


def test_the_weights_are_of_the_commit_that_was_described(hub: Hub, tiny_causal: Path):
    hub.repos["org/causal"] = tiny_causal
    model = described("org/causal")
    before = store.identity(model)
    hub.commit = COMMIT[::-1]
    folder = store.checkpoint(model, offline=False, report=unheard)
    assert (store.identity(model), before) == (COMMIT, COMMIT)
    assert {path for _, path in hub.log if path.endswith("model.safetensors")} == {
        f"org/causal/resolve/{COMMIT}/model.safetensors"
    }
    assert store.renew(model, report=unheard) == folder
    assert store.identity(model) == COMMIT[::-1]


def test_a_pulled_model_is_described_by_its_folder(hub: Hub, tiny_causal: Path):
    hub.repos["org/causal"] = tiny_causal
    model = described("org/causal")
    store.checkpoint(model, offline=False, report=unheard)
    small_files.remove(HubSource(repo="org/causal"))
    assert described("org/causal", offline=True) == model


def test_a_shipped_model_has_one_identity_before_and_after_it_is_fetched(hub: Hub, tiny_causal: Path):
    hub.repos["openai-community/gpt2"] = tiny_causal
    model = described("gpt2")
    assert hub.log == []
    before = store.identity(model, offline=False)
    assert before == COMMIT
    store.checkpoint(model, offline=False, report=unheard)
    assert store.identity(model) == before


def test_shipped_models_ask_nothing(hub: Hub):
    for name in places.names("models"):
        assert described(name) == names.find(name)
    assert hub.log == []
    assert not places.cache().exists()


def test_not_known_and_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ModelError, match="not known here"):
        described("org/thing", offline=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not describing.known(names.find("org/thing"))
    with pytest.raises(ModelError) as error:
        described("org/thing")
    assert (error.value.code, error.value.hint) == ("not-pulled", "llmcli models pull org/thing")
    run = resolve.merged(tasks.get("sentiment"), {"model": "org/thing"}, describe=False)
    assert (run.model.name, hub.log) == ("org/thing", [])


def large(folder: Path, hub: Hub) -> None:
    with (folder / "tokenizer_config.json").open("wb") as stream:
        stream.truncate(1 << 26)


def no_object(folder: Path, hub: Hub) -> None:
    (folder / "config.json").write_text("[1]")


def no_head(folder: Path, hub: Hub) -> None:
    (folder / "config.json").write_text('{"architectures": ["Other"], "model_type": "llama"}')


def down(folder: Path, hub: Hub) -> None:
    hub.refused["org/causal"] = (500, "")


REFUSED = {"large": "67,108,864 bytes", "no_object": "cannot be used", "no_head": "no head", "down": "answered 500"}


@pytest.mark.parametrize("spoil", [large, no_object, no_head, down])
def test_what_is_refused_is_refused_before_weights_are_fetched(hub: Hub, tiny_causal: Path, tmp_path: Path, spoil):
    hub.repos["org/causal"] = shutil.copytree(tiny_causal, tmp_path / "repo")
    spoil(hub.repos["org/causal"], hub)
    with pytest.raises(ModelError, match=REFUSED[spoil.__name__]):
        described("org/causal")
    assert "model.safetensors" not in hub.files
    assert [path.name for path in (tmp_path / "cache").rglob("*.partial")] == []


def test_two_lines_of_yaml_and_the_checkpoint_tells_the_rest(hub: Hub, checkpoint: Callable[..., Path], tmp_path: Path):
    hub.repos["org/chat"] = checkpoint("qwen3")
    for source in (f"path: {checkpoint('qwen3')}", "hub: {repo: org/chat}"):
        model = user_yaml(tmp_path, f"source: {{{source}}}")
        assert (model.pipeline, model.chat) == ("causal", True)
    assert "model.safetensors" not in hub.files


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("qwen3", "chat: false", {"pipeline": "causal", "chat": False}),
        ("distilbert", "context_window: 32", {"pipeline": "classification", "context_window": 32}),
        ("headless", "pipeline: classification", {"pipeline": "classification"}),
        ("m2m100", "languages: [en, fr]", {"languages": ["en", "fr"], "supported_tasks": ["translate"]}),
        ("marian", "source_languages: [de]", {"source_languages": ["de"], "target_languages": [], "languages": []}),
        ("marian", "supported_tasks: [generate]", {"supported_tasks": ["generate"], "target_languages": ["fr"]}),
    ],
)
def test_what_the_yaml_says_wins(
    checkpoint: Callable[..., Path], tmp_path: Path, name: str, text: str, wanted: dict[str, Any]
):
    model = user_yaml(tmp_path, f"source: {{path: {checkpoint(name)}}}\n{text}")
    assert {field: getattr(model, field) for field in wanted} == wanted


def test_settings_of_a_task_are_merged(checkpoint: Callable[..., Path], tmp_path: Path):
    said = "tasks: {summarize: {generation: {num_beams: 7}}, generate: {generation: {temperature: 0.5}}}"
    tasks = user_yaml(tmp_path, f"source: {{path: {checkpoint('t5')}}}\n{said}").tasks
    told = describing.infer(checkpoint("t5"), name="x", source=Source(path=Path("x"))).tasks
    assert tasks["summarize"].prompt == told["summarize"].prompt
    assert tasks["summarize"].generation == told["summarize"].generation.model_copy(update={"num_beams": 7})
    assert tasks["generate"].generation == Generation(temperature=0.5)
    assert tasks["translate"] == told["translate"]


@pytest.mark.parametrize("place", ["./checkpoint", "checkpoint", "~/checkpoint"])
def test_a_path_in_a_yaml_begins_at_the_file_or_at_home(
    tiny_causal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
):
    folder = tmp_path / "config" / "models"
    folder.mkdir(parents=True)
    (folder / "checkpoint").symlink_to(tiny_causal)
    monkeypatch.setenv("HOME", str(folder))
    assert user_yaml(tmp_path, f"source: {{path: {place}}}").source.path == folder / "checkpoint"


def test_a_path_where_nothing_is(cli, tmp_path: Path):
    model = user_yaml(tmp_path, "source: {path: /nope}")
    assert listing.described(model)["kind"] == "not known: no checkpoint is there"
    done = cli("sentiment", "-m", "mine", "good")
    assert (done.code, done.err) == (4, "llmcli: error[no-model]: /nope: no such folder\n")


def gguf_file(path: Path, **keys: str) -> Path:
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(512)
    writer.add_token_list(["<s>", "é", "\n"])
    writer.add_token_scores([0.0, -1.5, 2.0])
    for key, value in keys.items():
        writer.add_string(key.replace("__", "."), value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({}, (False, "")),
        ({"tokenizer__chat_template": ""}, (False, "")),
        ({"tokenizer__chat_template": "{{ messages }}", "general__license": "mit"}, (True, "mit")),
    ],
)
def test_a_gguf_file_tells_by_its_header(tmp_path: Path, keys: dict[str, str], wanted: tuple[bool, str]):
    path = gguf_file(tmp_path / "x.gguf", **keys)
    header = gguf_header.read(path)
    assert (header.architecture, header.chat, header.license) == ("llama", *wanted)
    model = described(str(path))
    assert (model.pipeline, model.chat, model.license.name if model.license else "") == ("causal", *wanted)
    assert not places.cache().exists()


def header(keys: int, *entries: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, keys) + b"".join(entries)


def key(name: bytes, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(name)) + name + struct.pack("<I", kind) + value


def array(kind: int, count: int) -> bytes:
    return key(b"a", 9, struct.pack("<IQ", kind, count))


DAMAGED = {
    "empty": b"",
    "not GGUF": b"not a model" * 9,
    "too short": b"GGUF",
    "another version": b"GGUF" + struct.pack("<IQQ", 1, 0, 0),
    "many keys": header(1 << 40),
    "fewer keys than said": header(2, key(b"a", 4, b"1234")),
    "an endless string": header(1, key(b"a", 8, struct.pack("<Q", (1 << 64) - 1))),
    "an endless key": header(1, struct.pack("<Q", (1 << 64) - 1)),
    "an unknown type": header(1, key(b"a", 99, b"")),
    "an endless array": header(1, array(4, 1 << 62)),
    "an endless array of strings": header(1, array(8, 1 << 62)),
    "an array that ends too early": header(1, array(8, 3), struct.pack("<Q", 0)),
    "a string in an array that is endless": header(1, array(8, 2), struct.pack("<Q", (1 << 64) - 9)),
    "an array of arrays": header(1, array(9, 1)),
}


@pytest.mark.parametrize("raw", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_header_is_refused(tmp_path: Path, raw: bytes):
    (tmp_path / "x.gguf").write_bytes(raw)
    with pytest.raises(ModelError, match="not a GGUF file"):
        gguf_header.read(tmp_path / "x.gguf")


KINDS = {"qwen3": "chat model", "gemma3": "base model: it continues text", "nli": "zero-shot classifier",
         "marian": "encoder-decoder", "qa": "span finder", "bert": "classifier"}  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), KINDS.items(), ids=KINDS)
def test_what_people_are_told(checkpoint: Callable[..., Path], name: str, kind: str):
    told = listing.described(described(str(checkpoint(name))))
    assert (told["kind"], told["licence"], told["origin"]) == (kind, "not told", str(checkpoint(name)))
    assert told["languages"] == ("en to fr" if name == "marian" else "not told")
    size = sum(path.stat().st_size for path in checkpoint(name).iterdir())
    assert json.dumps(listing.details(described(str(checkpoint(name))))["disk"]) == str(size)


def package(name: str, *files: str) -> Source:
    return Source(package=PackageSource(requirements=[name], files=list(files), sha256="0" * 64))


def test_what_is_said_before_a_model_is_made_ready():
    """That something is fetched is said where it is."""
    here, not_here = package("typer", "typer/__init__.py"), package("no-such-package-here==1", "x")
    facts = {"size": "253 MB", "license": License(name="MIT", url="https://mit")}
    said = {"preparing m, once; this takes a minute": here, "fetching m (253 MB), once; this takes a minute": not_here}
    for line, source in (*said.items(), (list(said)[1], Source(hub=HubSource(repo="org/m")))):
        assert store.introduction(ModelConfig(name="m", source=source, **facts)) == [line, "licence: MIT https://mit"]


def test_an_installed_package_is_not_said_to_be_fetched():
    stages: list[str] = []
    model = ModelConfig(name="m", source=package("typer", "typer/__init__.py"))
    with pytest.raises(ModelError, match="wrong checksum"):
        store.checkpoint(model, offline=True, report=lambda stage, share: stages.append(stage))
    assert stages == ["checking"]


def test_what_was_converted_of_a_file_that_is_gone_is_listed_and_can_be_removed(cli, tiny_causal: Path, tmp_path: Path):
    folder = shutil.copytree(tiny_causal, places.cache() / "models" / "old-0123456789ab")
    manifest.write(folder, source=str(tmp_path / "old.gguf"))
    row = next(row for row in listing.rows() if row.name == folder.name)
    assert (row.pulled, row.source, row.tasks) == (True, str(tmp_path / "old.gguf"), "any task")
    assert row.disk == sum(path.stat().st_size for path in folder.iterdir())
    assert cli("models", "remove", folder.name).code == 0
    assert not folder.exists()


def test_a_model_that_is_removed_is_forgotten(cli, hub: Hub, tiny_causal: Path):
    hub.repos["org/causal"] = tiny_causal
    assert cli("models", "pull", "org/causal").code == 0
    assert cli("models", "remove", "org/causal").code == 0
    assert not describing.known(names.find("org/causal"))
