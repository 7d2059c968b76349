"""The commands: what they print, which files they write, what they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy
import pytest

TEXT = "The cat sat."


def test_tokens(cli, tiny_causal: Path):
    done = cli("inspect", "tokens", "-m", str(tiny_causal), "é a", "-q")
    assert done.out == (
        "0\t131\t\\xc3\tc3\t0-1\t0-1\n1\t106\t\\xa9\ta9\t1-2\t0-1\n2\t224\t \t20\t2-3\t1-2\n3\t68\ta\t61\t3-4\t2-3\n"
    )
    assert cli("inspect", "tokens", "-m", str(tiny_causal), "--count", stdin="é a\n").out == "4\n"
    value = json.loads(cli("inspect", "tokens", "-m", str(tiny_causal), "--json", "é a").out)
    assert (value["count"], value["characters"], value["bytes"]) == (4, 3, 4)
    assert value["tokens"][1] == {"id": 106, "piece": "©", "bytes": "a9", "special": False, "byte_start": 1,
                                  "byte_end": 2, "start": 0, "end": 1}  # fmt: skip


def test_a_batch_is_padded(cli, tiny_causal: Path):
    done = cli("inspect", "tokens", "-m", str(tiny_causal), "--pad", "a", "abc")
    assert done.out.splitlines() == ["ids\t68\t0\t0", "mask\t1\t0\t0", "ids\t68\t69\t70", "mask\t1\t1\t1"]
    value = json.loads(cli("inspect", "tokens", "-m", str(tiny_causal), "--pad", "--json", "a", "abc").out)
    assert (value["ids"], value["mask"]) == ([[68, 0, 0], [68, 69, 70]], [[1, 0, 0], [1, 1, 1]])


SETTINGS = {
    "nothing": ("", "", [], "gemma-3-270m"),
    "config.yaml": ("model: /config", "", [], "/config"),
    "generate's": ("tasks: {generate: {model: /task}}", "", [], "/task"),
    "the environment": ("model: /config", "/environment", [], "/environment"),
    "a flag": ("model: /config", "/environment", ["-m", "/flag"], "/flag"),
}


@pytest.mark.parametrize(("config", "environment", "flags", "expected"), SETTINGS.values(), ids=SETTINGS)
def test_whose_model(cli, monkeypatch, tmp_path: Path, config, environment, flags, expected: str):
    if config:
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "config.yaml").write_text(config)
    if environment:
        monkeypatch.setenv("LLMCLI_MODEL", environment)
    asked: list[str] = []
    monkeypatch.setattr("llmcli.run.resolve.merged", lambda task, settings: asked.append(settings["model"]) or 1 / 0)
    cli("inspect", "tokens", "a", *flags)
    assert asked == [expected]


PLACES = {
    "a text before a number": ("gemma3", ["a 3"], "3", "layers", 2),
    "the same in attention": ("gemma3", ["a 3"], "3", "attention", 2),
    "a number": ("gemma3", ["a b"], "1", "layers", 1),
    "of what is written": ("marian", ["the cat", "--target", "le"], "l", "layers", 1),
}


@pytest.mark.parametrize(("name", "text", "token", "command", "place"), PLACES.values(), ids=PLACES)
def test_which_token(cli, checkpoint, name: str, text: list[str], token: str, command: str, place: int):
    done = cli("inspect", command, *text, "--token", token, "-m", str(checkpoint(name)), "--json")
    value = json.loads(done.out)
    assert value["place" if command == "layers" else "query"] == place


def test_a_file_is_there_where_standard_output_is_full(tiny_causal: Path, tmp_path: Path):
    arguments = ["inspect", "tokens", "abc", "-m", str(tiny_causal), "--svg", str(tmp_path / "a.svg")]
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-m", "llmcli", *arguments], stdout=full, stderr=subprocess.PIPE,
                              check=False)  # fmt: skip
    assert done.returncode == 10, done.stderr
    assert (tmp_path / "a.svg").read_text().startswith("<svg")


SHAPES = {
    "scores": (["inspect", "scores"], (12,)),
    "attention": (["inspect", "attention", "--layer", "1"], (3, 2, 12, 12)),
    "one head": (["inspect", "attention", "--head", "1", "--token", "c"], (3, 2, 12, 12)),
    "layers": (["inspect", "layers", "--token", "2"], (4, 12, 32)),
    "embeddings": (["inspect", "embeddings"], (1, 32)),
}


@pytest.mark.parametrize(("arguments", "shape"), SHAPES.values(), ids=SHAPES)
def test_files(cli, tiny_causal: Path, tmp_path: Path, arguments: list[str], shape: tuple[int, ...]):
    svg, npy = tmp_path / "a.svg", tmp_path / "a.npy"
    done = cli(*arguments, "-m", str(tiny_causal), TEXT, "--svg", str(svg), "--npy", str(npy))
    assert done.code == 0, done.err
    assert done.out
    assert numpy.load(npy).shape == shape
    assert ElementTree.fromstring(svg.read_text()).tag.endswith("svg")
    value = json.loads(cli(*arguments, "-m", str(tiny_causal), TEXT, "--json").out)
    assert value["model"] == str(tiny_causal)
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != "") == ["a.npy", "a.svg"]


def test_softmax_is_shown_with_its_numbers(cli, tiny_causal: Path):
    arguments = ["inspect", "attention", "-m", str(tiny_causal), TEXT, "--layer", "1", "--head", "0", "--token", "c"]
    head, *rows = cli(*arguments).out.splitlines()
    assert head == "layer 1, head 0, “c”: softmax(q·k / 16)"
    cells = [row.split("\t") for row in rows]
    assert [cell[0] for cell in cells] == ["T", "h", "e", " ", "c"]
    scores = numpy.array([float(cell[2]) for cell in cells])
    weights = numpy.exp(scores) / numpy.exp(scores).sum()
    assert [float(cell[3]) for cell in cells] == pytest.approx(weights.tolist(), abs=2e-3)
    value = json.loads(cli(*arguments, "--json").out)
    assert [dot * value["softmax"]["scale"] for dot in value["softmax"]["dots"]] == pytest.approx(
        value["softmax"]["scaled"]
    )


@pytest.mark.parametrize("name", ["bert", "encoder", "distilbert", "roberta", "qa"])
def test_an_encoder_attends_to_both_sides(cli, checkpoint, name: str):
    value = json.loads(cli("inspect", "attention", "-m", str(checkpoint(name)), "a cat", "--json").out)
    assert all(sum(row) == pytest.approx(1, abs=1e-5) for row in value["weights"])
    assert all(min(row) > 0 for row in value["weights"])
    done = cli("inspect", "scores", "-m", str(checkpoint(name)), "a cat")
    assert (done.code, done.out) == (4, "")
    assert "tells no probabilities" in done.err


@pytest.mark.parametrize("name", ["marian", "t5", "bart", "mbart50", "m2m100", "nllb", "pegasus"])
def test_a_translation_is_aligned(cli, checkpoint, tmp_path: Path, name: str):
    languages = ["--from", "en", "--to", "fr"] if name in ("mbart50", "m2m100", "nllb") else []
    arguments = ["inspect", "attention", "-m", str(checkpoint(name)), "the cat", "--target", "le chat", *languages]
    done = cli(*arguments, "--json", "--svg", str(tmp_path / "a.svg"))
    assert done.code == 0, done.err
    value = json.loads(done.out)
    assert value["attention"] == "cross"
    assert [len(row) for row in value["weights"]] == [len(value["keys"])] * len(value["queries"])
    assert all(sum(row) == pytest.approx(1, abs=1e-5) for row in value["weights"])
    assert "written" in (tmp_path / "a.svg").read_text()
    for part, side in (("encoder", "keys"), ("decoder", "queries")):
        own = json.loads(cli(*arguments, "--part", part, "--json").out)
        assert own["queries"] == own["keys"] == value[side]


def test_a_translation_that_the_model_makes_itself(cli, checkpoint):
    value = json.loads(cli("inspect", "scores", "-m", str(checkpoint("marian")), "the cat", "--json").out)
    assert all(token["rank"] == 1 or token["log_probability"] < 0 for token in value["tokens"])
    assert value["tokens"][0]["rank"] == 1


ERRORS = {
    "no text": (["scores"], b"", 2, "no text"),
    "empty": (["scores", ""], b"", 3, "error[empty]"),
    "blank": (["attention"], b" \n", 3, "error[empty]"),
    "not UTF-8": (["tokens"], b"caf\xe9", 3, "byte 0xe9 at offset 3"),
    "several": (["scores", "a", "b"], b"", 2, "quotation marks"),
    "both": (["scores", "a", "-i", "x"], b"", 2, "exclude each other"),
    "missing file": (["scores", "-i", "/no/such"], b"", 3, "error[unreadable]"),
    "no layer": (["attention", "abc", "--layer", "9"], b"", 2, "there is no layer 9 with attention; layers: 0 to 2"),
    "no head": (["attention", "abc", "--head", "2"], b"", 2, "there is no head 2; heads of layer 2: 0 to 1"),
    "no token": (["attention", "abc", "--token", "x"], b"", 2, "no such token"),
    "no place": (["layers", "abc", "--token", "7"], b"", 2, "no such token"),
    "a batch and a picture": (["tokens", "--pad", "a", "--svg", "a.svg"], b"", 2, "--pad excludes"),
    "a picture of too much": (["attention", "word " * 30, "--svg", "a.svg"], b"", 3, "150 tokens are more"),
    "a picture of a book": (["tokens", "word " * 500, "--svg", "a.svg"], b"", 3, "2,500 tokens are more"),
    "no decoder": (["scores", "abc", "--target", "x"], b"", 4, "has no decoder"),
    "no part": (["attention", "abc", "--part", "cross"], b"", 2, "for encoder-decoders"),
    "too long": (["attention", "word " * 400], b"", 6, "more than the 1,024 that can be looked into"),
    "no folder": (["scores", "a", "--svg", "/no/such/a.svg"], b"", 10, "error[write]"),
    "one file for both": (["scores", "a", "--svg", "x", "--npy", "x"], b"", 2, "one file"),
    "full disk": (["scores", "abc", "--npy", "/dev/full"], b"", 10, "error[write]"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "stdin", "code", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_are_one_line(cli, tiny_causal: Path, arguments, stdin, code, message):
    done = cli("inspect", *arguments, "-m", str(tiny_causal), "-q", stdin=stdin)
    assert done.code == code, done.err
    assert message in done.err
    assert done.err.count("\n") == 1
    assert done.out == "" or "full" in done.err or "/dev" in done.err


def test_what_is_read_is_not_overwritten(cli, tmp_path: Path):
    text = tmp_path / "a.txt"
    text.write_text("abc")
    done = cli("inspect", "scores", "-i", str(text), "--svg", str(tmp_path / ".." / tmp_path.name / "a.txt"))
    assert (done.code, text.read_text()) == (2, "abc")
    assert "both input and output" in done.err
