"""llmcli translate on documents, on the fake model: marks, checks, glossary, memory, resume."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from llmcli.errors import GenerationError
from llmcli.pipelines.protocol import Completion
from tests.support.fake import FakeModel

SHORT = ["translate", "-f", "en", "-t", "de", "--no-rerank"]


@pytest.fixture
def says(fake: FakeModel, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """The fake model answers as ``by`` says; gives the list of what it was asked."""

    def set_up(by: Callable[[str], Sequence[str]] | Mapping[str, Sequence[str]] | None = None) -> list[str]:
        asked: list[str] = []

        def complete(prompts: Any, generation: Any, *, emit: Any = None) -> list[list[Completion]]:
            made = []
            for prompt in prompts:
                text = re.fullmatch(r"\w+: (.*)\n\w+:", prompt.row, re.DOTALL)[1]
                asked.append(text)
                answers = by.get(text, [text.swapcase()]) if isinstance(by, Mapping) else (
                    by(text) if by else [text.swapcase()])  # fmt: skip
                made.append([Completion(answer, 1, 1, "stop", -float(at)) for at, answer in enumerate(answers)])
            return made

        monkeypatch.setattr(fake, "complete", complete)
        monkeypatch.setattr("llmcli.text.checks._CHECKS", KEPT)  # what is no German is not what is tested
        return asked

    return set_up


def _checks(*names: str) -> Any:
    from llmcli.text import checks

    return tuple(look for look in checks._CHECKS if look.__name__ in names)


KEPT = _checks("_marks", "_untranslated", "_numbers", "_glossary", "_repeated", "_brackets")

LADDER: dict[str, tuple[str, dict[str, list[str]], str, list[str]]] = {
    # the text, what the model answers to what it reads, what comes out, failed checks
    "carried": ("Run `x --y` now.", {"Run X1 now.": ["Starte X1 jetzt."]}, "Starte `x --y` jetzt.", []),
    "in another order": ("Put `a` in `b`.", {"Put X1 in X2.": ["In X2 kommt X1."]}, "In `b` kommt `a`.", []),
    "another beam": ("Run `x` now.", {"Run X1 now.": ["Starte.", "Starte X1 jetzt."]}, "Starte `x` jetzt.", []),
    "one too many": ("Run `x` now.", {"Run X1 now.": ["X1 X1", "Starte X1."]}, "Starte `x`.", []),
    "brackets": ("A [link](u) here.", {"A [link] here.": ["Hier ein [Verweis]."]}, "Hier ein [Verweis](u).", []),
    "laid over": ("A **new** day.", {"A [new] day.": ["Ein neuer Tag."], "A new day.": ["Ein neuer Tag."],
                                     "new": ["neu", "neuer"]}, "Ein **neuer** Tag.", []),
    "copied": ("A **new** day.", {"A [new] day.": ["A [new] day."], "A new day.": ["Ein neuer Tag."],
                                  "new": ["neuer"]}, "Ein **neuer** Tag.", []),
    "left out": ("A **new** day.", {"A [new] day.": ["Ein Tag."], "A new day.": ["Ein Tag."], "new": ["frisch"]},
                 "Ein Tag.", ["tags"]),
    "apart": ("Run `x` now.", {"Run X1 now.": ["Starte."], "Run": ["Starte"], "now.": ["jetzt."]},
              "Starte `x` jetzt.", []),
    "peeled": ("**A day.**", {"A day.": ["Ein Tag."]}, "**Ein Tag.**", []),
    "peeled and split": ("*One day. Two days.*", {"One day.": ["Ein Tag."], "Two days.": ["Zwei Tage."]},
                         "*Ein Tag. Zwei Tage.*", []),
    "what would be a mark": ("A day.", {"A day.": ["Ein *Tag* [x] <b>."]}, "Ein \\*Tag\\* \\[x\\] \\<b>.",
                             ["brackets"]),
    "a picture": ("See ![it](a.png) here.", {"See X1 here.": ["Siehe X1 hier."], "it": ["das"]},
                  "Siehe ![das](a.png) hier.", []),
    "an entity": ("Tea &amp; milk.", {"Tea & milk.": ["Tee & Milch."]}, "Tee &amp; Milch.", []),
    "no word": ("123. A day.", {"A day.": ["Ein Tag."]}, "123. Ein Tag.", []),
    "numbers": ("20 days.", {"20 days.": ["21 Tage.", "20 Tage."]}, "20 Tage.", []),
    "no number": ("20 days.", {"20 days.": ["21 Tage."]}, "21 Tage.", ["numbers"]),
}  # fmt: skip


@pytest.mark.parametrize("name", LADDER)
def test_the_ladder(cli, says, name: str):
    text, answers, out, failed = LADDER[name]
    says(answers)
    row = json.loads(cli(*SHORT, "--format", "markdown", "--json", stdin=f"{text}\n").out)
    assert row["text"] == f"{out}\n"
    assert [fault["check"] for fault in row["checks"]] == failed


FILES = {
    "a.md": ("# One day\n\n```\ncode\n```\n\nTwo `x` days,\r\nthree.\r\n", "# oNE DAY\n\n```\ncode\n```\n\n"
             "tWO `x` DAYS, THREE.\r\n"),
    "b/c.html": ('<html lang="en"><p class="x">One <b>day</b>.</p></html>', '<html lang="de"><p class="x">oNE '
                 "<b>DAY</b>.</p></html>"),
    "d.srt": ("1\n00:00:01,000 --> 00:00:02,000\nOne day\n", "1\n00:00:01,000 --> 00:00:02,000\noNE DAY\n"),
    "e.po": ('msgid "One %d"\nmsgstr ""\n', 'msgid "One %d"\nmsgstr "oNE %d"\n'),
    "f.json": ('{"one": "One", "two": 2}', '{"one": "oNE", "two": 2}'),
    "g.yaml": ("one: One day # two\n", "one: oNE DAY # two\n"),
    "h.txt": ("\ufeff- One\r\n\r\n>>> import one\r\n* two", "\ufeff- oNE\r\n\r\n>>> import one\r\n* TWO"),
    "i.css": ("one { two: 3 }", "one { two: 3 }"),
}  # fmt: skip


def test_a_folder_of_documents_keeps_its_names(cli, says, tmp_path: Path):
    says()
    for name, (text, _) in FILES.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    done = cli(*SHORT, "-i", str(tmp_path / "site"), "-o", str(tmp_path / "out"))
    assert done.code == 0, done.err
    for name, (_, out) in FILES.items():
        assert (tmp_path / "out" / name).read_bytes().decode() == out
    assert "copied as it is" in done.err
    done = cli(*SHORT, "-i", str(tmp_path / "site"), "-o", str(tmp_path / "more"), "--suffix", ".de")
    assert (tmp_path / "more" / "b" / "c.de.html").is_file()


def test_a_json_document_gives_one(cli, says, tmp_path: Path):
    says()
    path, out = tmp_path / "a.json", tmp_path / "a.de.json"
    path.write_text('{"one": "One"}')
    assert cli(*SHORT, "-i", str(path), "-o", str(out)).code == 0
    assert out.read_text() == '{"one": "oNE"}'
    path.write_text('[{"text": "One"}]')
    assert cli(*SHORT, "-i", str(path), "-o", str(out), "--no-resume").code == 0
    assert json.loads(out.read_text())[0]["text"] == "oNE"


def test_a_suffix_beside_the_sources(cli, says, tmp_path: Path):
    says()
    place = tmp_path / "docs"
    place.mkdir()
    (place / "a.md").write_text("One\n")
    for _ in range(2):
        assert cli(*SHORT, "-i", str(place), "-o", str(place), "--suffix", ".de", "--no-resume").code == 0
        assert sorted(path.name for path in place.glob("*.md")) == ["a.de.md", "a.md"]


def test_what_is_said_twice_is_asked_once(cli, says):
    asked = says()
    done = cli(*SHORT, "--format", "markdown", stdin="One day.\n\n- Two\n\nOne day.\n\n- Two\n")
    assert (asked, done.out) == (["One day.", "Two"], "oNE DAY.\n\n- tWO\n\noNE DAY.\n\n- tWO\n")


def test_a_document_goes_on_where_it_stopped(cli, says, tmp_path: Path):
    path, out = tmp_path / "a.txt", tmp_path / "b.txt"
    path.write_text("".join(f"Line {'abcdefghijklmnopqrstuvwxyz'[at % 26] * (at + 1)}\n" for at in range(40)))

    def fails(text: str) -> list[str]:
        if "f" * 30 not in text and "e" * 31 in text:
            raise GenerationError("stop")
        return [text.swapcase()]

    asked = says(fails)
    assert cli(*SHORT, "-i", str(path), "-o", str(out)).code == 6
    assert not out.exists()
    asked = says()
    done = cli(*SHORT, "-i", str(path), "-o", str(out), "--retry-failed")
    assert (done.code, len(asked) < 25) == (0, True), done.err
    assert out.read_text() == path.read_text().swapcase()
    assert sorted(tmp_path.glob("b.txt*")) == [out]


def test_a_lone_document_streams(cli, says, fake, monkeypatch: pytest.MonkeyPatch):
    says()
    pieces: list[str] = []
    from llmcli.data.writer import Writer

    monkeypatch.setattr(Writer, "emit", lambda self, piece: pieces.append(piece))
    cli(*SHORT, "--format", "markdown", stdin="".join(f"{'ab' * (at + 1)} day.\n\n" for at in range(12)))
    assert len(pieces) == 12
    assert "".join(pieces).count("DAY.") == 12


@pytest.mark.parametrize("ending", [".tsv", ".tmx"])
def test_a_memory_is_used_and_grows(cli, says, tmp_path: Path, ending: str):
    memory = tmp_path / f"m{ending}"
    asked = says()
    first = cli(*SHORT, "--memory", str(memory), "--format", "markdown", stdin="One & <two>.\n\nThree.\n")
    assert (first.code, len(asked)) == (0, 2)
    asked = says()
    again = cli(*SHORT, "--memory", str(memory), "--format", "markdown", stdin="One & <two>.\n\nFour.\n\nThree.\n")
    assert (asked, again.out) == (["Four."], "oNE & <TWO>.\n\nfOUR.\n\ntHREE.\n".replace("<TWO", "<TWO"))
    asked = says()
    rows = cli(*SHORT, "--memory", str(memory), "--lines", stdin="Four.\nFive.\nThree.\n")
    assert (asked, rows.out) == (["Five."], "fOUR.\nfIVE.\ntHREE.\n")


def test_a_glossary_chooses_among_answers(cli, says, tmp_path: Path):
    path = tmp_path / "terms.tsv"
    path.write_text("# comment\nhouse\tHaus\n")
    says({"The house.": ["Das Heim.", "Das Haus."], "Two houses.": ["Zwei Heime."]})
    row = json.loads(cli(*SHORT, "--glossary", str(path), "--json", stdin="The house.\nTwo houses.\n").out)
    assert row["text"] == "Das Haus.\nZwei Heime.\n"
    assert [(fault["check"], fault["line"]) for fault in row["checks"]] == [("glossary", 2)]


def test_strict(cli, says, tmp_path: Path):
    says({"20 days.": ["21 Tage."], "Two.": ["Zwei."]})
    done = cli(*SHORT, "--strict", "--format", "markdown", stdin="20 days.\n\nTwo.\n")
    assert (done.code, done.out) == (5, "20 days.\n\nZwei.\n")
    assert "error[checks]" in done.err
    done = cli(*SHORT, "--strict", "--lines", "--json", stdin="20 days.\nTwo.\n")
    assert [json.loads(line)["status"] for line in done.out.splitlines()] == ["error", "ok"]
    done = cli(*SHORT, "--strict", "--format", "po", stdin='msgid "20 days."\nmsgstr ""\n')
    assert (done.code, done.out) == (0, '#, fuzzy\nmsgid "20 days."\nmsgstr "21 Tage."\n')


def test_what_is_kept(cli, says):
    asked = says({"Buy X1 X2 now": ["Jetzt X1 X2 kaufen"]})
    done = cli(*SHORT, "--keep", r"ACME|Widget\d+", "--format", "json-strings", stdin='{"a": "Buy ACME Widget12 now"}')
    assert (asked, done.out) == (["Buy X1 X2 now"], '{"a": "Jetzt ACME Widget12 kaufen"}')


def test_a_memory_without_a_folder_is_known_before(cli, fake, tmp_path: Path):
    done = cli(*SHORT, "--memory", str(tmp_path / "none" / "m.tsv"), stdin="One.")
    assert (done.code, done.out, done.err.count("\n"), fake.prompts) == (10, "", 1, [])


@pytest.mark.parametrize("arguments", [["--keep", "("], ["--term", "x"], ["--check"], ["--against", "x"],
                                       ["--check", "--detect", "--against", "x"], ["--memory", "x.txt"],
                                       ["--glossary", "no.tsv"], ["--format", "docx"]], ids=" ".join)  # fmt: skip
def test_what_makes_no_sense_is_one_line(cli, fake, arguments: list[str]):
    done = cli(*SHORT, *arguments, stdin="One.")
    assert done.code in (2, 3)
    assert done.err.count("\n") == 1
    assert fake.prompts == []


def test_other_tasks_read_no_documents(cli, fake):
    assert cli("sentiment", "--format", "markdown", stdin="good").code == 2


def test_detect_says_code_and_probability(cli, fake):
    done = cli("translate", "--detect", "--lines", stdin="Der Hund schläft im Garten.\nLe chat dort sur le lit.\n")
    lines = [line.split("\t") for line in done.out.splitlines()]
    assert [code for code, _ in lines] == ["de", "fr"]
    assert all(0.5 < float(probability) <= 1 for _, probability in lines)
    row = json.loads(cli("translate", "--detect", "--json", "Der Hund schläft im Garten.").out)
    assert list(row)[2:4] == ["language", "probability"]
    assert fake.prompts == []


@pytest.mark.parametrize("content", [b"caf\xe9", None])
def test_check_names_the_file_that_is_wrong(cli, fake, tmp_path: Path, content: bytes | None):
    source, other = tmp_path / "a.md", tmp_path / "b.md"
    source.write_text("One.\n")
    if content:
        other.write_bytes(content)
    done = cli("translate", "--check", "-f", "en", "-t", "de", "-i", str(source), "--against", str(other))
    assert (done.code, done.err.startswith(f"llmcli: {other}: ")) == (3, True)


def test_check_says_no_with_exit_code_one(cli, fake, tmp_path: Path):
    source, good, bad = (tmp_path / name for name in ("a.md", "b.md", "c.md"))
    source.write_text("# The garden\n\nThe dog sleeps in the garden at 10:30, see [us](http://x.org/a).\n")
    good.write_text("# Der Garten\n\nDer Hund schläft um 10:30 im Garten, siehe [uns](http://x.org/a).\n")
    bad.write_text("# Der Garten\n\nDer Hund schläft um 10:40 im Garten, siehe [uns](http://x.org/b).\n")
    command = ["translate", "--check", "-f", "en", "-t", "de", "-i", str(source), "--against"]
    sound = cli(*command, str(good))
    assert (sound.code, sound.out) == (0, "")
    done = cli(*command, str(bad))
    assert done.code == 1
    assert [line.split(": ")[1] for line in done.out.splitlines()] == ["urls", "numbers"]
    assert fake.prompts == []


def test_a_region_that_the_model_does_not_tell_is_said_once(cli, says):
    says()
    done = cli("translate", "-f", "en", "-t", "pt-BR", "--lines", "--json", stdin="One.\nTwo.\n")
    assert done.err.count("does not tell pt-BR from other Portuguese") == 1
    assert json.loads(done.out.splitlines()[0])["target"] == "pt"
    page = cli("translate", "-f", "en", "-t", "pt-BR", "--format", "html", stdin='<html lang="en"><p>One</p></html>')
    assert page.out == '<html lang="pt-BR"><p>oNE</p></html>'


def test_a_glossary_of_config_yaml(cli, says, tmp_path: Path):
    terms = tmp_path / "terms.csv"
    terms.write_text("house,Haus\n")
    (tmp_path / "config").mkdir(exist_ok=True)
    (tmp_path / "config" / "config.yaml").write_text(f"tasks: {{translate: {{options: {{glossary: {terms}}}}}}}\n")
    says({"The house.": ["Das Heim.", "Das Haus."]})
    assert cli(*SHORT, "The house.").out == "Das Haus.\n"


def test_a_text_without_an_answer_stays(cli, says):
    asked = says({"One.": [""], "Two.": ["Zwei."]})
    row = json.loads(cli(*SHORT, "--lines", "--json", stdin="One.\n").out)
    assert (row["text"], [fault["check"] for fault in row["checks"]]) == ("One.", ["empty"])
    assert asked == ["One."]


def test_a_greedy_answer_with_grave_faults_is_searched_for_again(cli, says, fake):
    asked = says({"20 days.": ["21 Tage."], "Two.": ["Zwei."]})
    done = cli(*SHORT, "--num-beams", "1", "--lines", stdin="20 days.\nTwo.\n")
    assert (asked, done.out) == (["20 days.", "Two.", "20 days."], "21 Tage.\nZwei.\n")


def test_a_short_sentence_is_searched_wider(cli, fake: FakeModel, monkeypatch: pytest.MonkeyPatch):
    """Only where beams are read back, and answers stay in order; all are where batches are large."""
    asked: list[tuple[str, int]] = []

    def complete(prompts: Any, generation: Any, *, emit: Any = None) -> list[list[Completion]]:
        words = [re.fullmatch(r"\w+: (.*)\n\w+:", prompt.row, re.DOTALL)[1] for prompt in prompts]
        asked.extend((word, generation.num_beams) for word in words)
        return [[Completion(word.swapcase(), 1, 1, "stop", 0.0)] * generation.num_beams for word in words]

    monkeypatch.setattr(fake, "complete", complete)
    monkeypatch.setattr("llmcli.text.checks._CHECKS", KEPT)
    long, short = " ".join(["long"] * 20) + ".", "Short one."
    for options, batch, wide, usual in (((), 0, 16, 8), (("--no-rerank",), 0, 8, 8), ((), 256, 16, 16)):
        asked.clear()
        monkeypatch.setattr(fake, "batch", batch)
        done = cli("translate", "-f", "en", "-t", "de", "--lines", *options, stdin=f"{long}\n{short}\n{long}x\n")
        assert done.out.splitlines() == [long.swapcase(), short.swapcase(), f"{long}x".swapcase()]
        assert dict(asked) == {long: usual, short: wide, f"{long}x": usual}


SAMPLES: dict[str, tuple[list[str], str, list[int]]] = {
    # options, the translation, and how many texts were asked for each time
    "drawn": (["--samples", "3"], "Ein Hund schläft hier.", [1, 3]),
    "not drawn": (["--samples", "0", "--num-beams", "1"], "Der Hund.", [1]),
    "as the settings say": (["-m", "qwen2.5-coder-0.5b-instruct"], "Ein Hund schläft hier.", [1, 6]),
    "beams in their stead": (["--num-beams", "4"], "Der Hund.", [8]),
    "a model that does not read back": (["-m", "m2m100-418m"], "Der Hund.", [1]),
    "not read back": (["--no-rerank", "-m", "qwen2.5-coder-0.5b-instruct"], "Der Hund.", [2]),
}


@pytest.mark.parametrize(("options", "text", "asked"), SAMPLES.values(), ids=SAMPLES)
def test_the_sample_that_is_most_like_the_others(
    cli, fake: FakeModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: list[str], text: str,
    asked: list[int],
):  # fmt: skip
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("tasks: {translate: {options: {samples: 6}}}")
    drawn = ["Ein Hund schläft hier.", "Ein Hund schläft.", "Ein Hund schläft hier."]
    seen: list[Any] = []

    def complete(prompts: Any, generation: Any, *, emit: Any = None) -> list[list[Completion]]:
        seen.append(generation)
        answers = drawn if generation.sampled else ["Der Hund."]
        return [[Completion(answer, 1, 1, "stop") for answer in answers] for _ in prompts]

    monkeypatch.setattr(fake, "complete", complete)
    assert cli("translate", "-f", "en", "-t", "de", *options, "A dog sleeps here.").out == f"{text}\n"
    assert [generation.num_return_sequences or 1 for generation in seen] == asked
    assert {generation.seed for generation in seen if generation.sampled} <= {0}


@pytest.mark.parametrize("options", [["--num-beams", "4"], ["--temperature", "0.5"], ["--no-rerank"]])
def test_samples_and_what_they_exclude(cli, fake: FakeModel, options: list[str]):
    done = cli("translate", "-f", "en", "-t", "de", "--samples", "3", *options, "A dog.")
    assert (done.code, done.err) == (2, f"llmcli: error[usage]: --samples and {options[0]} exclude each other\n")


def test_no_letter_of_the_sources_script_is_written(cli, fake: FakeModel, monkeypatch: pytest.MonkeyPatch):
    """Each row's own; a translation that is read back may have all letters."""
    asked: dict[str, tuple[str, ...]] = {}
    plain = fake.complete

    def complete(prompts: Any, generation: Any, *, emit: Any = None) -> list[list[Completion]]:
        asked.update((prompt.source, prompt.without) for prompt in prompts)
        return plain(prompts, generation, emit=emit)

    monkeypatch.setattr(fake, "complete", complete)
    cli("translate", "-t", "en", "--lines", stdin="这座桥因年久失修而关闭。\nМост закрыли.\nDie alte Brücke ist zu.\n")
    assert asked == {"zh": ("Hani",), "ru": ("Cyrl",), "de": ()}


