"""llmcli train, whole, on tiny checkpoints: what it prints, what it writes, and when it writes nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmcli.evaluate.answers import Answered
from tests.support import Done

ANIMALS = ["cat", "dog", "bridge", "river", "sleeps", "reads", "near", "old"]
WEATHER = ["rain", "sun", "tea", "morning", "noon", "evening", "long", "good"]


def rows(count: int = 120, *, names: tuple[str, str] = ("animal", "weather"), learnable: bool = True) -> str:
    draw, lines = random.Random(0), []
    for place in range(count):
        label = names[place % 2]
        words = draw.choices([ANIMALS, WEATHER][place % 2] if learnable else ANIMALS + WEATHER, k=5)
        lines.append(json.dumps({"id": place, "body": " ".join([*words, str(place)]), "sort": label}))
    return "\n".join(lines)


@pytest.fixture
def train(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Train in ``tmp_path``, on rows; the output is the folder ``made``."""
    monkeypatch.chdir(tmp_path)

    def run(task: str, base: Path | str, *arguments: str, text: str | None = None, output: str = "made") -> Done:
        (tmp_path / "rows.jsonl").write_text(rows() if text is None else text)
        done: Done = cli("train", task, "rows.jsonl", "--field", "body", "--label-field", "sort", "-o", output,
                         "-m", str(base), "-q", *arguments)  # fmt: skip
        return done

    return run


def test_a_better_model_is_a_model_everywhere(train, cli, checkpoint, tmp_path: Path):
    done = train("classify", checkpoint("gemma3"), "--method", "probe")
    said = done.out.splitlines()
    assert said[0].startswith("120 rows read, 120 used, 76 to learn from")
    assert said[1].startswith("untrained: accuracy")
    assert said[2].startswith("probe: accuracy")
    assert "24 of 24 answers are the same in a fresh process" in said[3]
    assert said[6].startswith("gain: +")
    assert said[-1] == f"kept: probe, in {tmp_path / 'made'}"
    assert {path.name for path in (tmp_path / "made").iterdir()} == {
        "README.md", "manifest.json", "model.yaml", "probe.safetensors", "rows.jsonl"}  # fmt: skip
    assert not (tmp_path / "made.partial").exists()
    sides = [json.loads(line)["side"] for line in (tmp_path / "made" / "rows.jsonl").read_text().splitlines()]
    assert {side: sides.count(side) for side in sides} == {"train": 76, "choose": 20, "test": 24}
    assert "license_name: unknown" in (tmp_path / "made" / "README.md").read_text()
    assert json.loads(cli("classify", "-m", "./made", "--json", "the cat sleeps").out)["label"] == "animal"
    assert "24 of 24" not in cli("evaluate", "classify", "rows.jsonl", "--field", "body", "--label-field", "sort",
                                 "-m", "made").out  # fmt: skip
    shown = json.loads(cli("models", "show", "./made", "--json").out)
    assert (shown["base"], shown["supported_tasks"]) == (checkpoint("gemma3").name, ["classify"])
    assert cli("models", "verify", "./made").out == "./made\tok\n"
    (tmp_path / "made" / "probe.safetensors").write_bytes(b"x")
    assert cli("models", "verify", "./made").code == 4
    (tmp_path / "made" / "mine.txt").write_text("mine")
    assert cli("models", "remove", "./made").code == 0
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["mine.txt"]


def test_nothing_is_tried_where_all_is_right(train, checkpoint, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("llmcli.train.training.judged", lambda *_: SimpleNamespace(measure=1.0))
    done = train("classify", checkpoint("gemma3"))
    assert done.out.splitlines()[-1] == "it is right on all of them, and no method can be better: nothing is kept"
    assert (done.code, [path.name for path in tmp_path.iterdir() if "made" in path.name]) == (0, [])


def test_what_nothing_beats_is_left_alone(train, checkpoint, tmp_path: Path, monkeypatch):
    """A method that is as right as the untrained model: of rows that teach nothing it may be better by chance."""
    from llmcli.train import methods, training

    judged = training.judged
    for module in (methods, training):
        monkeypatch.setattr(module, "judged", lambda *given: replace(judged(*given), measure=0.5))
    done = train("classify", checkpoint("gemma3"), "--method", "calibrate", text=rows(learnable=False))
    assert done.code == 0
    assert "nothing is kept" in done.out.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir() if "made" in path.name] == []


