"""llmcli summarize: sentences of prose word for word, and summaries that a model writes."""

from __future__ import annotations

import json

import pytest

from llmcli.pipelines.protocol import Completion

BUDGET = "The council approved the budget on Monday. Spending on schools rises next year. The mayor said so."


@pytest.mark.parametrize(
    ("text", "options", "summary"),
    [
        ("Terms apply. " + BUDGET + " Terms apply. Terms apply.", ["-n", "9"], "Terms apply. " + BUDGET),
        (f"# News\n\n- [Top](#top)\n\n{BUDGET}\n", ["-n", "3"], BUDGET),
        ("Agenda:\n- Budget\n- Hiring plan\nWe meet on Friday at ten.", ["-n", "2"], "We meet on Friday at ten."),
        ("<p>We meet on <b>Friday</b>\nat ten.</p><script>x. y.</script>", [], "We meet on Friday at ten."),
        ("Ann: Tea?\nBen: Yes, please, now.\n", ["-n", "2"], "Ann: Tea?\nBen: Yes, please, now."),
        ("We meet on Friday, in the large room that is\nbehind the garden of the town hall.", ["-n", "1"],
         "We meet on Friday, in the large room that is behind the garden of the town hall."),
        ("今天天气很好，我们去公园。明天下雨。", ["-n", "2"], "今天天气很好，我们去公园。明天下雨。"),
    ],
)  # fmt: skip
def test_an_extract_is_whole_sentences_of_prose(cli, fake, text: str, options: list[str], summary: str):
    done = cli("summarize", *options, stdin=text)
    assert (done.code, done.out) == (0, summary + "\n"), done.err


def test_a_page_without_text_is_an_error(cli, fake):
    done = cli("summarize", stdin="<html><script>x. y.</script></html>")
    assert (done.code, done.out) == (3, "")
    assert "error[empty]" in done.err


@pytest.mark.parametrize("written", ["", " ", "\n\n"])
def test_an_empty_summary_is_an_error(cli, fake, monkeypatch, tmp_path, written: str):
    def complete(prompts, generation, *, emit=None):
        return [[Completion("Fine." if "fine" in prompt.row else written, 3, 2, "stop")] for prompt in prompts]

    monkeypatch.setattr(fake, "complete", complete)
    done = cli("summarize", "--method", "abstractive", stdin=BUDGET)
    assert (done.code, done.out) == (6, "")
    assert "error[empty-answer]" in done.err
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in (BUDGET, "All is fine here.")))
    done = cli("summarize", "--method", "abstractive", "--json", "-i", str(rows))
    first, second = map(json.loads, done.out.splitlines())
    assert done.code == 5
    assert first["error"]["code"] == "empty-answer"
    assert second["text"] == "Fine."
