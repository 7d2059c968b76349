"""Each architecture, on a tiny checkpoint: what is inferred, the same as by hand, the commands, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from llmcli.config.model_config import ModelConfig, Source
from llmcli.config.schemas import Generation
from llmcli.config.strict_yaml import load
from llmcli.errors import GenerationError, ModelError, UsageError
from llmcli.models import describing, pairs
from llmcli.text.prompts import Rendered
from tests.support import ROOT, tiny
from tests.support.models import open_model, resolve

SENTENCES = ["the cat sleeps on the old bridge", "a dog", "the dog reads a long book about the sea, near the river."]
pytestmark = pytest.mark.usefixtures("one_thread")
PAIR = {"marian": ("", ""), "t5": ("", ""), "bart": ("", ""), "pegasus": ("", ""), "mbart50": ("en_XX", "fr_XX"),
        "m2m100": ("en", "__fr__"), "nllb": ("eng_Latn", "fra_Latn")}  # fmt: skip


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny matrices: threads would only wait for each other."""
    import torch

    torch.set_num_threads(1)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)


@pytest.mark.parametrize("name", tiny.SEQ2SEQ)
@pytest.mark.parametrize("given", [{}, {"num_beams": 1, "max_new_tokens": 9}], ids=["own settings", "the user's"])
def test_batches_give_the_token_ids_of_generate_by_hand(checkpoint, monkeypatch, name: str, given: dict[str, Any]):
    model = open_model(checkpoint(name), task="summarize" if name in ("bart", "pegasus") else "translate")
    seen: list[list[int]] = []
    decode = model.encoder.decode
    monkeypatch.setattr(model.encoder, "decode", lambda ids: seen.append(list(ids)) or decode(ids))
    rows = [Rendered(row=text, source="en", target="fr") for text in SENTENCES]
    made = [completions[0] for completions in model.complete(rows, Generation(**given))]
    hand = [by_hand(checkpoint(name), name, text, **given) for text in SENTENCES]
    assert sorted(seen) == sorted(hand)
    assert [completion.text for completion in made] == [decode(ids) for ids in hand]


def by_hand(folder: Path, name: str, text: str, **given: Any) -> list[int]:
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    source, target = PAIR[name]
    tokenizer = AutoTokenizer.from_pretrained(folder, **{"src_lang": source} if source else {})
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
    if target:
        given["forced_bos_token_id"] = tokenizer.convert_tokens_to_ids(target)
    inputs = tokenizer(text, return_tensors="pt")
    if not (given.get("max_new_tokens") or model.generation_config.max_length):
        given["max_new_tokens"] = 256
    if inputs["input_ids"].shape[1] < (model.generation_config.min_length or 0):
        given["min_length"] = 0  # a short text is not drawn out
    ids = model.generate(inputs["input_ids"], attention_mask=inputs["attention_mask"], **given)[0].tolist()
    ids = ids[2:] if target else ids[1:]
    end = model.generation_config.eos_token_id
    return ids[: ids.index(end)] if end in ids else ids


def test_task_specific_params_are_t5s_own_settings(checkpoint):
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    folder = checkpoint("t5")
    run = resolve("summarize", folder)
    found = open_model(folder, task="summarize").complete([Rendered(row="summarize: a long book")], run.generation)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    hand = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
    values = {k: v for k, v in hand.config.task_specific_params["summarization"].items() if k != "prefix"}
    ids = hand.generate(tokenizer("summarize: a long book", return_tensors="pt")["input_ids"], **values)
    assert found[0][0].text == tokenizer.decode(ids[0], skip_special_tokens=True)


