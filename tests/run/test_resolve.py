"""Strict YAML, precedence, and extension by files alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmcli import tasks
from llmcli.config import places
from llmcli.config.model_config import ModelConfig
from llmcli.config.schemas import TaskConfig, UserConfig
from llmcli.config.strict_yaml import load
from llmcli.errors import ConfigError
from llmcli.run import resolve
from tests.support import ROOT

BAD = {
    "unknown key": ("modle: x", "[modle] unknown key"),
    "repeated key": ("model: x\nmodel: y", "[line 2] the key 'model' is given twice"),
    "anchor": ("model: &a x", "[line 1] anchors and aliases are not allowed"),
    "wrong type": ("generation: {max_new_tokens: many}", "[generation.max_new_tokens]"),
    "YAML's no": ("model: no", "[model]"),
    "a list": ("- model", "[top level] must be a mapping"),
    "prompt without text": ("prompt: {example: 'x {answer}'}", "[prompt] example must hold {text} once"),
    "torn": ("model: [", "[line 1]"),
    "a list as a key": ("? [a]\n: b", "[line 1] a key must be text"),
    "a tag": ("model: !!python/object:os.system x", "[line 1] could not determine a constructor"),
    "no pair of languages": ("models: {chinese: x}", "[models.chinese"),
    "a date": ("model: 2020-01-01", "[model] must be text"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_bad_yaml(tmp_path: Path, text: str, message: str):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load(UserConfig, path)
    assert str(error.value).startswith(f"{path}: {message}")


def test_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "config").mkdir()
    user = tmp_path / "config" / "config.yaml"

    def resolved(**flags: object) -> tuple[str, str]:
        run = resolve.resolve(tasks.get("sentiment"), flags)
        return run.model.name, run.origins["model"]

    shipped = str(places.shipped() / "tasks" / "sentiment.yaml")
    assert resolved() == ("gemma-3-270m", shipped)
    user.write_text("tasks: {sentiment: {model: smollm2-135m-instruct}}")
    assert resolved() == ("smollm2-135m-instruct", f"{user}, tasks.sentiment")
    monkeypatch.setenv("LLMCLI_MODEL", "gemma-3-270m")
    assert resolved() == ("gemma-3-270m", "environment")
    assert resolved(model="smollm2-135m-instruct") == ("smollm2-135m-instruct", "flag")


PAIRS = {
    "the task's": ("", {"options": {"from_": "Chinese", "to": "en-GB"}}, "qwen2.5-coder-0.5b-instruct"),
    "another pair": ("", {"options": {"from_": "en", "to": "zh"}}, "gemma-3-270m"),
    "detected": ("", {"options": {"from_": "auto", "to": "en"}}, "gemma-3-270m"),
    "no source": ("", {"options": {"to": "en"}}, "gemma-3-270m"),
    "no language": ("", {"options": {"from_": "Elbonian", "to": "en"}}, "gemma-3-270m"),
    "a flag": ("", {"model": "gemma-3-270m", "options": {"from_": "zh", "to": "en"}}, "gemma-3-270m"),
    "the user's": ("models: {fr-en: t5-small}", {"options": {"from_": "fr", "to": "en"}}, "t5-small"),
    "the user's for all": ("model: t5-small", {"options": {"from_": "zh", "to": "en"}}, "t5-small"),
    "both": ("model: t5-small, models: {zh-en: gpt2}", {"options": {"from_": "zh", "to": "en"}}, "gpt2"),
}


@pytest.mark.parametrize(("user", "settings", "model"), PAIRS.values(), ids=PAIRS)
def test_the_model_of_a_pair_of_languages(tmp_path: Path, user: str, settings: dict[str, object], model: str):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text(f"tasks: {{translate: {{{user}}}}}")
    assert resolve.chosen_model(tasks.get("translate"), settings) == model
    assert resolve.merged(tasks.get("translate"), settings, describe=False).model.name == model


def test_a_task_that_there_is_not(cli, fake, tmp_path: Path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("tasks: {sentimnt: {model: x}}")
    done = cli("sentiment", "good")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "[tasks.sentimnt] there is no such task; did you mean sentiment?" in done.err


def test_unknown_option_of_a_task(tmp_path: Path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("tasks: {summarize: {options: {sentense: 2}}}")
    with pytest.raises(ConfigError, match=r"\[options.sentense\]"):
        resolve.resolve(tasks.get("summarize"), {})


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_yaml(path: Path):
    if path.parent.name == "models":
        model = load(ModelConfig, path)
        assert model.name == path.stem
        assert model.license is not None
    else:
        assert load(TaskConfig, path).model in places.names("models")


def test_a_new_model_is_one_yaml_file(cli, fake, tmp_path: Path, tiny_causal: Path):
    models = tmp_path / "config" / "models"
    models.mkdir(parents=True)
    (models / "mine.yaml").write_text(f"name: mine\nsource: {{path: {tiny_causal}}}\n")
    assert '"model": "mine"' in cli("sentiment", "-m", "mine", "--json", "good").out


def test_a_new_task_is_one_module_and_one_yaml_file(copied, tmp_path: Path, tiny_causal: Path):
    module = (ROOT / "llmcli" / "tasks" / "sentiment.py").read_text()
    (tmp_path / "llmcli" / "tasks" / "spam.py").write_text(module.replace('"sentiment"', '"spam"'))
    (tmp_path / "configs" / "tasks" / "spam.yaml").write_text(
        f"description: Spam or not.\nmodel: {tiny_causal}\nlabels: [{{name: spam}}, {{name: ham}}]\n"
        'prompt: {example: "Mail: {text}\\nLabel: {answer}"}\n'
    )
    done = copied("llmcli", "spam", "win a prize")
    assert done.stdout.split("\t")[0] in ("spam", "ham"), done.stderr


def test_config_commands(cli):
    shown = cli("config", "show", "sentiment").out
    _, given, default = shown.split(":\n")
    assert given.startswith('    model = "gemma-3-270m"\n')
    assert "    options.threshold = null\n" in default
    assert not {"input", "lines", "resume"} & {line.split(" = ")[0].strip() for line in default.splitlines()}
    assert cli("config", "path").out.startswith("shipped\t")
    assert cli("config", "show", "nope").code == 2
