"""`llmcli models` and what shows settings: names that exist, tables, and no weights where none are needed."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.hub_server import COMMIT, Hub, ask, serve


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, checkpoint: Callable[..., Path]) -> Iterator[Hub]:
    with serve() as server:
        ask(server, monkeypatch)
        server.repos = {"org/causal": checkpoint("gemma3"), "org/chat": checkpoint("qwen3")}
        server.tags = ["license:mit"]
        yield server


def test_settings_are_shown_without_a_network(cli, hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LLMCLI_MODEL", "org/causal")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shown = cli("config", "show", "sentiment")
    assert (shown.code, '  environment:\n    model = "org/causal"\n' in shown.out) == (0, True)
    assert "\n    label_temperature = " in shown.out
    assert shown.out.splitlines()[-1].startswith("  # without the model's own settings: org/causal is not known here")
    assert json.loads(cli("config", "show", "sentiment", "--json").out)["described"] is False
    assert cli("models", "default", "sentiment").out == "org/causal\n"
    added = cli("models", "add", "org/causal")
    assert (added.code, added.err.count("\n"), "models pull org/causal" in added.err) == (4, 1, True)
    assert hub.log == []


def test_settings_are_shown_where_the_hub_is_down_or_a_pair_is_missing(cli, hub: Hub, monkeypatch: pytest.MonkeyPatch):
    hub.refused["org/causal"] = (500, "")
    for model, why in (("org/causal", "the Hub answered 500"), ("opus-mt", "a checkpoint for each pair")):
        monkeypatch.setenv("LLMCLI_MODEL", model)
        shown = cli("config", "show", "translate")
        assert (shown.code, why in shown.out.splitlines()[-1]) == (0, True)


@pytest.mark.parametrize("command", [["config", "show", "generate"], ["models", "show"], ["models", "add"]])
def test_no_weights_are_fetched_to_show_or_add(cli, hub: Hub, monkeypatch: pytest.MonkeyPatch, command: list[str]):
    monkeypatch.setenv("LLMCLI_MODEL", "org/chat")
    done = cli(*command, *(["org/chat"] if command[0] == "models" else []))
    assert done.code == 0, done.err
    assert sorted(hub.files) == ["chat_template.jinja", "config.json", "tokenizer_config.json"]


def test_show_tells_what_a_model_is(cli, hub: Hub):
    told = dict(line.split(": ", 1) for line in cli("models", "show", "org/chat").out.splitlines())
    assert (told["kind"], told["licence"], told["size on disk"]) == ("chat model", "mit", told["size on disk"])
    assert told["origin"] == "https://huggingface.co/org/chat, revision main"
    assert told["size on disk"].startswith("not here; ")
    assert cli("models", "pull", "org/chat").code == 0
    here = json.loads(cli("models", "show", "org/chat", "--json").out)
    files = [path for path in Path(here["folder"]).rglob("*") if path.is_file()]
    assert (here["commit"], here["disk"]) == (COMMIT, sum(path.stat().st_size for path in files))
    gemma = cli("models", "show", "gemma-3-270m").out
    assert "licence: Gemma Terms of Use https://ai.google.dev/gemma/terms" in gemma
    assert "kind: base model" in gemma


def test_the_size_that_is_listed_counts_derived_files(cli, hub: Hub):
    def listed() -> dict[str, dict[str, object]]:
        return {(row := json.loads(line))["name"]: row for line in cli("models", "list", "--json").out.splitlines()}

    assert "org/chat" not in listed()
    cli("models", "pull", "org/chat")
    before = listed()["org/chat"]
    folder = Path(json.loads(cli("models", "show", "org/chat", "--json").out)["folder"])
    (folder / "int8-made.safetensors").write_bytes(bytes(5_000_000))
    after = listed()["org/chat"]
    assert int(str(after["disk"])) - int(str(before["disk"])) == 5_000_000
    assert (after["size"], after["pulled"], after["license"]) == ("5 MB", True, "mit")
    assert (listed()["gpt2"]["pulled"], listed()["gpt2"]["disk"]) == (False, None)


def test_the_list_is_a_table_on_a_terminal_and_plain_elsewhere(cli, tmp_path: Path):
    plain = cli("models", "list").out.splitlines()
    assert ["bart-large-cnn", "summarize"] in [row.split("\t")[:2] for row in plain]
    lines = on_terminal("models", "list").splitlines()
    assert lines[0].split() == ["name", "tasks", "size", "licence", "source", "here"]
    place = lines[0].index("tasks")
    assert {line[place - 1] for line in lines[1:] if line} == {" "}
    assert [line.split()[0] for line in lines[1:] if line[:1].strip()] == [row.split("\t")[0] for row in plain]


def test_a_row_takes_one_line_of_a_narrow_terminal(cli):
    lines = on_terminal("models", "list", columns=80).splitlines()
    names = [row.split("\t")[0] for row in cli("models", "list").out.splitlines()]
    assert ([line.split()[0] for line in lines], max(map(len, lines)) <= 80) == (["name", *names], True)


def on_terminal(*arguments: str, columns: int = 200) -> str:
    """What a command prints on a terminal."""
    main, other = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "llmcli", *arguments], stdin=subprocess.DEVNULL, stdout=other,
        env=os.environ | {"COLUMNS": str(columns)},
    )  # fmt: skip
    os.close(other)
    pieces = []
    try:
        while piece := os.read(main, 65536):
            pieces.append(piece)
    except OSError:  # so a terminal ends
        pass
    os.close(main)
    assert done.wait() == 0
    return b"".join(pieces).decode().replace("\r\n", "\n")


def test_aliases_are_listed_printed_and_removed(
    cli, tiny_causal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tiny_causal.parent)
    for short, name in (("fr", "opus-mt-en-fr"), ("hub", "org/thing"), ("mine", f"./{tiny_causal.name}"), ("f", "fr")):
        assert cli("models", "alias", short, name).code == 0
    monkeypatch.chdir(tmp_path)
    assert cli("models", "alias").out == f"f\topus-mt-en-fr\nfr\topus-mt-en-fr\nhub\torg/thing\nmine\t{tiny_causal}\n"
    assert cli("models", "alias", "fr").out == "opus-mt-en-fr\n"
    assert cli("models", "alias", "fr", "--remove").code == 0
    assert "fr\topus" not in cli("models", "alias").out.replace("f\topus", "")
    assert json.loads(cli("models", "show", "mine", "--json").out)["pipeline"] == "causal"


REFUSED = {
    "no such model": (["alias", "x", "NOPE"], 4, "no model named NOPE"),
    "no such folder": (["alias", "x", "./NOPE"], 4, "no checkpoint ./NOPE"),
    "no Hub id": (["alias", "x", "a/b/c"], 4, "no checkpoint a/b/c"),
    "a slash": (["alias", "a/b", "gpt2"], 2, "cannot be an alias"),
    "nothing": (["alias", "", "gpt2"], 2, "cannot be an alias"),
    "a model's name": (["alias", "gpt2", "distilgpt2"], 2, "cannot be an alias"),
    "an unknown alias": (["alias", "x"], 2, "no alias x"),
    "an unknown alias to remove": (["alias", "x", "--remove"], 2, "no alias x"),
    "both": (["alias", "x", "gpt2", "--remove"], 2, "not both"),
    "remove nothing": (["alias", "--remove"], 2, "--remove of what?"),
    "a default that is none": (["default", "code", "NOPE"], 4, "no model named NOPE"),
    "a task that is none": (["default", "nope"], 2, "no task named nope"),
    "a default of nothing": (["default", "--remove"], 2, "--remove of what?"),
    "a name with a slash": (["add", "gpt2", "--name", "../gpt2"], 2, "cannot be a model's name"),
    "a pair that is missing": (["pull", "opus-mt"], 2, "a checkpoint for each pair"),
    "nothing is stored": (["remove", "opus-mt"], 4, "no stored model opus-mt"),
}


@pytest.mark.parametrize(("arguments", "code", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused(cli, tmp_path: Path, arguments: list[str], code: int, message: str):
    done = cli("models", *arguments)
    assert (done.code, message in done.err, done.err.count("\n")) == (code, True, 1), done.err
    assert not (tmp_path / "config").exists()


def test_defaults_are_listed_and_removed(cli):
    def listed() -> dict[str, str]:
        return dict(line.split("\t") for line in cli("models", "default").out.splitlines())

    before = listed()
    cli("models", "alias", "small", "distilgpt2")
    assert cli("models", "default", "code", "small").code == 0
    assert cli("models", "alias", "small", "--remove").code == 0
    assert dict(line.split("\t") for line in cli("models", "default").out.splitlines()) == {
        **before,
        "code": "distilgpt2",
    }
    assert cli("models", "default", "code", "--remove").code == 0
    assert cli("models", "default", "code").out.strip() == before["code"]


def test_what_is_added_says_what_it_is(cli, checkpoint: Callable[..., Path], tmp_path: Path):
    for name, said in (("qwen3", "pipeline: causal\nchat: true\n"), ("gemma3", "pipeline: causal\nchat: false\n")):
        assert cli("models", "add", str(checkpoint(name)), "--name", name).code == 0
        assert said in (tmp_path / "config" / "models" / f"{name}.yaml").read_text()


def test_a_name_with_a_version_is_kept_whole(cli, tiny_causal: Path, tmp_path: Path):
    (tmp_path / "Thing-1.5").symlink_to(tiny_causal)
    assert cli("models", "add", str(tmp_path / "Thing-1.5")).out.endswith("/thing-1.5.yaml\n")


def test_a_chat_template_is_kept_by_two_lines_of_yaml(cli, fake, checkpoint: Callable[..., Path], tmp_path: Path):
    models = tmp_path / "config" / "models"
    models.mkdir(parents=True)
    (models / "mine.yaml").write_text(f"name: mine\nsource: {{path: {checkpoint('qwen3')}}}\n")
    assert cli("generate", "-m", "mine", "hello?").code == 0
    assert fake.prompts[-1].messages


def test_resume_after_the_run_that_fetched_the_model(process, hub: Hub, tmp_path: Path):
    """The fingerprint names the commit before the weights are here, of a model with a YAML and of one without."""
    hub.repos["openai-community/gpt2"] = hub.repos["org/causal"]
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "good"}\n{"text": ""}\n')
    places = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": str(tmp_path / "hf")}
    for model in ("gpt2", "org/chat"):
        command = ["sentiment", "-m", model, "-i", str(rows), "-o", str(tmp_path / f"{Path(model).name}.jsonl")]
        first = process(*command, **places)
        again = process(*command, "--resume", "--retry-failed", **places)
        assert (first.returncode, again.returncode) == (5, 5), again.stderr


def test_show_tells_what_is_never_read(cli, tiny_causal: Path, tmp_path: Path):
    folder = tmp_path / "mine"
    shutil.copytree(tiny_causal, folder)
    told = json.loads(cli("models", "show", str(folder), "--json").out)
    assert (told["refused"], told["instruct"]) == ([], False)
    (folder / "optimizer.pt").write_bytes(b"\x80")
    (folder / "modeling_mine.py").write_text("print('never')")
    told = json.loads(cli("models", "show", str(folder), "--json").out)
    assert told["refused"] == ["optimizer.pt (a pickle)", "modeling_mine.py (code of its author)"]
    out = cli("models", "show", str(folder)).out
    assert "refused: optimizer.pt (a pickle), modeling_mine.py (code of its author): never read, never run\n" in out