INFERRED = {
    "marian": ("seq2seq", ["translate"], ["en"], ["fr"]),
    "t5": ("seq2seq", [], ["en"], ["de", "fr"]),
    "bart": ("seq2seq", ["summarize", "generate"], [], []),
    "pegasus": ("seq2seq", ["summarize", "generate"], [], []),
    "gpt2": ("causal", [], [], []),
    "llama": ("causal", [], [], []),
    "qwen3": ("causal", [], [], []),
    "distilbert": ("classification", [], [], []),
    "roberta": ("classification", [], [], []),
    "nli": ("zero-shot", [], [], []),
    "qa": ("question-answering", [], [], []),
}


@pytest.mark.parametrize(("name", "expected"), INFERRED.items(), ids=INFERRED)
def test_inferred(checkpoint, name: str, expected: tuple[Any, ...]):
    model = infer(checkpoint(name))
    assert (model.pipeline, model.supported_tasks, model.sources, model.targets) == expected
    assert model.chat == (name == "qwen3")


@pytest.mark.parametrize(("name", "least"), [("mbart50", 50), ("nllb", 180)])
def test_languages_are_read_from_the_tokenizer(checkpoint, name: str, least: int):
    model = infer(checkpoint(name))
    assert len(model.languages) > least
    assert {"en", "fr", "zh", "ar", "fa"} <= set(model.languages)


NO_CHECKPOINT: dict[str, tuple[str | None, str]] = {
    "no config": (None, "bad-model"),
    "not JSON": ("{", "bad-model"),
    "a list": ("[]", "bad-model"),
    "deep": ("[" * 100_000, "bad-model"),
    "no names": ('{"architectures": 7}', "bad-model"),
    "no labels": ('{"architectures": ["BertForSequenceClassification"], "id2label": [1]}', "bad-model"),
    "no parameters": ('{"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": true, '
                      '"task_specific_params": [1]}', "bad-model"),
    "no beams": ('{"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": true, '
                 '"task_specific_params": {"summarization": {"num_beams": -1}}}', "bad-model"),
    "no language": ('{"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": true, '
                    '"task_specific_params": {"translation_zz_to_qq": {}}}', "bad-model"),
    "no head": ('{"architectures": ["BertForPreTraining"]}', "no-head"),
    "both ways": ('{"architectures": ["BartModel"], "is_encoder_decoder": true}', "no-head"),
    "no architecture": ("{}", "no-head"),
    "speech": ('{"architectures": ["WhisperForAudioClassification"]}', "no-head"),
    "image to text": ('{"architectures": ["Blip2ForConditionalGeneration"]}', "no-head"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "code"), NO_CHECKPOINT.values(), ids=NO_CHECKPOINT)
def test_folders_that_are_no_checkpoint(tmp_path: Path, text: str | None, code: str):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError) as error:
        infer(tmp_path)
    assert error.value.code == code


RUNS = {
    "marian": ["translate"],
    "marian, its pair": ["translate", "-t", "fr", "-f", "en"],
    "t5": ["translate", "-t", "de"],
    "mbart50": ["translate", "-t", "fr"],
    "m2m100": ["translate", "-t", "fr", "-f", "English"],
    "nllb": ["translate", "-t", "zh", "-f", "en"],
    "bart": ["summarize"],
    "pegasus": ["summarize", "--sentences", "1"],
    "t5, summary": ["summarize"],
    "t5, text": ["generate", "--max-new-tokens", "8"],
    "t5, sampled": ["generate", "--max-new-tokens", "8", "--temperature", "1", "-n", "2", "--seed", "1"],
    "nli": ["sentiment", "--all-scores"],
    "bert": ["sentiment"],
    "roberta": ["sentiment"],
    "gpt2": ["generate", "--max-new-tokens", "5"],
    "llama": ["sentiment"],
    "qwen3": ["sentiment"],
    "qwen3, chat": ["generate", "--max-new-tokens", "5"],
}


