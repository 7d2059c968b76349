"""Precedence and resolution: which setting wins, and where it came from.

flag > environment > user config > this model's settings for the task > task YAML > model YAML
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from llmcli.config import chosen, option_values, places
from llmcli.config.cluster import ClusterOptions
from llmcli.config.model_config import ModelConfig
from llmcli.config.option_values import FLAG
from llmcli.config.options import InputOptions, OutputOptions, ProcessOptions
from llmcli.config.run_config import RunConfig, format_of
from llmcli.config.schemas import Settings, TaskConfig, UserConfig, WorkerSettings
from llmcli.config.strict_yaml import load, load_yaml, parse
from llmcli.errors import ConfigError, UsageError, nearest
from llmcli.models import describing, names, pairs
from llmcli.run import sharding
from llmcli.run.layers import ASKED, Layer, Merged, merge, suited
from llmcli.run.request import SHARED
from llmcli.run.task import Task

OptionsT = TypeVar("OptionsT")
TAKEN = "--max-new-tokens, --temperature, --top-p, --stop, --seed and -n"
"""Options of generation that a server is asked for."""
G = TypeVar("G")


def resolve(task: Task[OptionsT], settings: Mapping[str, Any]) -> RunConfig[OptionsT]:
    """The run that a command line asks for; ``settings`` are the flags', as a YAML file would hold them.

    Raises what :func:`merged` does, and UsageError for settings that make no sense together.
    """
    return sharding.placed(task.prepare(_sensible(merged(task, settings))))


def merged(task: Task[OptionsT], settings: Mapping[str, Any], *, describe: bool = True) -> RunConfig[OptionsT]:
    """All layers of settings for a task as one, whether or not they are enough for a run.

    Of its model at most a few small files are fetched; without ``describe``, what its YAML leaves out stays unknown.
    Raises ConfigError for a malformed YAML file, UsageError for settings that make no sense, ModelError for an
    unknown model.
    """
    below, upper = _declared(task, settings)
    first = merge([*below, *upper])
    options = first.values.get("options", {})
    model = _asked(task, first)
    if describe:
        model = pairs.fill(model, source=options.get("from_") or "auto", target=options.get("to") or "")
        model = describing.describe(model, offline=bool(options.get("offline")))
    return _config(task, model, merge([suited(layer, model) for layer in _layers(model, task, below, upper)]))


def chosen_model(task: Task[Any], settings: Mapping[str, Any] | None = None) -> str:
    """What the settings call the task's model: no checkpoint is asked. Raises ConfigError, UsageError for none."""
    below, upper = _declared(task, settings or {})
    return _model(task, merge([*below, *upper]).values)


def users_model(task: Task[Any]) -> str | None:
    """The model that the user's own settings name for a task, if any do. Raises ConfigError, UsageError."""
    return merge(_declared(task, {})[1]).values.get("model") or None


def _declared(task: Task[Any], settings: Mapping[str, Any]) -> tuple[list[Layer], list[Layer]]:
    """The layers of the task's own files, and those above a model's own settings; each weakest first."""
    below = [Layer(str(path), _task(path)) for path in places.find("tasks", task.name)]
    if not below:
        raise ConfigError(f"no tasks/{task.name}.yaml")
    upper = [*_chosen(task.name), *_user(task.name), Layer("environment", _environment()), Layer(FLAG, settings)]
    below, upper = ([_checked(layer, task) for layer in layers] for layers in (below, upper))
    options = merge([*below, *upper]).values.get("options", {})
    pair = pairs.pair(options.get("from_"), options.get("to"))
    return [_for_pair(layer, pair) for layer in below], [_for_pair(layer, pair) for layer in upper]


def _for_pair(layer: Layer, pair: str) -> Layer:
    """A layer whose model is the one that it names for a pair of languages, if it does."""
    model = layer.values.get("models", {}).get(pair)
    return Layer(layer.origin, {**layer.values, "model": model}) if model else layer


