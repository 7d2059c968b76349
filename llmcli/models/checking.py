"""Look at a checkpoint's files before a library reads them: names, first bytes, and numbers against the weights' sizes.

What a library would unpickle, fetch code for, or make gigabytes of, is refused here, by reading a few JSON files.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmcli.errors import ModelError
from llmcli.models import generation_check, safetensors
from llmcli.models.safetensors import Tensor

Json = dict[str, Any]
TOKENIZER = (
    "tokenizer.json", "tokenizer.*.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "vocab.txt", "merges.txt", "vocab-src.json", "vocab-tgt.json", "target_vocab.json",
    "entity_vocab.json", "bpe.codes", "dict.txt", "emoji.json", "normalizer.json", "byte_maps.json", "word_shape.json",
    "word_pronunciation.json", "prophetnet.tokenizer", "tekken.json", "tiktoken.model", "tokenizer.model",
    "spiece.model", "sentencepiece.model", "sentencepiece.bpe.model", "spm.model", "spm_char.model", "source.spm",
    "target.spm", "*.jinja",
)  # fmt: skip
"""What tokenizers of transformers read; nothing else is fetched, and none of these may be a pickle."""
POOLING = "1_Pooling/config.json"
"""Where sentence-transformers says how one vector is made of a text's states."""
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
PICKLED = (b"\x80", b"PK\x03\x04")
"""How pickles begin, and the archives of pickles that torch writes."""
ATTENTION = ("eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3", "flash_attention_4")
"""Ways to compute attention that name no repository of the Hub."""
LARGEST, LARGEST_TOKENIZER = 64 << 20, 1 << 30
"""The most bytes of a JSON file that is read here, and of one that a tokenizer reads."""
GROWTH = 256
"""How many times as long a tokenizer may make a text; those in use put one character, or a few, in place of another."""
LAYERS, PARTS, SIZES = 128, 1024, 1 << 20
"""So many layers, other repeated parts and sizes of anything are believed without a look at the weights: they may be
shared, or one tensor for all."""
POSITIONS, COMPUTED = 1 << 26, 1 << 13
"""The most positions of a model, and of one whose table of positions transformers computes number by number."""
SINUSOIDAL = ("marian", "pegasus", "distilbert", "xlm", "flaubert", "roformer")
"""Families of such models."""
LEAST, HUGE = -(1 << 31), 1 << 62
"""Between these is every number that means something; beyond, a library's own arithmetic overflows."""
_LAYERS = re.compile(r"(^|_)n?_?layers?$")
_PARTS = re.compile(r"(experts|groups|blocks|codebooks)$")
_SIZES = re.compile(r"(size|dim|heads?|hidden|embd|d_model|d_ff|d_kv|inner|width|labels|channels|rank|buckets)$")
_POSITIONS = re.compile(r"(positions?|position_embeddings|n_ctx|sequence_length)$")
_SOME = re.compile(r"^(n_layers?|num_layers|num_hidden_layers|encoder_layers|decoder_layers|num_decoder_layers|"
                   r"hidden_size|d_model|n_embd|dim|vocab_size|n_heads?|num_heads|num_attention_heads|"
                   r"encoder_attention_heads|decoder_attention_heads|max_position_embeddings|n_positions|n_ctx|"
                   r"max_sequence_length)$")  # fmt: skip
"""Of these there is at least one."""


@dataclass(frozen=True)
class Checkpoint:
    """What a folder's own files say: ``tensors`` by name, empty where the weights are pickles."""

    config: Json
    tensors: Mapping[str, Tensor]
    pickled: bool = False


def examine(folder: Path, *, allow_pickle: bool, weights: Path | None = None) -> Checkpoint:
    """Read what tells whether a checkpoint may be loaded, and ``weights`` if they are elsewhere.

    Raises ModelError: why it may not.
    """
    config = read_json(folder / "config.json")
    _refuse_foreign(config, folder)
    _check_tokenizer(folder)
    files = _weights(folder, config) if weights is None else [weights]
    if all(path.suffix == ".safetensors" for path in files):
        tensors = {name: tensor for path in files for name, tensor in safetensors.header(path).items()}
        check_numbers(config, tensors, where=str(folder / "config.json"))
        _check_generation(folder, config, tensors)
        return Checkpoint(config, tensors)
    if not allow_pickle:
        raise ModelError(f"{folder}: its weights are a pickle, which may hold code", code="pickle",
                         hint="convert it to safetensors, or give --allow-pickle if you trust its maker")  # fmt: skip
    return Checkpoint(config, {}, pickled=True)


