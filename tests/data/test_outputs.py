"""Where results go: over no input, out of no output folder, through what is no plain file."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

LABELLED = "positive\t0.9863\n"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], Path]:
    """Makes files below a folder, which is the working directory: a text each, or ``-> TARGET`` for a link."""

    def make(files: dict[str, str]) -> Path:
        root = tmp_path / "desk"
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content.startswith("-> "):
                path.symlink_to(content.removeprefix("-> "))
            else:
                path.write_text(content)
        monkeypatch.chdir(root)
        return root

    return make


def everything(root: Path) -> dict[str, str]:
    """All files below a folder, hidden ones of llmcli left out."""
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*")
            if path.is_file() and not path.name.startswith(".llmcli")}  # fmt: skip


FOLDERS = {
    "a folder and a file by its whole path": (
        {"docs/a.txt": "good", "extra.txt": "good"}, ["-i", "docs", "-i", "{root}/extra.txt"], ["a.txt", "extra.txt"]),
    "a file above": ({"docs/a.txt": "good", "b/x.txt": "good"}, ["-i", "docs", "-i", "docs/../b/x.txt"],
                     ["a.txt", "x.txt"]),
    "a folder in a folder": ({"docs/deep/a.txt": "good"}, ["-i", "docs"], ["deep/a.txt"]),
    "several files into a folder that is there": (
        {"a.txt": "good", "b.txt": "good", "out/.keep": ""}, ["-i", "a.txt", "-i", "b.txt"],
        [".keep", "a.txt", "b.txt"]),
    "a name of bytes that are no text": ({"docs/caf\udce9.txt": "good"}, ["-i", "docs"], ["caf\udce9.txt"]),
    "an output folder within the input": ({"docs/a.txt": "good", "out/a.txt": "bad", "b.txt": "good"},
                                          ["-i", ".", "--pattern", "b*"], ["a.txt", "b.txt"]),
}  # fmt: skip


@pytest.mark.parametrize(("files", "inputs", "names"), FOLDERS.values(), ids=FOLDERS)
def test_into_a_folder(cli, fake, tree, files, inputs, names):
    root = tree(files)
    before = everything(root)
    done = cli("sentiment", *(argument.format(root=root) for argument in inputs), "-o", "out")
    assert done.code == 0, done.err
    after = everything(root)
    assert {name: after[name] for name in before if not name.startswith("out/b")} == before
    assert sorted(str(path.relative_to("out")) for path in Path("out").rglob("*")
                  if path.is_file() and not path.name.startswith(".llmcli")) == names  # fmt: skip


REFUSED = {
    "two folders with files of one name": (
        {"a/x.txt": "good", "b/x.txt": "good"}, ["-i", "a", "-i", "b", "-o", "out"], "two results"),
    "two files of one name": ({"a/x.txt": "good", "b/x.txt": "good", "out/k": ""},
                              ["-i", "a/x.txt", "-i", "b/x.txt", "-o", "out"], "two results"),
    "compressed and not": ({"a/x.txt": "good", "a/x.txt.gz": "good"}, ["-i", "a", "-o", "out"], "two results"),
    "a file where a folder is": ({"a/x/y.txt": "good", "b/x": "good"}, ["-i", "a", "-i", "b", "-o", "out"],
                                 "two results"),
    "a folder into itself": ({"a/x.txt": "good"}, ["-i", "a", "-o", "a"], "both input and output"),
    "into the folder of an input": ({"a/x.txt": "good", "b/y.txt": "good"},
                                    ["-i", "b", "-i", "a/x.txt", "-o", "a"], "both input and output"),
    "a link in the output folder": ({"a/x.txt": "good", "out/x.txt": "-> ../a/x.txt"}, ["-i", "a", "-o", "out"],
                                    "no plain file"),
    "a link out of the output folder": ({"a/s/x.txt": "good", "b/k": "", "out/s": "-> ../b"},
                                        ["-i", "a", "-o", "out"], "leads out of the output folder"),
    "the same file": ({"x.jsonl": '{"text": "good"}\n'}, ["-i", "x.jsonl", "-o", "x.jsonl"], "both input and output"),
    "spelled otherwise": ({"x.jsonl": '{"text": "good"}\n'}, ["-i", "x.jsonl", "-o", "../desk/x.jsonl"],
                          "both input and output"),
    "a link to the input": ({"x.jsonl": '{"text": "good"}\n', "y.jsonl": "-> x.jsonl"},
                            ["-i", "x.jsonl", "-o", "y.jsonl"], "both input and output"),
    "the partial output": ({"x.partial": "good\n"}, ["--lines", "-i", "x.partial", "-o", "x"],
                           "both input and output"),
    "the journal": ({"x.journal": "good\n"}, ["--lines", "-i", "x.journal", "-o", "x"], "both input and output"),
    "the unsure rows over the input": ({"x.txt": "good\n"}, ["--lines", "-i", "x.txt", "-o", "y", "--abstain", "0.9",
                                                             "--unsure", "x.txt"], "both input and output"),
    "the unsure rows over the output": ({"x.txt": "good\n"}, ["--lines", "-i", "x.txt", "-o", "y", "--abstain", "0.9",
                                                              "--unsure", "./y"], "two results"),
    "the unsure rows over the journal": ({"x.txt": "good\n"}, ["--lines", "-i", "x.txt", "-o", "y", "--abstain", "0.9",
                                                               "--unsure", "y.journal"], "two results"),
    "a file of the folder that is read": ({"docs/a.txt": "good", "docs/b.jsonl": "good"},
                                          ["-i", "docs", "-o", "docs/b.jsonl"], "both input and output"),
    "a folder for rows": ({"x.jsonl": '{"text": "good"}\n', "out/k": ""}, ["-i", "x.jsonl", "-o", "out"], "a folder"),
    "a planted link": ({"x.txt": "good\n", "victim": "dear", "out.partial": "-> victim"},
                       ["--lines", "-i", "x.txt", "-o", "out"], "no plain file"),
    "a planted link to a journal": ({"x.txt": "good\n", "victim": "", "out.journal": "-> victim"},
                                    ["--lines", "-i", "x.txt", "-o", "out"], "in the way"),
    "a table and --json": ({"x.txt": "good\n"}, ["--lines", "-i", "x.txt", "--json", "-o", "x.csv"], "no table"),
    "--merge into a table": ({"x.jsonl": '{"text": "good"}\n'}, ["-i", "x.jsonl", "--merge", "-o", "x.csv"],
                             "for JSON"),
    "compressed output": ({"x.txt": "good\n"}, ["--lines", "-i", "x.txt", "-o", "x.jsonl.gz"], "not compressed"),
}  # fmt: skip


@pytest.mark.parametrize(("files", "arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_before_any_work(cli, fake, tree, files, arguments, message):
    root = tree(files)
    before = everything(root)
    done = cli("sentiment", *arguments)
    assert (done.code, done.out, done.err.count("\n"), message in done.err) == (2, "", 1, True), done.err
    assert (everything(root), fake.prompts) == (before, [])


def test_a_hard_link_is_the_same_file(cli, fake, tree):
    root = tree({"x.txt": "good\n"})
    os.link("x.txt", "y.txt")
    assert cli("sentiment", "--lines", "-i", "x.txt", "-o", "y.txt").code == 2
    os.link("x.txt", "out.partial")
    assert cli("sentiment", "--lines", "-i", "y.txt", "-o", "out").code == 2
    (root / "z.txt").write_text("good\n")
    assert cli("sentiment", "--lines", "-i", "z.txt", "-o", "out").code == 0
    assert (root / "x.txt").read_text() == "good\n"


def test_standard_input_is_not_overwritten(cli, fake, tmp_path: Path):
    """The fixture's standard input is the file of this name."""
    done = cli("sentiment", "--lines", "-o", str(tmp_path / "stdin"), stdin="good\n")
    assert (done.code, "both input and output" in done.err) == (2, True)


