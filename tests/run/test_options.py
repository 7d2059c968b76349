"""A setting in config.yaml means exactly what its flag means; what is not of its type is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from llmcli import tasks
from llmcli.config.generation_options import GenerationOptions
from llmcli.config.schemas import Generation
from llmcli.run.request import groups

SAME: dict[str, tuple[str, list[str], dict[str, Any], str]] = {
    # name: task, flags, the same as options of config.yaml, stdin
    "all scores": ("sentiment", ["--all-scores"], {"all_scores": True}, "good"),
    "all scores in a table": ("sentiment", ["--all-scores", "--csv"], {"all_scores": True, "csv": True},
                              "text\ngood\n"),
    "threshold": ("sentiment", ["--threshold", "0.995"], {"threshold": 0.995}, "good"),
    "grep": ("sentiment", ["--lines", "--grep", "negative"], {"lines": True, "grep": "negative"}, "good\nbad\n"),
    "grep finds none": ("sentiment", ["--grep", "negative"], {"grep": "negative"}, "good"),
    "abstain": ("sentiment", ["--lines", "--abstain", "0.99", "--unsure", "u.txt"],
                {"lines": True, "abstain": 0.99, "unsure": "u.txt"}, "good\nbad\n"),
    "abstain without a place": ("sentiment", ["--abstain", "0.9"], {"abstain": 0.9}, "good"),
    "format": ("sentiment", ["--format", "lines"], {"format": "lines"}, "good\nbad\n"),
    "json": ("sentiment", ["--json"], {"json": True}, "good"),
    "merge": ("sentiment", ["--jsonl", "--merge"], {"jsonl": True, "merge": True}, '{"text": "good", "n": 1}\n'),
    "field": ("sentiment", ["--jsonl", "--field", "t"], {"jsonl": True, "field": "t"}, '{"t": "good"}\n'),
    "max errors": ("sentiment", ["--lines", "--max-errors", "1"], {"lines": True, "max_errors": 1}, "good\n\nbad\n"),
    "labels": ("classify", ["--labels", "a,b", "--multi", "--csv"], {"labels": "a,b", "multi": True, "csv": True},
               "text\ngood\n"),
    "described": ("classify", ["--labels", "a,b", "--describe", "a: fine"], {"labels": "a,b", "describe": ["a: fine"]},
                  "good"),
    "question": ("answer", ["--question", "who?"], {"question": "who?"}, "hello there"),
    "free": ("answer", ["--question", "who?", "--free"], {"question": "who?", "free": True}, "hello there"),
    "answer's threshold": ("answer", ["--question", "who?", "--threshold", "0.9"],
                           {"question": "who?", "threshold": 0.9}, "hello there"),
    "sequences": ("generate", ["-n", "2"], {"num_return_sequences": 2}, "hm?"),
    "raw": ("generate", ["--raw"], {"raw": True}, "hm?"),
    "sentences": ("summarize", ["-n", "1"], {"sentences": 1}, "A cat slept. Rain fell on it."),
    "method": ("summarize", ["--method", "abstractive"], {"method": "abstractive"}, "A cat slept."),
    "languages": ("translate", ["-t", "fr", "-f", "en"], {"to": "fr", "from_": "en"}, "Hi"),
    "no rerank": ("translate", ["-t", "fr", "-f", "en", "--no-rerank"],
                  {"to": "fr", "from_": "en", "rerank": False}, "Hi"),
    "lang": ("code", ["--lang", "python"], {"lang": "python"}, "a task"),
    "explain": ("code", ["--explain"], {"explain": True}, "x = 1"),
}  # fmt: skip


def configure(tmp_path: Path, task: str, **settings: Any) -> Path:
    path = tmp_path / "config" / "config.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump({"tasks": {task: settings}}))
    return path


@pytest.mark.parametrize("name", SAME)
def test_by_flags_and_by_config_yaml(cli, fake, tmp_path: Path, monkeypatch, name: str):
    task, flags, options, stdin = SAME[name]
    monkeypatch.chdir(tmp_path)
    by_flags, asked = cli(task, *flags, stdin=stdin), [*fake.prompts]
    files = {path.name: path.read_bytes() for path in tmp_path.glob("u.*")}
    fake.prompts.clear()
    configure(tmp_path, task, options=options)
    assert cli(task, stdin=stdin) == by_flags
    assert fake.prompts == asked[: len(fake.prompts)]  # a prompt's own preference is measured once
    assert {path.name: path.read_bytes() for path in tmp_path.glob("u.*")} == files
    assert by_flags.out or by_flags.err or by_flags.code == 1


def test_generation_settings_too(cli, fake, tmp_path: Path):
    configure(tmp_path, "generate", generation={"num_return_sequences": 2, "stop": ["x"]})
    assert cli("generate", "--no-stream", "hm?").out == "HM?\n\nHM?\n"
    assert fake.generations[0].stop == ["x"]


def test_a_flag_wins(cli, fake, tmp_path: Path):
    configure(tmp_path, "sentiment", options={"lines": True, "json": True})
    assert cli("sentiment", "--csv", stdin="text\ngood\n").out.startswith('{"id": 1')


BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "a word for a number": ("summarize", {"sentences": "two"}, "[options.sentences] must be a whole number"),
    "below the least": ("summarize", {"sentences": 0}, "[options.sentences] must be 1 or more"),
    "no such choice": ("summarize", {"method": "extractiv"}, "[options.method] must be 'auto'"),
    "a word for a share": ("answer", {"threshold": "high"}, "[options.threshold] must be a number"),
    "above one": ("sentiment", {"threshold": 2}, "[options.threshold] must be 1.0 or less"),
    "not a number": ("sentiment", {"threshold": float("nan")}, "[options.threshold] must be"),
    "a list": ("translate", {"to": ["fr", "de"]}, "[options.to] must be text"),
    "YAML's no": ("translate", {"to": False}, "[options.to] must be text; YAML reads yes, no"),
    "text for yes or no": ("classify", {"multi": "no"}, "[options.multi] must be true or false"),
    "raw": ("generate", {"raw": "no"}, "[options.raw] must be true or false"),
    "sequences": ("generate", {"num_return_sequences": -1}, "[options.num_return_sequences] must be 1 or more"),
    "two sequences": ("generate", {"num_return_sequences": "two"}, "must be a whole number"),
    "misspelt": ("summarize", {"sentense": 2}, "no such option; did you mean sentences?"),
    "only a flag": ("sentiment", {"output": "x"}, "[options.output] can only be given on the command line"),
    "two formats": ("sentiment", {"lines": True, "csv": True}, "two input formats: lines and csv"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_value_is_one_line(cli, fake, tmp_path: Path, name: str):
    task, options, message = BAD[name]
    path = configure(tmp_path, task, options=options)
    done = cli(task, stdin="x")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"llmcli: error[config]: {path}, tasks.{task}: ") or "two input formats" in done.err
    assert message in done.err


@pytest.mark.parametrize("task", tasks.names())
def test_no_name_is_declared_twice(task: str):
    names = [item for group in groups(tasks.get(task)) for item in group.__dataclass_fields__]
    assert len(set(names)) == len(names)


def test_generation_flags_are_the_settings_of_generation():
    assert set(GenerationOptions.__dataclass_fields__) <= set(Generation.model_fields)