@pytest.mark.parametrize(
    ("answer", "text", "checks"),
    [("Over 1 billion users.", "Over 1 billion users.", []), ("Over 10 billion.", "Over 10 billion.", ["numbers"]),
     ("", "微信用户超过10亿。", ["empty"])],
)  # fmt: skip
def test_the_model_reads_powers_of_ten_of_the_target(
    cli, fake: FakeModel, monkeypatch: pytest.MonkeyPatch, answer: str, text: str, checks: list[str]
):
    """The sentence itself is what an answer is checked against, and what stays where there is none."""
    asked: list[Any] = []

    def complete(prompts: Any, generation: Any, *, emit: Any = None) -> list[list[Completion]]:
        asked.extend(prompts)
        return [[Completion(answer, 1, 1, "stop")] for _ in prompts]

    monkeypatch.setattr(fake, "complete", complete)
    row = json.loads(cli("translate", "-f", "zh", "-t", "en", "--json", "微信用户超过10亿。").out)
    assert (row["text"], [fault["check"] for fault in row["checks"]]) == (text, checks)
    assert all("1 billion" in str(prompt) and "10亿" not in str(prompt) for prompt in asked)


@pytest.mark.parametrize(("options", "named"), [((), True), (("-m", "gemma-3-270m"), True), (("-t", "de"), False)])
def test_a_weak_language_names_the_model_of_the_pair(cli, fake: FakeModel, options: tuple[str, ...], named: bool):
    done = cli("translate", "-t", "en", *options, "这座桥因年久失修而关闭。")
    assert "gemma-3-270m is weak in Chinese: check the translation" in done.err
    assert ("or give -m qwen2.5-coder-0.5b-instruct" in done.err) == named