def _asked(task: Task[Any], first: Merged) -> ModelConfig:
    """The model of a run. Request files are for a model that some server knows by its name. Raises UsageError."""
    name, options = _model(task, first.values), first.values.get("options", {})
    if not (options.get("requests") or options.get("responses")):
        return names.find(name)
    if Path(first.origins["model"]).is_relative_to(places.shipped()):
        raise UsageError("--requests and --responses need the name that the server has for the model",
                         hint="give -m NAME, or -m URL#NAME")  # fmt: skip
    return names.requested(name)


def _model(task: Task[Any], settings: Mapping[str, Any]) -> str:
    if not settings.get("model"):
        raise UsageError(f"no model for {task.name}", hint="give --model NAME")
    return str(settings["model"])


def _layers(model: ModelConfig, task: Task[Any], below: list[Layer], upper: list[Layer]) -> list[Layer]:
    """All layers, weakest first, with the model's own for all tasks and for this one."""
    file = f"model {model.name}"
    base = {key: value for key, value in _dump(model).items() if key in ("device", "dtype", "generation")}
    special = _dump(model.tasks[task.name]) if task.name in model.tasks else {}
    mine = _checked(Layer(f"{file}, tasks.{task.name}", special), task)
    return [Layer(file, base), *below, mine, *upper]


def _config(task: Task[OptionsT], model: ModelConfig, won: Merged) -> RunConfig[OptionsT]:
    values = dict(won.values)
    options = values.pop("options", {})
    settings = parse(Settings, values, origin=f"settings of {task.name}")
    _check_pickle(settings, model, won.origins)
    process = _group(ProcessOptions, options)
    source = _group(InputOptions, options)
    return RunConfig(
        task.name, replace(source, format=_input_format(source)), _group(OutputOptions, options),
        _group(task.options, options), task.combine, task.documents, _group(ClusterOptions, options), model=model,
        settings=settings, offline=process.offline, origins=won.origins,
    )  # fmt: skip


def _group(kind: type[G], options: Mapping[str, Any]) -> G:
    """A dataclass of options; those that nobody set are as it declares."""
    return kind(**{item.name: options[item.name] for item in fields(kind) if item.name in options})  # type: ignore[arg-type]


def _checked(layer: Layer, task: Task[Any]) -> Layer:
    """The layer with options of the right types. Raises ConfigError, UsageError."""
    if not (options := layer.values.get("options")):
        return layer
    typed = option_values.check([task.options, *SHARED], options, task=task.name, origin=layer.origin)
    return Layer(layer.origin, {**layer.values, "options": typed})


def _input_format(source: InputOptions) -> Any:
    """The input's format: the one that is named, else by file ending. Raises UsageError where two differ."""
    if source.format != "auto":
        return source.format
    formats = {format_of(places.absolute(path)) for path in source.input}
    if len(formats) > 1:
        raise UsageError(f"inputs of different formats: {', '.join(sorted(formats))}", hint="give --format")
    return formats.pop() if formats else "text"


def _sensible(config: RunConfig[OptionsT]) -> RunConfig[OptionsT]:
    """Refuse options that make no sense together."""
    source, output = config.source, config.output
    if (output.resume or output.retry_failed) and output.output is None:
        raise UsageError("--resume and --retry-failed need --output", hint="give -o FILE")
    if output.resume is False and output.retry_failed:
        raise UsageError("--no-resume and --retry-failed exclude each other")
    if output.quiet and output.verbose:
        raise UsageError("--quiet and --verbose exclude each other")
    _check_generation(config)
    _check_served(config)
    if source.template is not None and source.field is not None:
        raise UsageError("--template and --field exclude each other")
    if config.document and not config.documents:
        raise UsageError(f"--format {config.document} is for translate", hint="without it a file is one text")
    if source.template is not None and source.format in ("text", "lines"):
        raise UsageError("--template needs rows of several fields", hint="give --jsonl or --csv")
    if source.delimiter is not None and len(source.delimiter) != 1:
        raise UsageError("--delimiter must be one character")
    columns = [column.strip() for column in source.columns.split(",")] if source.columns else []
    if len({*columns}) < len(columns) or "" in columns:
        raise UsageError("--columns must be names that differ")
    return config