@pytest.mark.parametrize(("name", "arguments"), RUNS.items(), ids=RUNS)
def test_commands(cli, checkpoint, name: str, arguments: list[str]):
    folder = str(checkpoint(name.split(",")[0]))
    done = cli(*arguments, "-m", folder, "--json", stdin="The dog reads a long book. The cat sleeps near the river.")
    assert done.code == 0, done.err
    row = json.loads(done.out)
    assert (row["status"], row["model"]) == ("ok", folder)
    assert row.get("text") or 0 < row["score"] <= 1


REFUSED = {
    "a classifier generates": ("bert", ["generate"], 4, "it can do sentiment, classify"),
    "a classifier translates": ("bert", ["translate", "-t", "fr"], 4, "it can do sentiment, classify"),
    "Marian summarizes": ("marian", ["summarize"], 4, "it can do translate"),
    "BART translates": ("bart", ["translate", "-t", "fr"], 4, "it can do summarize, generate"),
    "T5 judges": ("t5", ["sentiment"], 4, "it can do generate, summarize, translate, answer"),
    "a span head judges": ("qa", ["sentiment"], 4, "it can do answer"),
    "inference generates": ("nli", ["generate"], 4, "it can do sentiment, classify"),
    "no head": ("headless", ["sentiment"], 4, "it can do embed, similar, dedupe"),
    "another target": ("marian", ["translate", "-t", "de"], 2, "it translates to fr"),
    "another source": ("marian", ["translate", "-f", "de"], 2, "it translates from en"),
    "unknown target": ("m2m100", ["translate", "-t", "tlh", "-f", "en"], 2, "does not know Klingon"),
    "of 200 languages": ("nllb", ["translate", "-t", "tlh", "-f", "en"], 2, "more"),
    "too long": ("marian", ["translate", "--on-long", "error", "cat " * 99], 6, "error[too-long]"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "code", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_use_is_refused(cli, checkpoint, name: str, arguments: list[str], code: int, message: str):
    text = [] if arguments[-1].startswith("cat") else ["The dog reads."]
    done = cli(*arguments, *text, "-m", str(checkpoint(name)))
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "task", "head"),
    [("bart", "summarize", "model.shared.weight"), ("t5", "summarize", "shared.weight"),
     ("nli", "sentiment", "classifier.weight"), ("qa", "answer", "qa_outputs.weight")],
)  # fmt: skip
def test_a_missing_head_is_refused(checkpoint, tmp_path: Path, name: str, task: str, head: str):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "headless"
    shutil.copytree(checkpoint(name), folder)
    weights = load_file(folder / "model.safetensors")
    del weights[head]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError) as error:
        open_model(folder, task=task)
    assert error.value.code == "missing-weights"


@pytest.mark.parametrize(("on_long", "truncated"), [("chunk", False), ("truncate", True)])
@pytest.mark.parametrize("name", ["bart", "pegasus", "marian"])
def test_long_texts(cli, checkpoint, name: str, on_long: str, truncated: bool):
    task = "translate" if name == "marian" else "summarize"
    text = "the cat sleeps on the old bridge " * 40
    done = cli(task, "-m", str(checkpoint(name)), "--on-long", on_long, "--json", text)
    assert done.code == 0, done.err
    row = json.loads(done.out)
    assert row["truncated"] == truncated
    assert (row["input_tokens"] > 200) != truncated


def test_rows_of_several_languages_share_a_call(checkpoint):
    model = open_model(checkpoint("m2m100"))
    rows = [Rendered(row=text, source=source, target=target) for text in SENTENCES
            for source, target in (("en", "fr"), ("de", "fr"), ("en", "nb"))]  # fmt: skip
    together = [made[0].text for made in model.complete(rows, Generation())]
    assert together == [model.complete([row], Generation())[0][0].text for row in rows]
    assert len(set(together)) > len(SENTENCES)


