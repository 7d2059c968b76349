"""The public door: its names, and the same answers as the command line's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmcli import api
from llmcli.errors import ConfigError, UsageError


def test_its_names():
    assert sorted(api.__all__) == ["LlmcliError", "Record", "Result", "TaskSession", "open"]
    assert all(hasattr(api, name) for name in api.__all__)
    assert (Path(api.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize(
    ("task", "settings", "flags", "text"),
    [
        ("sentiment", {"all_scores": True}, ["--all-scores"], "good"),
        ("translate", {"to": "fr", "from_": "en"}, ["-t", "fr", "-f", "en"], "Hi"),
        ("generate", {"max_new_tokens": 7}, ["--max-new-tokens", "7"], "hm?"),
        ("classify", {"labels": "a,b"}, ["--labels", "a,b"], "good"),
        ("summarize", {"sentences": 1}, ["-n", "1"], "A cat slept. Rain fell on it."),
    ],
)
def test_answers_are_the_command_lines(cli, fake, task: str, settings: dict[str, Any], flags: list[str], text: str):
    with api.open(task, **settings) as session:
        (result,) = session.answer([text])
    row = json.loads(cli(task, "--json", *flags, text).out)
    assert {name: row[name] for name in result.fields} == rounded(result.fields)
    assert row["model"] == session.config.model.name


def test_rows_bring_their_fields_and_their_errors(fake):
    rows = [api.Record(id="q", text="hello there", fields={"question": "who?"}), api.Record(id="e", text=" ")]
    results = list(api.open("answer", question="what?").answer(rows))
    assert [(result.id, result.status) for result in results] == [("q", "ok"), ("e", "error")]


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    return round(value, 6) if isinstance(value, float) else value


WRONG: dict[str, tuple[str, dict[str, Any], type[Exception], str]] = {
    "no such task": ("shout", {}, UsageError, "no task named shout"),
    "no such setting": ("sentiment", {"nope": 1}, UsageError, "no setting 'nope'"),
    "no labels": ("translate", {"to": "fr", "from_": "fr"}, UsageError, "both French"),
    "not a number": ("generate", {"max_new_tokens": "many"}, ConfigError, "max_new_tokens"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(fake, name: str):
    task, settings, kind, message = WRONG[name]
    with pytest.raises(kind, match=message):
        list(api.open(task, **settings).answer(["Bonjour"]))