def refuse(folder: Path) -> None:
    """Raise ModelError for what needs no weights to be refused: they are not fetched yet."""
    config = read_json(folder / "config.json")
    _refuse_foreign(config, folder)
    _check_tokenizer(folder)
    if (folder / INDEX).is_file():
        _named(folder / INDEX)


def read_json(path: Path) -> Json:
    """A JSON file of a checkpoint. Raises ModelError where there is none, or it is none."""
    try:
        if path.exists() and (not path.is_file() or path.stat().st_size > LARGEST):
            raise ModelError(f"{path}: not what it is called", code="bad-model")
        found = json.loads(path.read_bytes(), parse_constant=_constant)
    except FileNotFoundError as error:
        raise ModelError(f"{path.parent}: no {path.name}: not a checkpoint", code="bad-model") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not readable as JSON", code="bad-model") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path}: not readable as JSON", code="bad-model")
    return found


def _constant(name: str) -> float:
    if name == "NaN":
        raise ValueError(name)
    return float(name)


def _refuse_foreign(config: Json, folder: Path) -> None:
    """Refuse what would have transformers ask other packages for code."""
    for key, value in _walk(config):
        if key.strip("_").removesuffix("_internal") in ("attn_implementation", "experts_implementation"):
            names = value.values() if isinstance(value, dict) else [value]
            if not all(name is None or _plain(name, key) for name in names):
                raise ModelError(f"{folder}: refused: its config names code to fetch for attention", code="remote-code",
                                 hint=f"take {key} out of its config.json")  # fmt: skip
        elif key in ("use_kernels", "kernel_config") and value:
            raise ModelError(f"{folder}: refused: its config asks for code to fetch", code="remote-code",
                             hint=f"take {key} out of its config.json")  # fmt: skip
        elif key in ("quantization_config", "compression_config") and value:
            method = value.get("quant_method") if isinstance(value, dict) else None
            by = f" by {method}" if isinstance(method, str) else ""
            raise ModelError(f"{folder}: its weights are quantized{by}, which llmcli does not read",
                             code="quantized", hint="give the checkpoint as it was before, or a GGUF file")  # fmt: skip


def _plain(name: object, key: str) -> bool:
    return isinstance(name, str) and (name in ATTENTION or ("experts" in key and name.isidentifier()))