def test_a_folder_does_not_hold_what_is_written(cli, fake, tree):
    root = tree({"a.txt": "good", "b.txt": "bad"})
    for arguments in ([], ["--resume"], []):
        assert cli("sentiment", "-i", ".", "-o", "out.jsonl", "--abstain", "0.1", *arguments).code == 0
        assert [json.loads(line)["id"] for line in (root / "out.jsonl").read_text().splitlines()] == ["a.txt", "b.txt"]


def test_a_folder_does_not_hold_what_other_runs_left(cli, fake, tree):
    tree({"a.txt": "good\n", "b.partial": "good"})
    assert cli("sentiment", "--lines", "-i", "a.txt", "-o", "x").code == 0
    Path("x").rename("x.partial")
    done = cli("sentiment", "-i", ".", "--json")
    assert [json.loads(line)["id"] for line in done.out.splitlines()] == ["a.txt", "b.partial"]


def test_a_link_stays_one(cli, fake, tree):
    root = tree(
        {"x.txt": "good\n", "deep/real.txt": "old", "out.txt": "-> deep/real.txt", "new.txt": "-> deep/new.txt"}
    )
    os.chmod("deep/real.txt", 0o600)
    for name, place in (("out.txt", "deep/real.txt"), ("new.txt", "deep/new.txt")):
        assert cli("sentiment", "--lines", "-i", "x.txt", "-o", name).code == 0
        assert (os.readlink(name), (root / place).read_text()) == (place, LABELLED)
        assert not [*root.rglob("*.partial")]
    assert os.stat("deep/real.txt").st_mode & 0o777 == 0o600
    assert cli("sentiment", "--lines", "-i", "x.txt", "-o", "deep/../deep/real.txt", "--resume").code == 0


