"""Each setting changes what a resumed run is compared by, or stands on a list with the reason why it does not."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from llmcli import tasks
from llmcli.config.model_config import ModelConfig
from llmcli.config.run_config import AnyConfig, RunConfig
from llmcli.config.schemas import Generation, Label, Prompt, Settings
from llmcli.run.fingerprint import LEFT_OUT, OPTIONS_LEFT_OUT, fingerprint
from llmcli.run.resolve import merged

CHANGED: dict[str, Any] = {
    "settings.dtype": "float16",
    "settings.quantize": "none",
    "settings.plain": True,
    "settings.on_long": "error",
    "settings.prompt": Prompt(instruction="Be brief."),
    "settings.chat_prompt": Prompt(style="chat"),
    "settings.hypothesis": "It is {label}.",
    "settings.labels": [Label(name="a"), Label(name="b")],
    "settings.label_temperature": 2.5,
    "settings.neutral": ["nothing"],
    "settings.no_answer_bias": 0.5,
    "model.name": "other",
    "model.pipeline": "seq2seq",
    "model.chat": True,
    "model.chat_template_kwargs": {"enable_thinking": False},
    "model.supported_tasks": ["generate"],
    "model.languages": ["eo"],
    "model.source_languages": ["eo"],
    "model.target_languages": ["eo"],
    "model.language_codes": {"eo": "epo_Latn"},
    "model.context_window": 64,
}
"""Another value of each field."""


@pytest.fixture
def config(tiny_causal: Path) -> AnyConfig:
    return merged(tasks.get("sentiment"), {"model": str(tiny_causal)})


def kept(group: str, kind: Any) -> list[str]:
    return [f"{group}.{name}" for name in kind.model_fields if f"{group}.{name}" not in LEFT_OUT]


@pytest.mark.parametrize("name", [*kept("settings", Settings), *kept("model", ModelConfig)])
def test_each_field_changes_it(config: AnyConfig, name: str):
    group, _, field = name.partition(".")
    if name == "settings.generation":
        return  # field by field, below
    before = getattr(config, group)
    assert getattr(before, field) != CHANGED[name]
    changed = replace(config, **{group: before.model_copy(update={field: CHANGED[name]})})
    assert fingerprint(changed) != fingerprint(config)


@pytest.mark.parametrize("field", Generation.model_fields)
def test_each_generation_setting_changes_it(config: AnyConfig, field: str):
    values: dict[str, Any] = {"stop": ["x"], "early_stopping": True, "temperature": 0.25}
    base = Generation(temperature=0.5)  # tokens are drawn: the seed counts
    generation = base.model_copy(update={field: values.get(field, 7)})
    one, other = (replace(config, settings=config.settings.model_copy(update={"generation": item}))
                  for item in (base, generation))  # fmt: skip
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize("task", tasks.names())
def test_each_option_of_a_task_changes_it(tiny_causal: Path, task: str):
    config = merged(tasks.get(task), {"model": str(tiny_causal)})
    for item in fields(config.options):
        value = getattr(config.options, item.name)
        changed = replace(
            config, options=replace(config.options, **{item.name: "changed" if value != "changed" else 1})
        )
        assert (fingerprint(changed) != fingerprint(config)) == (item.name not in OPTIONS_LEFT_OUT), item.name


def test_the_run_has_no_field_that_is_forgotten():
    known = {"task", "options", "model", "settings"} | set(LEFT_OUT)
    assert {item.name for item in fields(RunConfig)} <= known


def test_versions_and_weights_change_it(config: AnyConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    before = fingerprint(config)
    monkeypatch.setattr("llmcli.run.fingerprint.__version__", "0.0.0")
    assert fingerprint(config)["versions"] != before["versions"]
    monkeypatch.setattr("llmcli.models.store.identity", lambda model, **_: "other")
    assert fingerprint(config)["model"] != before["model"]


def test_the_seed_counts_where_tokens_are_drawn(config: AnyConfig):
    one, other = (replace(config, settings=config.settings.model_copy(update={"generation": Generation(seed=seed)}))
                  for seed in (1, 2))  # fmt: skip
    assert fingerprint(one) == fingerprint(other)


def test_the_list_names_no_field_that_is_gone():
    settings, model = ({f"{group}.{name}" for name in kind.model_fields}
                       for group, kind in (("settings", Settings), ("model", ModelConfig)))  # fmt: skip
    run = {item.name for item in fields(RunConfig)}
    assert set(LEFT_OUT) - settings - model - run == {"settings.generation.seed"}
    options = {item.name for task in tasks.names() for item in fields(tasks.get(task).options)}
    assert set(OPTIONS_LEFT_OUT) <= options
