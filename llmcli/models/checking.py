"""Look at a checkpoint's files before a library reads them: names, first bytes, and numbers against the weights' sizes.

What a library would unpickle, fetch code for, or make gigabytes of, is refused here, by reading a few JSON files.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmcli.errors import ModelError
from llmcli.models import generation_check, proportions, safetensors
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
        proportions.check_numbers(config, tensors, where=str(folder / "config.json"))
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
    for key, value in proportions.walk(config):
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


def _check_generation(folder: Path, config: Json, tensors: Mapping[str, Tensor]) -> None:
    """The settings in the file of that name; older checkpoints have them in their config."""
    widest = max((size for tensor in tensors.values() for size in tensor.shape), default=0)
    settings = {"config.json": config}
    if (folder / "generation_config.json").exists():
        settings["generation_config.json"] = read_json(folder / "generation_config.json")
    for name, values in settings.items():
        generation_check.check(values, vocabulary=widest, where=str(folder / name))