def _walk(value: object, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """All keys with their values, of dictionaries within dictionaries."""
    if depth > 20:
        raise ModelError("its config.json is nested too deeply", code="bad-model")
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from _walk(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner, depth + 1)


def needed(name: str) -> bool:
    """Whether a tokenizer may read a file of this name."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in TOKENIZER)


def _check_tokenizer(folder: Path) -> None:
    """Its files are plain ones, of a size, and no pickles."""
    files = [path for path in folder.iterdir() if needed(path.name)]
    if all(path.suffix == ".jinja" for path in files):
        raise ModelError(f"{folder}: it has no tokenizer", code="bad-model", hint="copy its base model's here")
    for path in files:
        if not path.is_file() or path.stat().st_size > LARGEST_TOKENIZER:
            raise ModelError(f"{path}: not a tokenizer's file", code="bad-model")
        _refuse_pickle(path)
    if not (folder / "adapter_model.safetensors").exists():
        _refuse_pickle(folder / "adapter_model.bin")


def _refuse_pickle(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError), path.open("rb") as stream:
        if stream.read(4).startswith(PICKLED):
            raise ModelError(f"{path}: refused: a pickle, which may hold code", code="pickle")


def _weights(folder: Path, config: Json) -> list[Path]:
    """The files that transformers will read the weights from."""
    named = config.get("transformers_weights")
    if next(folder.glob("shard-?????-model-*.safetensors"), None):
        raise ModelError(f"{folder}: a checkpoint in the middle of training", code="bad-model",
                         hint="save it whole")  # fmt: skip
    for name in [named] if named is not None else [WHOLE, INDEX, *PICKLES]:
        if named is not None and not (_inside(name) and name.endswith((".safetensors", ".safetensors.index.json"))):
            raise ModelError(f"{folder}: refused: its config names other files as weights", code="hostile")
        if (folder / name).is_file():
            return _shards(folder / name) if name.endswith(".json") else [folder / name]
    raise ModelError(f"{folder}: no {named or WHOLE}: its weights are not here", code="missing-weights")


def _inside(name: object) -> bool:
    """Whether a name is of a file in the same folder."""
    return isinstance(name, str) and name.isprintable() and not set(name) & set("/\\") and name not in ("", ".", "..")


def _shards(index: Path) -> list[Path]:
    """The files that an index names: all there."""
    names = _named(index)
    for name in names:
        if not (index.parent / name).is_file():
            raise ModelError(f"{index.parent}: {name} is missing, one of {len(names)} files of weights",
                             code="missing-weights", hint="fetch it again")  # fmt: skip
    return [index.parent / name for name in names]


def _named(index: Path) -> list[str]:
    """The names in an index: of files in its folder, of its kind."""
    found = read_json(index)
    places = found.get("weight_map")
    if not isinstance(places, dict) or not places or not isinstance(found.get("metadata"), dict):
        raise ModelError(f"{index}: malformed", code="bad-model")
    if not all(map(_inside, places.values())):
        raise ModelError(f"{index}: refused: it names files of other folders", code="hostile")
    names = sorted(set(places.values()))
    if index.name not in PICKLES and not all(name.endswith(".safetensors") for name in names):
        raise ModelError(f"{index}: refused: it names a pickle, which may hold code", code="pickle")
    return names


def check_numbers(config: Json, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Refuse numbers that no such weights could have: a library would make what they ask for. Raises ModelError."""
    widest = max((size for tensor in tensors.values() for size in tensor.shape), default=0)
    positions = COMPUTED if config.get("model_type") in SINUSOIDAL else POSITIONS

    def most(key: str) -> int:
        if _LAYERS.search(key):
            return max(LAYERS, len(tensors))
        if _PARTS.search(key):
            return max(PARTS, len(tensors))
        return positions if _POSITIONS.search(key) else max(SIZES, widest) if _SIZES.search(key) else HUGE

    for key, value in _walk(config):
        some = _SOME.match(key) is not None
        if some and value is not None and type(value) is not int:
            raise ModelError(f"{where}: {key} must be a whole number", code="bad-model")
        if type(value) is int and not (1 if some else LEAST) <= value <= most(key):
            raise ModelError(f"{where}: {key} of {_short(value)} does not fit its weights", code="bad-model")


def _check_generation(folder: Path, config: Json, tensors: Mapping[str, Tensor]) -> None:
    """The settings in the file of that name; older checkpoints have them in their config."""
    widest = max((size for tensor in tensors.values() for size in tensor.shape), default=0)
    settings = {"config.json": config}
    if (folder / "generation_config.json").exists():
        settings["generation_config.json"] = read_json(folder / "generation_config.json")
    for name, values in settings.items():
        generation_check.check(values, vocabulary=widest, where=str(folder / name))


def check_growth(parts: Iterable[bytes], *, where: str) -> None:
    """Refuse a tokenizer that makes a text many times as long: it would take all memory, and end the process.

    ``parts`` are its normalizer and decoder, in JSON. Raises ModelError.
    """
    growth = 1
    for part in parts:
        for step in _steps(json.loads(part)):
            content, pattern = step.get("content") or step.get("prepend") or "", step.get("pattern") or {}
            growth *= max(len(content) // max(len(pattern.get("String", "")), 1), 1)
    if growth > GROWTH:
        raise ModelError(f"{where}: refused: its tokenizer makes texts {growth:,} times as long", code="hostile")


def _steps(part: object) -> Iterator[Json]:
    """A step of a tokenizer, and those that it is a sequence of."""
    if isinstance(part, dict):
        yield part
        for inner in (*(part.get("normalizers") or ()), *(part.get("decoders") or ())):
            yield from _steps(inner)


def _short(value: int) -> str:
    return str(value) if abs(value) < 10**18 else f"{value:.0e}" if abs(value) < 10**300 else "a huge number"
