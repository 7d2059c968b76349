"""What a checkpoint says about itself, from its small files alone: pipeline, tasks, languages and settings."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from llmcli.config import places
from llmcli.config.model_config import HubSource, License, ModelConfig, Pipeline, Source
from llmcli.config.schemas import Generation, Prompt, Settings
from llmcli.errors import ModelError, UsageError
from llmcli.models import checking, gguf_header, manifest, pairs, small_files, store
from llmcli.text import languages

Json = dict[str, Any]
HEADS: tuple[tuple[str, Pipeline], ...] = (
    ("ForSequenceClassification", "classification"),
    ("ForQuestionAnswering", "question-answering"),
    ("ForCausalLM", "causal"),
    ("LMHeadModel", "causal"),
    ("ForConditionalGeneration", "seq2seq"),
    ("MTModel", "seq2seq"),
    ("ForMaskedLM", "embedding"),
    ("Model", "embedding"),
)
"""Architectures by the end of their names."""
TRAINED_FOR = {
    "marian": ["translate"],
    "m2m_100": ["translate"],
    "mbart": ["translate", "summarize"],
    "bart": ["summarize", "generate"],
    "pegasus": ["summarize", "generate"],
}
"""What encoder-decoder families are trained for; the others (T5) take a task's name in the text."""
PREFIXES = {
    "summarize": "summarize: {text}{answer}",
    "translate": "translate {source} to {target}: {text}{answer}",
    "answer": "question: {question} context: {text}{answer}",
}
"""How T5's authors name tasks, for checkpoints that do not say."""
GENERATION = ("num_beams", "length_penalty", "no_repeat_ngram_size", "early_stopping")
LANGUAGES = frozenset({"languages", "source_languages", "target_languages"})
"""One statement: a YAML that makes a part of it makes it whole."""
TOLD = LANGUAGES | {"pipeline", "chat", "license", "size", "supported_tasks", "tasks"}
"""The fields that a checkpoint can tell."""
_TRANSLATION = re.compile(r"translation_([a-z]{2,3})_to_([a-z]{2,3})")


def describe(model: ModelConfig, *, offline: bool = False) -> ModelConfig:
    """The model with all that its YAML leaves out, as its checkpoint tells it; what the YAML says, wins.

    Of a Hub repository that is not pulled, a few kB are fetched once, none of its weights. A package's YAML says all
    itself; where no file is, loading it will say so. Raises ModelError for what is no checkpoint of a task, or is not
    known here where fetching is forbidden.
    """
    said, path, source = model.model_fields_set, model.source.path, model.source
    if source.package is not None or source.server is not None or pairs.template(model):
        return model
    if said >= TOLD or (path and not path.exists()):
        return model
    found = _found(model, offline=offline)
    if said & LANGUAGES:
        said = said | LANGUAGES
    values = {name: getattr(found, name) for name in found.model_fields_set - said}
    tasks = {task: _over(found.tasks.get(task), model.tasks.get(task)) for task in {**found.tasks, **model.tasks}}
    return model.model_copy(update=values | {"tasks": tasks})


def known(model: ModelConfig) -> bool:
    """Whether :func:`describe` needs no network."""
    source = model.source.hub
    return source is None or pairs.template(model) != "" or _here(source, name=model.name) is not None


def _here(source: HubSource, *, name: str) -> Path | None:
    """The folder that tells what a Hub model is: the pulled one, or that of its small files."""
    pulled = store.folder(Source(hub=source), name=name)
    return next((place for place in (pulled, small_files.folder(source)) if place and manifest.read(place)), None)


def _found(model: ModelConfig, *, offline: bool) -> ModelConfig:
    """What the checkpoint tells. Raises ModelError."""
    path, hub = model.source.path, model.source.hub
    if path is not None and path.suffix.lower() == ".gguf":
        header = gguf_header.read(path)
        told = ModelConfig(name=model.name, source=model.source, pipeline="causal", chat=header.chat)
        return _licensed(told, header.license)
    if hub is not None:
        path = _here(hub, name=model.name) or _fetched(model, hub, offline=offline)
    assert path is not None  # describe() left packages out
    pipeline = model.pipeline if "pipeline" in model.model_fields_set else None
    told = infer(path, name=model.name, source=model.source, pipeline=pipeline)
    facts = manifest.read(path) or {} if hub is not None else {}
    return _licensed(told, facts.get("license", "")).model_copy(update={"size": facts.get("size", "")})


def _licensed(model: ModelConfig, name: str) -> ModelConfig:
    return model.model_copy(update={"license": License(name=name)}) if name else model


def _fetched(model: ModelConfig, source: HubSource, *, offline: bool) -> Path:
    from llmcli.models import hub

    if offline or hub.offline() or not places.makes():
        raise ModelError(
            f"{model.name} is not known here, and fetching is forbidden (--offline, HF_HUB_OFFLINE)",
            code="not-pulled", hint=f"llmcli models pull {model.name}",
        )  # fmt: skip
    small_files.fetch(source)
    return small_files.folder(source)


def _over(found: Settings | None, said: Settings | None) -> Settings:
    """A task's settings: what the YAML says over what the checkpoint tells; ``generation`` key by key."""
    if found is None or said is None:
        return said or found or Settings()
    generation = _set(found.generation or Generation()) | _set(said.generation or Generation())
    return found.model_copy(update=_set(said) | ({"generation": Generation(**generation)} if generation else {}))