def test_marian_with_several_targets_gets_the_language_token(checkpoint):
    folder = checkpoint("marian", targets=("fra", "spa"), pair=("eng", "roa"))
    assert infer(folder).targets == ["es", "fr"]
    model = open_model(folder)
    tokenizer = model.encoder.tokenizer
    assert model.encode(Rendered(row="a dog", target="es"))[0] == tuple(tokenizer(">>spa<< a dog")["input_ids"])
    spoofed = model.encode(Rendered(row=">>fra<< a dog", target="es"))[0]
    assert tokenizer.convert_tokens_to_ids(">>fra<<") not in spoofed
    with pytest.raises(UsageError):
        model.encode(Rendered(row="a dog", target="de"))


CONTROL = {"t5": "</s>", "marian": "</s>", "nllb": "fra_Latn", "m2m100": "__fr__", "mbart50": "fr_XX", "bart": "<mask>",
           "pegasus": "</s>"}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), CONTROL.items(), ids=CONTROL)
def test_control_tokens_of_the_user_are_spelled_out(checkpoint, name: str, text: str):
    model = open_model(checkpoint(name), task="summarize" if name in ("bart", "pegasus") else "translate")
    token = model.encoder.tokenizer.convert_tokens_to_ids(text)
    plain = model.encoder.sequence("a b").count(token)
    assert model.encoder.ids(f"a {text} b").count(token) == 0
    assert model.encoder.sequence(f"a {text} b").count(token) == plain


def test_sampling_depends_on_the_seed_alone(checkpoint):
    model = open_model(checkpoint("t5"))
    rows, drawn = [Rendered(row=text) for text in SENTENCES], Generation(max_new_tokens=9, temperature=1.0, seed=3)
    together = [made[0].text for made in model.complete(rows, drawn)]
    assert together == [model.complete([row], drawn)[0][0].text for row in rows]
    assert together != [made[0].text for made in model.complete(rows, drawn.model_copy(update={"seed": 4}))]


def test_streamed_pieces_make_the_text(checkpoint):
    model, pieces = open_model(checkpoint("t5")), []
    whole = model.complete([Rendered(row="a dog")], Generation(max_new_tokens=9), emit=pieces.append)[0][0]
    assert "".join(pieces) == whole.text
    stopped = model.complete([Rendered(row="a dog")], Generation(max_new_tokens=9, stop=[whole.text[3:5]]))[0][0]
    assert (stopped.finish_reason, whole.text.startswith(stopped.text)) == ("stop", True)


@pytest.mark.parametrize("name", ["bart", "nli", "qa"])
def test_numbers_that_are_none_are_refused(checkpoint, tmp_path: Path, name: str):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "nan"
    shutil.copytree(checkpoint(name), folder)
    weights = load_file(folder / "model.safetensors")
    broken = {key: value * float("nan") for key, value in weights.items()}
    save_file(broken, folder / "model.safetensors", metadata={"format": "pt"})
    task = {"bart": "summarize", "nli": "sentiment", "qa": "answer"}[name]
    model = open_model(folder, task=task)
    asks = {
        "bart": lambda: model.complete([Rendered(row="a dog")], Generation()),
        "nli": lambda: model.choose([Rendered(row="a dog")], {"good": ["it is good"]}),
        "qa": lambda: model.spans([("who", "a dog")]),
    }
    with pytest.raises(GenerationError, match="not finite"):
        asks[name]()


@pytest.mark.parametrize("labels", [2, 3, 5])
@pytest.mark.parametrize("name", tiny.CLASSIFIERS)
def test_classifiers_of_many_labels(cli, checkpoint, name: str, labels: int):
    folder = checkpoint(name, labels=tuple(f"{i} stars" for i in range(labels)))
    done = cli("sentiment", "--all-scores", "--json", "-m", str(folder), "the cat sleeps. " * 30)
    assert done.code == 0, done.err
    row = json.loads(done.out)
    assert sorted(row["scores"]) == [f"{i} stars" for i in range(labels)]
    assert row["chunks"] > 1


