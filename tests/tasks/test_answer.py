"""llmcli answer: spans of the text, by a causal model and by a span head; free answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmcli.pipelines.extraction import END, LENGTH
from llmcli.pipelines.protocol import Completion
from llmcli.tasks import _windows
from llmcli.text import chunking
from llmcli.text.prompts import Rendered
from tests.support.models import open_model

CONTEXT = "The cat sleeps on a bridge. The dog reads (slowly) a book."


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "out"),
    [
        (["who?"], "Maria left. She ran.", 0, "Maria\n"),
        (["--question", "who?"], "Maria left.", 0, "Maria\n"),
        (["who?", "--threshold", "1"], "Maria left.", 0, "no answer\n"),
        (["who?", "--free"], "Maria left.", 0, "MARIA LEFT.\n\nANSWER WITH A FEW WORDS OF THIS TEXT. WHO?\n"),
        (["who?", "--free", "-m", "gemma-3-270m"], "Maria left.", 0, 'TEXT: MARIA LEFT.\nQUESTION: WHO?\nANSWER: "\n'),
        (["who?", "--question", "when?"], "Maria left.", 2, ""),
        ([], "Maria left.", 2, ""),
        (["who?"], " ", 3, ""),
        (["who?", "--lines"], "Maria left.\nJohan stayed.\n", 0, "Maria\nJohan\n"),
    ],
)
def test_a_question_and_a_text(cli, fake, arguments: list[str], stdin: str, code: int, out: str):
    done = cli("answer", *arguments, stdin=stdin)
    assert (done.code, done.out) == (code, out), done.err


def test_rows(cli, fake):
    rows = [
        {"context": "Maria left. Then it rained.", "question": "who?"},
        {"context": "Maria left."},
        {"context": "Maria left.", "question": 3},
        {"question": "who?"},
    ]
    done = cli("answer", "--jsonl", stdin="".join(json.dumps(row) + "\n" for row in rows))
    first, *others = map(json.loads, done.out.splitlines())
    assert done.code == 5
    assert [first[key] for key in ("text", "start", "end", "sentence")] == ["Maria", 0, 5, "Maria left."]
    assert [row["error"]["code"] for row in others] == ["no-question", "bad-field", "missing-field"]
    text = json.dumps({"text": "Maria left."})
    assert json.loads(cli("answer", "who?", "--jsonl", "--field", "text", stdin=text).out)["text"] == "Maria"


def test_a_long_text_is_read_in_windows(cli, fake):
    fake.context_window = 700
    text = "Maria went to the sea. " * 200
    found = json.loads(cli("answer", "who?", "--json", stdin=text).out)
    assert found["chunks"] > 2
    assert text[found["start"] : found["end"]] == found["text"] == "Maria"
    assert cli("answer", "who?", "--on-long", "error", stdin=text).code == 6
    assert cli("answer", "who?", "--free", "--on-long", "error", stdin=text).code == 6


FILLER = "The weather was fine and nothing else happened on that day. " * 40
NEEDLE = "The lighthouse of Vilsund was built by Maria. "
LEFT_OUT = "parts of the text that share most words with the question"


@pytest.mark.parametrize(
    ("flags", "asked", "all_read"),
    [([], "Who built the lighthouse of Vilsund?", False),
     (["--thorough"], "Who built the lighthouse of Vilsund?", True),
     ([], "Who was it?", True),  # no word of it tells parts apart
     (["--free"], "Who built the lighthouse of Vilsund?", False)],
)  # fmt: skip
def test_of_a_long_text_the_likeliest_parts_are_read(cli, fake, flags: list[str], asked: str, all_read: bool):
    fake.context_window = 700
    done = cli("answer", asked, *flags, "--json", stdin=FILLER * 5 + NEEDLE + FILLER * 5)
    assert done.code == 0, done.err
    assert (LEFT_OUT in done.err) != all_read, done.err
    read = fake.searched or [prompt.messages[-1]["content"] for prompt in fake.prompts]
    assert any(NEEDLE in text for text in read)
    assert (len(read) > _windows.MOST) == all_read
    assert FILLER * 5 not in "".join(read) or all_read


def test_what_fits_is_read_whole(cli, fake):
    done = cli("answer", "Who built it?", "--json", stdin=NEEDLE)
    assert (done.code, LEFT_OUT in done.err, len(fake.searched)) == (0, False, 1)


def test_what_was_not_read_is_told(cli, fake):
    fake.context_window = 400
    text = "Maria went to the sea. " * 200
    for flags in ([], ["--free"]):
        row = json.loads(cli("answer", "who?", "--json", "--on-long", "truncate", *flags, stdin=text).out)
        assert row["truncated"], flags
    assert not json.loads(cli("answer", "who?", "--json", stdin=text).out)["truncated"]


def test_only_answer_says_that_there_is_none(cli, fake, monkeypatch):
    monkeypatch.setattr(fake, "complete", lambda prompts, generation, *, emit=None: [[Completion("", 1, 1, "stop")]])
    assert cli("generate", "--no-stream", "hm?").out == "\n"
    assert cli("answer", "who?", "--free", stdin="Maria left.").out == "no answer\n"


def test_the_sentence_around_a_span():
    assert chunking.around("One. Two is here. Three.", 5, 8) == "Two is here."
    assert chunking.around("One two", 4, 7) == "One two"


@pytest.mark.parametrize(("kind", "ending"), [("gemma3", '"'), ("llama", "\n"), ("qwen3", '"')])
def test_the_likeliest_span_by_hand(checkpoint, kind: str, ending: str):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = checkpoint(kind)
    prompt = Rendered(prefix="Text: a dog\n", row=f"Text: {CONTEXT}\nQuestion: who?\nAnswer:")
    model = open_model(folder, task="answer")
    span = model.spans([("who?", CONTEXT)], prompts=[prompt], ending=ending)[0]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    hand = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    encoded = model.encoder.prompt(prompt)
    before = [*encoded.prefix, *encoded.row]
    marks = {'"': ('"',), "\n": ("\n", "Ċ", "<0x0A>")}[ending]
    stops = [i for piece, i in tokenizer.get_vocab().items() if piece.startswith(marks)] + [tokenizer.eos_token_id]
    scored = {}
    with torch.inference_mode():
        for start in (i for i, c in enumerate(CONTEXT) if c.isalnum() and not CONTEXT[i - 1 : i].isalnum()):
            made = tokenizer(CONTEXT[start:], add_special_tokens=False, return_offsets_mapping=True)
            log_p = hand(torch.tensor([before + made["input_ids"]])).logits[0, len(before) - 1 :].log_softmax(-1)
            total = 0.0
            for place, (token, (_, end)) in enumerate(zip(made["input_ids"], made["offset_mapping"], strict=True)):
                total += float(log_p[place, token])
                if not CONTEXT[start + end - 1 : start + end + 1].isalnum() or start + end == len(CONTEXT):
                    stop = float(log_p[place + 1, stops].logsumexp(0))
                    scored[start, start + end] = (total + END * stop) / (place + 1) ** LENGTH
    best = max(scored, key=lambda key: (round(scored[key], 4), -key[0]))
    assert (span.start, span.end, span.text) == (*best, CONTEXT[best[0] : best[1]])
    assert span.input_tokens == len(before)


def test_every_answer_is_in_the_text(cli, checkpoint):
    texts = ["Über 40 € kostete das Buch.", "图书馆里有三万册书。", "ок 🙂 (да) 1,5", "!!!"]
    rows = "".join(json.dumps({"context": text, "question": "wie viel?"}) + "\n" for text in texts)
    done = cli("answer", "--jsonl", "--threshold", "0", "-m", str(checkpoint("qwen3")), stdin=rows)
    assert done.code == 0, done.err
    for text, row in zip(texts, map(json.loads, done.out.splitlines()), strict=True):
        assert row["text"] == ("" if row["start"] is None else text[row["start"] : row["end"]])
    assert row["text"] == ""


def test_a_span_head(cli, checkpoint):
    done = cli("answer", "who reads?", "--json", "--threshold", "0", "-m", str(checkpoint("qa")), stdin=CONTEXT)
    row = json.loads(done.out)
    assert row["text"] == CONTEXT[row["start"] : row["end"]] != ""
    long = ["answer", "who reads?", "--json", "-m", str(checkpoint("qa"))]
    assert json.loads(cli(*long, stdin=CONTEXT * 9).out)["chunks"] > 1
    assert json.loads(cli(*long, "--on-long", "truncate", stdin=CONTEXT * 9).out)["truncated"]
    assert cli(*long, "--on-long", "error", stdin=CONTEXT * 9).code == 6


def test_a_text_to_text_model_answers_freely(cli, checkpoint):
    done = cli("answer", "who reads?", "--json", "-m", str(checkpoint("t5")), stdin=CONTEXT)
    assert (done.code, json.loads(done.out)["start"]) == (0, None), done.err


@pytest.mark.real
@pytest.mark.parametrize(
    ("question", "text", "answer"),
    [
        ("What colour is the car?", "Tom has a red car. It is parked in front of the school.", "red"),
        ("总部在哪里？", "公司成立于1998年，总部设在上海。", "上海"),
    ],
)
def test_the_embedded_model_finds_it(process, real: Path, question: str, text: str, answer: str):
    done = process("answer", question, stdin=text.encode(), LLMCLI_CACHE_DIR=str(real))
    assert (done.returncode, done.stdout.decode()) == (0, answer + "\n"), done.stderr