def _set(values: Settings | Generation) -> dict[str, Any]:
    return {name: getattr(values, name) for name in values.model_fields_set}


def infer(folder: Path, *, name: str, source: Source, pipeline: Pipeline | None = None) -> ModelConfig:
    """The ModelConfig of a checkpoint folder; ``pipeline``, where it is said, need not be told by the checkpoint.

    Raises ModelError where ``config.json`` is missing, malformed, or names no head that a task can use.
    """
    config = checking.read_json(folder / "config.json")
    try:
        return _inferred(config, folder, {"name": name, "source": source, "pipeline": pipeline})
    except (AttributeError, TypeError, ValueError, UsageError) as error:
        raise ModelError(f"{folder / 'config.json'}: malformed", code="bad-model") from error


def _inferred(config: Json, folder: Path, found: Json) -> ModelConfig:
    pipeline = found["pipeline"] or _pipeline(config, folder)
    found |= {"pipeline": pipeline}
    if pipeline == "causal":
        return ModelConfig(**found, chat=_has_template(folder))
    if pipeline != "seq2seq":
        return ModelConfig(**found)
    read, written = _languages(folder)
    tasks = _tasks(config)
    prefixes = _translations(config)
    if prefixes:
        read, written = (list(dict.fromkeys(pair[place] for pair in prefixes)) for place in (0, 1))
    family = str(config.get("model_type", ""))
    able = TRAINED_FOR.get(family, [])
    if family.endswith("t5"):
        for task, example in PREFIXES.items():
            tasks.setdefault(task, Settings(prompt=Prompt(example=example)))
    return ModelConfig(
        **found, tasks=tasks, supported_tasks=able,
        **({"languages": read} if read == written else {"source_languages": read, "target_languages": written}),
    )  # fmt: skip


def _pipeline(config: Json, folder: Path) -> Pipeline:
    architectures = [str(name) for name in config.get("architectures") or []]
    ends = [pipeline for end, pipeline in HEADS if any(name.endswith(end) for name in architectures)]
    both = bool(config.get("is_encoder_decoder"))
    if not ends or both != {"seq2seq": True, "embedding": False}.get(ends[0], both):
        found = ", ".join(architectures) or "no architecture named"
        raise ModelError(
            f"{folder}: no head for a task of llmcli ({found})", code="no-head",
            hint="give a checkpoint that was fine-tuned for a task, or one that generates text",
        )  # fmt: skip
    labels = [str(label).lower() for label in (config.get("id2label") or {}).values()]
    if ends[0] == "classification" and all(
        any(label.startswith(kind) for label in labels) for kind in ("entail", "contradict")
    ):
        return "zero-shot"
    return ends[0]


def _has_template(folder: Path) -> bool:
    return (folder / "chat_template.jinja").is_file() or bool(_json(folder / "tokenizer_config.json", "chat_template"))


def _json(path: Path, *keys: str) -> list[Any]:
    """The values of some keys that a JSON file holds; nothing where it cannot be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    return [found[key] for key in keys if key in found] if isinstance(found, dict) else []


def _languages(folder: Path) -> tuple[list[str], list[str]]:
    """Languages read and written: Marian's two, else those that the tokenizer has tokens for."""
    config = folder / "tokenizer_config.json"
    tokens = [
        token["content"] if isinstance(token, dict) and "content" in token else token
        for path in (config, folder / "special_tokens_map.json")
        for group in _json(path, "additional_special_tokens", "extra_special_tokens", "added_tokens_decoder")
        for token in (group.values() if isinstance(group, dict) else group)
    ]
    pair = [languages.codes([f"{code}_XX"]) for code in _json(config, "source_lang", "target_lang")]
    if len(pair) == 2:
        try:
            tokens = list(json.loads((folder / "vocab.json").read_bytes()))
        except (OSError, ValueError):
            tokens = []
        several = [str(token) for token in tokens if str(token).startswith(">>")]
        return list(pair[0]), sorted(languages.codes(several)) or list(pair[1])
    known = sorted(languages.codes(map(str, tokens)))
    return known, known


def _tasks(config: Json) -> dict[str, Settings]:
    """T5's way: each task has a prefix and settings of its own."""
    found: dict[str, Settings] = {}
    for key, values in (config.get("task_specific_params") or {}).items():
        task = "summarize" if key == "summarization" else "translate" if _TRANSLATION.fullmatch(key) else None
        if task and isinstance(values, dict) and task not in found:
            prefix = str(values.get("prefix") or "")
            match = re.fullmatch(r"translate \w+ to \w+: ", prefix)
            prefix = "translate {source} to {target}: " if match else prefix
            found[task] = Settings(
                prompt=Prompt(example=prefix + "{text}{answer}") if prefix else None, generation=_generation(values)
            )
    return found


def _generation(values: Json) -> Generation:
    """``max_length`` and ``min_length`` count the decoder's start token; ``…_new_tokens`` do not."""
    lengths = {f"{end}_new_tokens": values[f"{end}_length"] - 1 for end in ("max", "min")
               if isinstance(values.get(f"{end}_length"), int) and values[f"{end}_length"] > 1}  # fmt: skip
    return Generation(**lengths, **{name: values[name] for name in GENERATION if name in values})


def _translations(config: Json) -> list[tuple[str, str]]:
    matches = [_TRANSLATION.fullmatch(key) for key in config.get("task_specific_params") or {}]
    return [(languages.parse(match[1]), languages.parse(match[2])) for match in matches if match]