@pytest.mark.parametrize("name", ["nli", "bart-nli"])
def test_zero_shot_by_hand(checkpoint, name: str):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = checkpoint(name)
    labels = {"animal": ["the dog is an animal"], "book": ["a book", "about a long book"]}
    model, rows = open_model(folder, task="sentiment"), [Rendered(row=text) for text in SENTENCES]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    hand = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    for row, single, multi in zip(
        rows, model.choose(rows, labels), model.choose(rows, labels, multi=True), strict=True
    ):
        with torch.inference_mode():
            logits = {
                name: torch.cat([hand(**tokenizer(row.row, word, return_tensors="pt")).logits for word in words])
                for name, words in labels.items()
            }
        entailed = torch.stack([found[:, 2].max() for found in logits.values()]).softmax(0)
        margins = [float((found[:, 2] - found[:, 0]).max().sigmoid()) for found in logits.values()]
        assert list(single.scores.values()) == pytest.approx(entailed.tolist(), abs=1e-5)
        assert list(multi.scores.values()) == pytest.approx(margins, abs=1e-5)


def test_spans_by_hand(checkpoint):
    import torch
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    folder = checkpoint("qa")
    pairs = [("where is the cat?", SENTENCES[0]), ("who reads", SENTENCES[2]), ("a dog?", SENTENCES[1])]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    hand = AutoModelForQuestionAnswering.from_pretrained(folder, dtype=torch.float32).eval()
    for (question, context), span in zip(pairs, open_model(folder, task="answer").spans(pairs), strict=True):
        inputs = tokenizer(question, context, return_tensors="pt", return_offsets_mapping=True)
        offsets, parts = inputs.pop("offset_mapping")[0].tolist(), inputs.sequence_ids(0)
        with torch.inference_mode():
            made = hand(**inputs)
        places = [place for place, part in enumerate(parts) if part == 1]
        scored = {(i, j): float(made.start_logits[0, i] + made.end_logits[0, j]) for i in places for j in places
                  if i <= j < i + 30}  # fmt: skip
        i, j = max(scored, key=lambda key: scored[key])
        scored[0, 0] = float(made.start_logits[0, 0] + made.end_logits[0, 0])
        p = dict(zip(scored, torch.tensor(list(scored.values())).softmax(0).tolist(), strict=True))
        assert (span.start, span.end) == (offsets[i][0], offsets[j][1])
        assert span.text == context[span.start : span.end]
        assert (span.score, span.null) == pytest.approx((p[i, j], p[0, 0]), abs=1e-5)


def test_a_long_context_is_read_in_windows_that_overlap(checkpoint):
    model = open_model(checkpoint("qa"), task="answer")
    context = "the cat sleeps on the old bridge near the river and the dog reads a book. " * 12
    span = model.spans([("who reads", context), ("who?", "a dog")])[0]
    assert span.chunks > 3
    assert context[span.start : span.end] == span.text
    with pytest.raises(GenerationError):
        model.spans([("who reads " * 40, context)])


def test_a_head_of_one_number_is_no_classifier(cli, checkpoint):
    done = cli("sentiment", "-m", str(checkpoint("bert", labels=("score",))), "a dog")
    assert (done.code, "error[no-head]" in done.err) == (4, True)


def test_chat_models_are_asked_in_their_own_way(cli, fake, tmp_path: Path):
    ask = ["summarize", "--method", "abstractive", "--sentences", "3", "A dog."]
    assert cli(*ask, "-m", "smollm2-135m-instruct").code == 0
    assert [prompt.messages[-1]["content"] for prompt in fake.prompts] == [
        "Summarize this text in at most 3 sentences:\n\nA dog."
    ]
    assert (fake.generations[0].stop, fake.generations[0].no_repeat_ngram_size) == (None, None)
    assert cli("translate", "-m", "qwen3-0.6b", "-f", "en", "-t", "fr", "A dog.").code == 0
    assert fake.prompts[-1].messages == (
        {
            "role": "user",
            "content": "Translate this from English to French. Answer with the translation alone.\n\nA dog.",
        },
    )
    models = tmp_path / "config" / "models"
    models.mkdir(parents=True)
    (models / "mine.yaml").write_text(
        "name: mine\nsource: {path: /x}\nchat: true\n"
        "tasks: {summarize: {prompt: {style: chat, example: 'tl;dr {text}{answer}'}}}\n"
    )
    assert cli(*ask, "-m", "mine").code == 0
    assert fake.prompts[-1].messages[-1]["content"] == "tl;dr A dog."