def test_a_pipe_is_written_through(cli, fake, tree):
    root = tree({"x.txt": "good\nbad\n"})
    os.mkfifo("pipe")
    read: list[str] = []
    reading = threading.Thread(target=lambda: read.append((root / "pipe").read_text()))
    reading.start()
    assert cli("sentiment", "--lines", "-i", "x.txt", "-o", "pipe").code == 0
    reading.join()
    assert read == [f"{LABELLED}negative\t0.9096\n"]
    assert sorted(os.listdir()) == ["pipe", "x.txt"]
    assert cli("sentiment", "--lines", "-i", "x.txt", "-o", "pipe", "--resume").code == 2


def test_a_dash_is_standard_output(cli, fake, tree):
    root = tree({"docs/a.txt": "good"})
    assert cli("sentiment", "--lines", "-o", "-", stdin="good\n").out == LABELLED
    assert everything(root) == {"docs/a.txt": "good"}


def test_standard_input_beside_a_folder(cli, fake, tree):
    root = tree({"docs/a.txt": "good"})
    assert cli("sentiment", "-i", "-", "-i", "docs", "-o", "out", stdin="good").code == 0
    assert everything(root / "out") == {"a.txt": LABELLED, "stdin": LABELLED}


HOSTILE = {
    "text": (["--lines", "--grep", "positive"], "good \x1b[31mred\x1b]0;title\x07 \x9b1m\n", "good red \n"),
    "csv": (["--csv"], "text,\x1b[2Jn\ngood,\x1b[31m1\n",
            "text,n,label,score,status,error\ngood,1,positive,0.986319,ok,\n"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "stdin", "out"), HOSTILE.values(), ids=HOSTILE)
def test_a_terminal_gets_no_escapes(cli, fake, arguments, stdin, out):
    controller, terminal = os.openpty()
    try:
        assert cli("sentiment", *arguments, "-o", os.ttyname(terminal), stdin=stdin).code == 0
        assert os.read(controller, 4096).decode().replace("\r\n", "\n") == out
    finally:
        os.close(controller)
        os.close(terminal)
    assert "\x1b" in cli("sentiment", *arguments, stdin=stdin).out


