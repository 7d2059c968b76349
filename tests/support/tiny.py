"""Tiny checkpoints with random weights and real tokenizers, one builder an architecture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

CORPUS = (
    "the cat sleeps on the old bridge near the river and the dog reads a long book about the sea",
    "le chat dort sur le vieux pont pres de la riviere et le chien lit un long livre sur la mer",
    "a good day is a day with rain in the morning, sun at noon and tea in the evening.",
    "Translate English to French German summarize: sentence, question and answer! 0123456789 - ' \" ( ) ? : ;",
)
SIZE = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}  # fmt: skip

DECODER = {"vocab_size": 260, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
BLOCKS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
          "num_key_value_heads": 1, "max_position_embeddings": 8192}  # fmt: skip
ENCODER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
CHAT = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[assistant]"
    "{% if enable_thinking is defined and not enable_thinking %}(brief){% endif %}{% endif %}"
)


def save(kind: Any, config: Any, tokenizer: Any, folder: Path, *, scale: float = 5, **generation: Any) -> None:
    """Write a checkpoint. The weights are spread out, so that rounding decides nothing."""
    import torch

    torch.manual_seed(7)
    model = kind(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    for name, value in generation.items():
        setattr(model.generation_config, name, value)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def byte_tokenizer(**special: str) -> Any:
    """A byte-level BPE tokenizer without merges; by default with the special tokens of a decoder."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = special or {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*dict.fromkeys(special.values()), *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=special["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def sentencepiece_file(folder: Path, name: str) -> list[tuple[str, float]]:
    """Train a SentencePiece model into ``folder / name``; gives its pieces with their scores."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 4), model_writer=(folder / name).open("wb"), vocab_size=120,
        character_coverage=1.0, minloglevel=2, hard_vocab_limit=False, num_threads=1,
    )  # fmt: skip
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / name))
    return [(model.id_to_piece(i), model.get_score(i)) for i in range(model.get_piece_size())]


def pieces(folder: Path) -> list[tuple[str, float]]:
    """SentencePiece's pieces without its own special tokens."""
    return sentencepiece_file(folder, "trained.model")[3:]


def marian(folder: Path, *, targets: tuple[str, ...] = (), pair: tuple[str, str] = ("en", "fr")) -> None:
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    found = sentencepiece_file(folder, "source.spm")
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    words = ["</s>", "<unk>", *(f">>{code}<<" for code in targets), *(piece for piece, _ in found[3:]), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({word: place for place, word in enumerate(words)}))
    tokenizer = MarianTokenizer(
        str(folder / "source.spm"), str(folder / "target.spm"), str(folder / "vocab.json"),
        source_lang=pair[0], target_lang=pair[1], model_max_length=64,
    )  # fmt: skip
    pad = len(words) - 1
    config = MarianConfig(vocab_size=len(words), max_position_embeddings=64, pad_token_id=pad, eos_token_id=0,
                          decoder_start_token_id=pad, forced_eos_token_id=None, **SIZE)  # fmt: skip
    save(MarianMTModel, config, tokenizer, folder, max_length=24, num_beams=4, bad_words_ids=[[pad]])


def t5(folder: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    tokenizer = T5Tokenizer(vocab=[*special, *pieces(folder)], extra_ids=5, model_max_length=96)
    summary = {"prefix": "summarize: ", "num_beams": 3, "max_length": 20, "min_length": 6, "length_penalty": 2.0,
               "early_stopping": True, "no_repeat_ngram_size": 3}  # fmt: skip
    translation = {"num_beams": 2, "max_length": 25, "early_stopping": True}
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=16, d_ff=48, num_layers=1, num_heads=2, decoder_start_token_id=0,
        pad_token_id=0, eos_token_id=1, n_positions=96,
        task_specific_params={
            "summarization": summary,
            "translation_en_to_de": translation | {"prefix": "translate English to German: "},
            "translation_en_to_fr": translation | {"prefix": "translate English to French: "},
        },
    )  # fmt: skip
    save(T5ForConditionalGeneration, config, tokenizer, folder)