def test_base_models_are_asked_by_examples(cli, fake):
    assert cli("summarize", "--method", "abstractive", "A dog.", "-m", "gpt2").code == 0
    assert fake.prompts[0].row == "Text: A dog.\nSummary:"
    assert "Summary: " in fake.prompts[0].prefix


def test_a_roberta_table_holds_fewer_tokens_than_rows(checkpoint):
    assert open_model(checkpoint("roberta"), task="sentiment").context_window == 62


def test_pipelines_are_registered_the_official_way(checkpoint):
    from transformers import pipeline

    import llmcli.pipelines.question_answering
    import llmcli.pipelines.seq2seq  # noqa: F401

    folder = str(checkpoint("t5"))
    made = pipeline("seq2seq", model=folder, trust_remote_code=False)("a dog", generation=Generation(max_new_tokens=4))
    assert made[0][0].output_tokens == 4
    assert type(pipeline("extractive-question-answering", model=str(checkpoint("qa")))).__module__.startswith("llmcli")


def test_a_chat_template_gets_its_variables(checkpoint, tmp_path: Path):
    folder = checkpoint("qwen3")
    found = {}
    for thinking in (True, False):
        (tmp_path / "config" / "models").mkdir(parents=True, exist_ok=True)
        (tmp_path / "config" / "models" / "mine.yaml").write_text(
            f"name: mine\nsource: {{path: {folder}}}\nchat: true\n"
            f"chat_template_kwargs: {{enable_thinking: {thinking}}}\n"
        )
        model = open_model("mine", task="generate")
        found[thinking] = model.encoder.decode(
            model.encoder.prompt(Rendered(messages=({"role": "user", "content": "x"},))).row
        )
    assert found == {True: "[user]x[assistant]", False: "[user]x[assistant](brief)"}


def test_one_yaml_for_a_checkpoint_of_each_pair(cli, checkpoint, tmp_path: Path):
    models = tmp_path / "config" / "models"
    models.mkdir(parents=True)
    shutil.copytree(checkpoint("marian"), tmp_path / "marian-en-fr")
    (models / "pair.yaml").write_text(
        f"name: pair\nsource: {{path: '{tmp_path}/marian-{{source}}-{{target}}'}}\npipeline: seq2seq\n"
        "supported_tasks: [translate]\n"
    )
    for arguments in (["-m", "pair", "-f", "en", "-t", "French"], ["-m", "pair-en-fr"]):
        row = json.loads(cli("translate", *arguments, "--json", "a dog").out)
        assert (row["model"], row["source"], row["target"]) == ("pair-en-fr", "en", "fr")
    done = cli("translate", "-m", "pair", "-t", "fr", "a dog")
    assert (done.code, "error[no-pair]" in done.err) == (2, True)


def test_opus_mt_names_a_repository_for_each_pair():
    model = pairs.match(load(ModelConfig, ROOT / "configs" / "models" / "opus-mt.yaml"), "opus-mt-en-fr")
    assert model is not None
    assert model.source.hub is not None
    assert model.source.hub.repo == "Helsinki-NLP/opus-mt-en-fr"
    assert (model.sources, model.targets) == (["en"], ["fr"])


def infer(folder: Path) -> ModelConfig:
    return describing.infer(folder, name=folder.name, source=Source(path=folder))
