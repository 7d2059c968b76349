"""What a checkpoint says about itself: pipeline, tasks, languages and settings, from its JSON files alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from llmcli.config.schemas import Generation, HubSource, ModelConfig, Pipeline, Prompt, Settings, Source
from llmcli.errors import ModelError, UsageError
from llmcli.text import languages

Json = dict[str, Any]
HEADS: tuple[tuple[str, Pipeline], ...] = (
    ("ForSequenceClassification", "classification"),
    ("ForQuestionAnswering", "question-answering"),
    ("ForCausalLM", "causal"),
    ("LMHeadModel", "causal"),
    ("ForConditionalGeneration", "seq2seq"),
    ("MTModel", "seq2seq"),
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
_TRANSLATION = re.compile(r"translation_([a-z]{2,3})_to_([a-z]{2,3})")


def infer(folder: Path, *, name: str, source: Source) -> ModelConfig:
    """The ModelConfig of a checkpoint folder.

    Raises ModelError where ``config.json`` is missing, malformed, or names no head that a task can use.
    """
    config = _config(folder)
    try:
        return _inferred(config, folder, {"name": name, "source": source})
    except (AttributeError, TypeError, ValueError, UsageError) as error:
        raise ModelError(f"{folder / 'config.json'}: malformed", code="bad-model") from error


def _inferred(config: Json, folder: Path, found: Json) -> ModelConfig:
    pipeline = _pipeline(config, folder)
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


def _config(folder: Path) -> Json:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ModelError(f"{folder}: no config.json: not a checkpoint", code="bad-model") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not readable as JSON", code="bad-model") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path}: not readable as JSON", code="bad-model")
    return config


def _pipeline(config: Json, folder: Path) -> Pipeline:
    architectures = [str(name) for name in config.get("architectures") or []]
    ends = [pipeline for end, pipeline in HEADS if any(name.endswith(end) for name in architectures)]
    if not ends or (ends[0] == "seq2seq" and not config.get("is_encoder_decoder")):
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


def template(model: ModelConfig) -> str:
    """Where the weights are, if the place has ``{source}`` and ``{target}`` in it: one YAML, many checkpoints."""
    place = model.source.hub.repo if model.source.hub else str(model.source.path or "")
    return place if "{source}" in place and "{target}" in place else ""


def match(model: ModelConfig, name: str) -> ModelConfig | None:
    """The model that a name means by a template's name: ``opus-mt-en-fr`` by ``opus-mt``. None where it does not."""
    found = re.fullmatch(re.escape(model.name) + r"-([a-z]{2,3})-([a-z]{2,3})", name)
    return _filled(model, source=found[1], target=found[2]) if found and template(model) else None


def fill(model: ModelConfig, *, source: str, target: str) -> ModelConfig:
    """The model of a pair of languages, where the YAML is a template; any other model as it is.

    Raises UsageError where a language is missing.
    """
    if not template(model):
        return model
    if not target or source in ("", "auto"):
        raise UsageError(
            f"{model.name} has a checkpoint for each pair of languages", code="no-pair",
            hint=f"give --from and --to, or -m {model.name}-en-fr",
        )  # fmt: skip
    return _filled(model, source=languages.parse(source), target=languages.parse(target))


def _filled(model: ModelConfig, *, source: str, target: str) -> ModelConfig:
    place = template(model).replace("{source}", source).replace("{target}", target)
    hub = model.source.hub
    where = Source(hub=HubSource(repo=place, revision=hub.revision)) if hub else Source(path=Path(place))
    return model.model_copy(
        update={
            "name": f"{model.name}-{source}-{target}",
            "source": where,
            "source_languages": [languages.parse(source)],
            "target_languages": [languages.parse(target)],
        }
    )