def test_a_terminal_gets_no_escapes_in_json(cli, fake, tmp_path: Path):
    controller, terminal = os.openpty()
    line = json.dumps({"id": "\x9b31m", "text": "good", "\x9b": "\x85"}, ensure_ascii=False)
    assert cli("sentiment", "--jsonl", "--merge", "-o", os.ttyname(terminal), stdin=line).code == 0
    shown = os.read(controller, 4096).decode()
    assert not [c for c in shown if "\x80" <= c <= "\x9f"]
    assert json.loads(shown)["id"] == ""
    os.close(controller)
    os.close(terminal)


ENDINGS = {
    "jsonl to csv": ("x.jsonl", '{"id": "a", "text": "good"}\n', "y.csv",
                     "id,label,score,status,error\na,positive,0.986319,ok,\n"),
    "lines to tsv": ("x.txt", "good\n\n", "y.tsv",
                     "id\tlabel\tscore\tstatus\terror\n1\tpositive\t0.986319\tok\t\n"
                     "2\t\t\terror\tempty: the text is empty\n"),
    "csv to tsv": ("x.csv", "text;n\ngood;1\n", "y.tsv",
                   "text\tn\tlabel\tscore\tstatus\terror\ngood\t1\tpositive\t0.986319\tok\t\n"),
    "tsv to csv": ("x.tsv", "text\tn\ngood\t1\n", "y.csv",
                   "text,n,label,score,status,error\ngood,1,positive,0.986319,ok,\n"),
    "csv to what has no format": ("x.csv", "text\ngood\n", "y.out",
                                  "text,label,score,status,error\ngood,positive,0.986319,ok,\n"),
}  # fmt: skip


@pytest.mark.parametrize(("source", "content", "target", "out"), ENDINGS.values(), ids=ENDINGS)
def test_the_ending_decides(cli, fake, tree, source, content, target, out):
    tree({source: content})
    assert cli("sentiment", *(["--lines"] if source == "x.txt" else []), "-i", source, "-o", target).code in (0, 5)
    assert Path(target).read_text() == out


JSON_ENDINGS = {
    "csv to jsonl": ("text\ngood\nbad\n", "y.jsonl", lambda text: [json.loads(line) for line in text.splitlines()]),
    "csv to json": ("text\ngood\nbad\n", "y.json", json.loads),
}


@pytest.mark.parametrize(("content", "target", "read"), JSON_ENDINGS.values(), ids=JSON_ENDINGS)
def test_the_ending_decides_for_json(cli, fake, tree, content, target, read):
    tree({"x.csv": content})
    assert cli("sentiment", "-i", "x.csv", "-o", target).code == 0
    assert [row["label"] for row in read(Path(target).read_text())] == ["positive", "negative"]


NOTHING_LEFT = {
    "a header alone": ({"x.csv": "id,text\n"}, ["-i", "x.csv", "-o", "y.csv"], 3),
    "no such column": ({"x.csv": "id,n\n1,2\n"}, ["-i", "x.csv", "-o", "y.csv"], 3),
    "columns that differ": ({"x.csv": "text\n1\n", "y.csv": "text,n\n1,2\n"},
                            ["-i", "x.csv", "-i", "y.csv", "-o", "z"], 2),
    "an empty folder": ({"docs/.k": ""}, ["-i", "docs", "-o", "out"], 3),
    "no folder to write to": ({"x.jsonl": '{"text": "good"}'}, ["-i", "x.jsonl", "-o", "a/b/y.jsonl"], 10),
    "a model that is not there": ({"docs/a.txt": "good"}, ["-i", "docs", "-o", "out", "-m", "nowhere"], 4),
}  # fmt: skip


@pytest.mark.parametrize(("files", "arguments", "code"), NOTHING_LEFT.values(), ids=NOTHING_LEFT)
def test_an_error_of_the_whole_run_leaves_nothing(cli, fake, tree, files, arguments, code):
    root = tree(files)
    before = sorted(root.rglob("*"))
    assert cli("sentiment", *arguments).code == code
    assert sorted(root.rglob("*")) == before