def test_an_encoder_trains_the_head_that_it_has(train, cli, checkpoint, tmp_path: Path):
    text = rows(names=("negative", "positive"))
    done = train("sentiment", checkpoint("distilbert"), "--rate", "0.003", "--epochs", "12", "--batch", "8", text=text)
    assert "kept: full" in done.out, done.out + done.err
    found = json.loads(cli("sentiment", "-m", "made", "--json", "rain sun tea").out)
    assert found["label"] == "POSITIVE"
    from transformers import AutoModelForSequenceClassification

    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "made")
    assert plain.config.id2label == {0: "NEGATIVE", 1: "POSITIVE"}


def test_an_adapter_is_written_in_peft_s_files_and_merged_where_it_is_asked_for(train, cli, checkpoint, tmp_path: Path):
    """The words are single tokens of this tokenizer, and a rate that is high learns them at once."""
    text = rows(names=("a", "b"))
    for output, more, files in (
        ("adapter", [], {"adapter_model.safetensors", "adapter_config.json"}),
        ("merged", ["--merge"], {"model.safetensors", "config.json"}),
    ):
        done = train("classify", checkpoint("gemma3"), "--method", "lora", "--rate", "0.003", "--epochs", "12",
                     "--batch", "8", *more,
                     text=text, output=output)  # fmt: skip
        assert "kept: lora" in done.out, done.out + done.err
        assert files < {path.name for path in (tmp_path / output).iterdir()}
    answers = [cli("classify", "-m", name, "--dtype", "float32", "--plain", "the cat sleeps").out
               for name in ("adapter", "merged")]  # fmt: skip
    assert answers[0] == answers[1]
    assert answers[0].startswith("a\t")


@pytest.mark.parametrize("base", ["t5", "marian"])
def test_translations_and_texts_are_trained(cli, checkpoint, tmp_path: Path, monkeypatch, base: str):
    monkeypatch.chdir(tmp_path)
    pairs = [json.dumps({"text": f"the cat {one}", "reference": f"le chat {other}"})
             for one, other in zip(ANIMALS + WEATHER, WEATHER + ANIMALS, strict=True)]  # fmt: skip
    (tmp_path / "pairs.jsonl").write_text("\n".join(pairs))
    done = cli("train", "translate", "pairs.jsonl", "-o", "made", "-m", str(checkpoint(base)), "-q", "-f", "en",
               "-t", "fr", "--epochs", "1", "--num-beams", "1", "--max-new-tokens", "12")  # fmt: skip
    assert (done.code, "lora: chrF" in done.out) == (0, True), done.err


@pytest.mark.parametrize("base", ["qwen3", "llama"])
def test_chats_and_completions_are_trained(cli, checkpoint, tmp_path: Path, monkeypatch, base: str):
    monkeypatch.chdir(tmp_path)
    chats = [{"messages": [{"role": "user", "content": f"{word}?"}, {"role": "assistant", "content": word}]}
             if base == "qwen3" else {"prompt": f"{word}:", "completion": f" {word}"}
             for word in ANIMALS + WEATHER]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, chats)))
    done = cli("train", "generate", "rows.jsonl", "-o", "made", "-m", str(checkpoint(base)), "-q", "--epochs", "1",
               "--max-new-tokens", "6")  # fmt: skip
    assert (done.code, "lora: chrF" in done.out) == (0, True), done.err


def test_a_base_that_has_changed_is_refused(cli, checkpoint, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "model.yaml").write_text(
        f"name: made\nsource: {{path: {checkpoint('gemma3')}}}\npipeline: causal\nbase: b\nbase_weights: '0123'\n"
    )
    done = cli("classify", "-m", "./made", "--labels", "a,b", "x")
    assert (done.code, "error[changed-base]" in done.err) == (4, True)