def _bart_tokenizer() -> Any:
    from transformers import BartTokenizer

    plain = byte_tokenizer(bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>", mask_token="<mask>")
    return BartTokenizer(vocab=plain.get_vocab(), merges=[], model_max_length=128)


def bart(folder: Path) -> None:
    from transformers import BartConfig, BartForConditionalGeneration

    tokenizer = _bart_tokenizer()
    config = BartConfig(vocab_size=len(tokenizer), max_position_embeddings=128, decoder_start_token_id=2,
                        task_specific_params={"summarization": {"num_beams": 2}}, **SIZE)  # fmt: skip
    save(BartForConditionalGeneration, config, tokenizer, folder, max_length=30, min_length=12, num_beams=4,
         length_penalty=2.0, no_repeat_ngram_size=3, early_stopping=True, forced_bos_token_id=0)  # fmt: skip


def pegasus(folder: Path) -> None:
    from transformers import PegasusConfig, PegasusForConditionalGeneration, PegasusTokenizer

    special = [("<pad>", 0.0), ("</s>", 0.0), ("<mask_1>", 0.0), ("<mask_2>", 0.0), ("<unk_2>", 0.0), ("<n>", -3.0)]
    vocabulary = [*special, *pieces(folder), ("<unk>", 0.0)]
    tokenizer = PegasusTokenizer(vocab=vocabulary, offset=3, model_max_length=64)
    config = PegasusConfig(vocab_size=len(tokenizer), max_position_embeddings=64, decoder_start_token_id=0,
                           pad_token_id=0, eos_token_id=1, **SIZE)  # fmt: skip
    save(PegasusForConditionalGeneration, config, tokenizer, folder, max_length=20, num_beams=3, length_penalty=0.6)


def mbart50(folder: Path) -> None:
    from transformers import MBart50Tokenizer, MBartConfig, MBartForConditionalGeneration

    tokenizer = MBart50Tokenizer(vocab=[("<unk>", 0.0)] * 3 + pieces(folder), model_max_length=64)
    config = MBartConfig(vocab_size=len(tokenizer), max_position_embeddings=64, decoder_start_token_id=2, **SIZE)
    save(MBartForConditionalGeneration, config, tokenizer, folder, max_length=20, num_beams=3)


def m2m100(folder: Path) -> None:
    from transformers import M2M100Config, M2M100ForConditionalGeneration, M2M100Tokenizer

    found = sentencepiece_file(folder, "sentencepiece.bpe.model")
    words = ["<s>", "<pad>", "</s>", "<unk>", *(piece for piece, _ in found[3:])]
    (folder / "vocab.json").write_text(json.dumps({word: place for place, word in enumerate(words)}))
    tokenizer = M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"))
    config = M2M100Config(vocab_size=len(words) + 110, max_position_embeddings=64, decoder_start_token_id=2, **SIZE)
    save(M2M100ForConditionalGeneration, config, tokenizer, folder, max_length=20, num_beams=3)


def nllb(folder: Path) -> None:
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

    alphabet = sorted({character for line in CORPUS for character in line} - {" "} | {"▁"})
    words = ["<s>", "<pad>", "</s>", "<unk>", *alphabet]
    tokenizer = NllbTokenizer(vocab={word: place for place, word in enumerate(words)}, merges=[], model_max_length=64)
    config = M2M100Config(vocab_size=len(tokenizer), max_position_embeddings=64, decoder_start_token_id=2, **SIZE)
    save(M2M100ForConditionalGeneration, config, tokenizer, folder, max_length=20, num_beams=3)


def gpt2(folder: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=128, **DECODER)
    save(GPT2LMHeadModel, config, byte_tokenizer(), folder)


def llama(folder: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    save(LlamaForCausalLM, LlamaConfig(**BLOCKS, **DECODER), byte_tokenizer(), folder)


def qwen3(folder: Path, *, template: str = CHAT) -> None:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    save(Qwen3ForCausalLM, Qwen3Config(head_dim=16, **BLOCKS, **DECODER), tokenizer, folder)


def gemma3(folder: Path) -> None:
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    config = Gemma3TextConfig(head_dim=16, sliding_window=16, **BLOCKS | {"num_hidden_layers": 3}, **DECODER)
    save(Gemma3ForCausalLM, config, byte_tokenizer(), folder, scale=1)


def _labelled(labels: tuple[str, ...]) -> dict[str, Any]:
    return {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}


def distilbert(folder: Path, *, labels: tuple[str, ...] = ("NEGATIVE", "POSITIVE")) -> None:
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    config = DistilBertConfig(
        vocab_size=260, dim=32, hidden_dim=64, n_layers=1, n_heads=2, max_position_embeddings=64, **_labelled(labels)
    )
    save(DistilBertForSequenceClassification, config, byte_tokenizer(), folder, scale=1)


def _bert_tokenizer() -> Any:
    from transformers import BertTokenizer

    words = sorted({word for line in CORPUS for word in line.lower().replace(".", " .").split() if word.isalpha()})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [mark + letter for letter in "abcdefghijklmnopqrstuvwxyz" for mark in ("", "##")]
    vocabulary = {word: place for place, word in enumerate(dict.fromkeys([*special, *letters, *words, *".,?[]"]))}
    return BertTokenizer(vocab=vocabulary, model_max_length=64)


def _bert_config(tokenizer: Any, **own: Any) -> Any:
    from transformers import BertConfig

    return BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **ENCODER, **own)


def bert(folder: Path, *, labels: tuple[str, ...] = ("negative", "neutral", "positive")) -> None:
    from transformers import BertForSequenceClassification

    tokenizer = _bert_tokenizer()
    save(BertForSequenceClassification, _bert_config(tokenizer, **_labelled(labels)), tokenizer, folder)


NLI = ("contradiction", "neutral", "entailment")


def nli(folder: Path) -> None:
    bert(folder, labels=NLI)


def bart_nli(folder: Path) -> None:
    from transformers import BartConfig, BartForSequenceClassification

    tokenizer = _bart_tokenizer()
    config = BartConfig(vocab_size=len(tokenizer), max_position_embeddings=128, **SIZE, **_labelled(NLI))
    save(BartForSequenceClassification, config, tokenizer, folder, scale=1)


def question_answering(folder: Path) -> None:
    from transformers import BertForQuestionAnswering

    tokenizer = _bert_tokenizer()
    save(BertForQuestionAnswering, _bert_config(tokenizer), tokenizer, folder)


def headless(folder: Path) -> None:
    from transformers import BertForMaskedLM

    tokenizer = _bert_tokenizer()
    save(BertForMaskedLM, _bert_config(tokenizer), tokenizer, folder)


def encoder(folder: Path, *, pooling: str = "mean_tokens") -> None:
    """A sentence-transformers checkpoint."""
    from transformers import BertModel

    tokenizer = _bert_tokenizer()
    save(BertModel, _bert_config(tokenizer), tokenizer, folder)
    (folder / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{name}": name == pooling for name in ("cls_token", "mean_tokens", "max_tokens")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(modes))


def roberta(folder: Path, *, labels: tuple[str, ...] = ("negative", "neutral", "positive")) -> None:
    """Its tokenizer names no limit, and positions begin behind the padding token's: 62 tokens fit a table of 64."""
    from transformers import RobertaConfig, RobertaForSequenceClassification, RobertaTokenizer

    plain = byte_tokenizer(bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>", mask_token="<mask>")
    tokenizer = RobertaTokenizer(vocab=plain.get_vocab(), merges=[])
    config = RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **ENCODER, **_labelled(labels))
    save(RobertaForSequenceClassification, config, tokenizer, folder)


SEQ2SEQ: dict[str, Callable[..., None]] = {
    "marian": marian, "t5": t5, "bart": bart, "pegasus": pegasus, "mbart50": mbart50, "m2m100": m2m100, "nllb": nllb,
}  # fmt: skip
CAUSAL: dict[str, Callable[..., None]] = {"gpt2": gpt2, "llama": llama, "qwen3": qwen3, "gemma3": gemma3}
CLASSIFIERS: dict[str, Callable[..., None]] = {"distilbert": distilbert, "bert": bert, "roberta": roberta}
BUILDERS = (
    SEQ2SEQ
    | CAUSAL
    | CLASSIFIERS
    | {"nli": nli, "bart-nli": bart_nli, "qa": question_answering, "headless": headless, "encoder": encoder}
)