def _check_generation(config: RunConfig[Any]) -> None:
    generation = config.generation
    if "" in (generation.stop or []):
        raise UsageError("--stop must not be empty")
    for name in ("top_p", "top_k"):
        if config.origins.get(f"generation.{name}") == FLAG and not generation.sampled:
            raise UsageError(f"--{name.replace('_', '-')} needs sampling", hint="give --temperature 0.7")


def _check_served(config: RunConfig[Any]) -> None:
    """Refuse what a server is not asked for: an option that does nothing would be a lie."""
    if config.model.source.server is None:
        return
    told = [f"generation.{name}" for name, value in config.generation if value is not None and name not in ASKED]
    local = [name for name in ("device", "dtype", "quantize", "plain") if config.origins.get(name) == FLAG]
    for name in [*told, *local]:
        option = f"--{name.removeprefix('generation.').replace('_', '-')}"
        where = "" if (origin := config.origins.get(name)) == FLAG else f" ({origin})"
        raise UsageError(f"{option} is for models that run here{where}", hint=f"a server takes {TAKEN}")


def _dump(settings: Settings | ModelConfig) -> dict[str, Any]:
    return settings.model_dump(exclude_unset=True, exclude_none=True)


def _task(path: Path) -> dict[str, Any]:
    """A task's YAML; a user's may leave out the description."""
    if path.is_relative_to(places.shipped()):
        layer = _dump(load(TaskConfig, path))
    else:
        whole = load_yaml(path)
        if isinstance(whole, dict):
            whole.pop("description", None)
        layer = _dump(parse(Settings, whole, origin=str(path)))
    layer.pop("description", None)
    return layer


def _chosen(task: str) -> list[Layer]:
    model = chosen.load().defaults.get(task)
    return [Layer(str(chosen.path()), {"model": model})] if model else []


def _user(task: str) -> list[Layer]:
    path = places.user() / "config.yaml"
    if not path.is_file():
        return []
    user = load(UserConfig, path)
    known = places.names("tasks")
    for name in user.tasks:
        if name not in known:
            raise ConfigError(f"{path}: [tasks.{name}] there is no such task", hint=nearest(name, known, what="tasks"))
    general = {key: value for key, value in _dump(user).items() if key not in ("tasks", "worker")}
    special = [Layer(f"{path}, tasks.{task}", _dump(user.tasks[task]))] if task in user.tasks else []
    return [Layer(str(path), general), *special]


def worker() -> WorkerSettings:
    """The user's settings of the worker. Raises ConfigError."""
    path = places.user() / "config.yaml"
    return load(UserConfig, path).worker if path.is_file() else WorkerSettings()


def _environment() -> dict[str, Any]:
    found: dict[str, Any] = {"model": model} if (model := places.variable("LLMCLI_MODEL")) else {}
    if plain := places.variable("LLMCLI_PLAIN"):
        if plain not in ("0", "1"):
            raise UsageError("LLMCLI_PLAIN is neither 1 nor 0")
        found["plain"] = plain == "1"
    return found


def _check_pickle(settings: Settings, model: ModelConfig, origins: Mapping[str, str]) -> None:
    if settings.allow_pickle is None:
        return
    if origins["allow_pickle"] != FLAG:
        raise ConfigError(f"{origins['allow_pickle']}: [allow_pickle] can only be given on the command line")
    if model.source.path is None:
        raise UsageError("--allow-pickle is for a folder of your own",
                         hint="download the checkpoint, and give its path")  # fmt: skip