def test_what_is_loaded_must_be_what_was_trained(train, checkpoint, tmp_path: Path, monkeypatch):
    from llmcli.train import reload

    real = reload.answers

    def wrong(*arguments: Any, **options: Any) -> Answered:
        found = real(*arguments, **options)
        return Answered("x", [*found.answers[:-1], type(found.answers[0])("neither")])

    monkeypatch.setattr(reload, "answers", wrong)
    done = train("classify", checkpoint("gemma3"), "--method", "probe")
    assert (done.code, "error[reload]: 1 of 24 answers differ" in done.err) == (6, True)
    assert not (tmp_path / "made").exists()


REFUSED: list[tuple[str, str, list[str], int, str]] = [
    ("classify", "nli", [], 4, "a zero-shot model is not trained here"),
    ("answer", "qa", [], 4, "a question-answering model is not trained here"),
    ("classify", "gemma3", ["--method", "full"], 4, "--method full is not for classify with a causal model"),
    ("classify", "distilbert", [], 3, "has no label animal"),
    ("sentiment", "gemma3", [], 3, "the label animal is not among positive, negative"),
    ("classify", "gemma3", ["--label-field", "team"], 3, "the columns are: id, body, sort"),
    ("summarize", "marian", ["--label-field", "sort"], 4, "cannot do summarize"),
]


@pytest.mark.parametrize("task, base, arguments, code, said", REFUSED)
def test_what_cannot_be_trained_is_one_line(train, checkpoint, tmp_path: Path, task, base, arguments, code, said):
    done = train(task, checkpoint(base), *arguments)
    assert (done.code, said in done.err, done.err.count("\n")) == (code, True, 1), done.err
    assert not (tmp_path / "made.partial").exists()


def test_an_output_that_is_there_is_left_alone(train, checkpoint, tmp_path: Path):
    (tmp_path / "made").mkdir()
    assert "is there already" in train("classify", checkpoint("gemma3")).err


def test_an_unfinished_run_goes_on(train, checkpoint, tmp_path: Path, monkeypatch):
    from llmcli.train import methods

    def killed(*arguments: Any, **options: Any) -> Any:
        raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(methods, "probe", killed)
        train("classify", checkpoint("gemma3"), "--method", "probe")
    command = ("classify", checkpoint("gemma3"), "--method", "probe")
    assert "an unfinished run left its state" in train(*command).err
    assert "settings: rank" in train(*command, "--rank", "4", "--resume").err
    assert "settings: rows" in train(*command, "--resume", text=rows(118)).err
    assert "kept: probe" in train(*command, "--resume").out


MANIFESTS: dict[str, str | None] = {
    "none": None,
    "of another kind": '{"files": {}}',
    "with a name outside": '{"trained": "x", "files": {"../victim": {"sha256": "", "size": 0, "mtime_ns": 0}}}',
    "with an absolute name": '{"trained": "x", "files": {"/victim": {"sha256": "", "size": 0, "mtime_ns": 0}}}',
    "without a list": '{"trained": "x", "files": 3}',
    "without facts": '{"trained": "x", "files": {"model.yaml": 3}}',
}


@pytest.mark.parametrize("listed", MANIFESTS.values(), ids=MANIFESTS)
def test_a_folder_that_train_did_not_write_is_never_removed(cli, tmp_path: Path, monkeypatch, listed: str | None):
    monkeypatch.chdir(tmp_path)
    folder, victim = tmp_path / "own", tmp_path / "victim"
    folder.mkdir()
    for path in (victim, folder / "notes"):
        path.write_text("mine")
    (folder / "model.yaml").write_text("name: own\nbase: gemma-3-270m\nsource: {path: .}\npipeline: causal\n")
    if listed is not None:
        (folder / "manifest.json").write_text(listed)
    before = sorted(folder.iterdir())
    done = cli("models", "remove", "./own")
    assert (done.code, done.err.count("\n")) == (4, 1), done.err
    done = cli("models", "verify", "./own")  # an empty list names nothing that has changed
    assert (done.code, done.err.count("\n")) == ((0, 0) if listed == MANIFESTS["of another kind"] else (4, 1)), done.err
    assert (sorted(folder.iterdir()), victim.read_text()) == (before, "mine")
