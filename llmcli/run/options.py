"""The options that commands share, grouped in frozen dataclasses; those of input and output are in ``request``.

A command takes whole groups (``source: InputOptions``); :func:`flatten` shows Typer one parameter a field
and builds the groups again from what was parsed. No command has a long parameter list.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

from typer import Argument, Option

from llmcli.run import completion
from llmcli.run.request import InputOptions, OutputOptions, Request, check, input_format

MODEL, GENERATION = "Model", "Generation"
R = TypeVar("R")


@dataclass(frozen=True)
class ModelOptions:
    """Which model, and how it runs."""

    model: Annotated[
        str | None,
        Option("--model", "-m", help="A model's YAML name, or the folder of a checkpoint.",
               rich_help_panel=MODEL, show_default=False, autocompletion=completion.models),
    ] = None  # fmt: skip
    device: Annotated[
        str | None,
        Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MODEL, show_default=False),
    ] = None
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"] | None,
        Option(help="Number format of the weights. float32 is the reproducible one.",
               rich_help_panel=MODEL, show_default=False),
    ] = None  # fmt: skip
    quantize: Annotated[
        Literal["auto", "none", "int8"] | None,
        Option(help="int8: several times as fast on a CPU, nearly the same answers. 'auto': for causal models there, "
               "unless --dtype is given.", rich_help_panel=MODEL, show_default=False),
    ] = None  # fmt: skip
    plain: Annotated[
        bool, Option("--plain", help="Transformers alone, without any shortcut of llmcli: slower, to compare with. "
                     "Or LLMCLI_PLAIN=1.", rich_help_panel=MODEL)
    ] = False  # fmt: skip
    batch_size: Annotated[
        str | None,
        Option(help="'auto', or the most rows at a time.", rich_help_panel=MODEL, show_default=False),
    ] = None
    allow_pickle: Annotated[
        bool, Option("--allow-pickle", help="Read a local folder's pickled weights too: only of people you trust.",
                     rich_help_panel=MODEL)
    ] = False  # fmt: skip
    offline: Annotated[
        bool, Option("--offline", help="Never fetch anything; a missing model is an error.",
                     rich_help_panel=MODEL)
    ] = False  # fmt: skip
    worker: Annotated[
        bool | None,
        Option("--worker/--no-worker", help="Ask the warm worker, which keeps models loaded, or work in this process.",
               rich_help_panel=MODEL, show_default=False),
    ] = None  # fmt: skip


@dataclass(frozen=True)
class GenerationOptions:
    """The generation config, under transformers' own names."""

    max_new_tokens: Annotated[
        int | None, Option(min=1, help="The most tokens to make.", rich_help_panel=GENERATION,
                           show_default=False)
    ] = None  # fmt: skip
    temperature: Annotated[
        float | None, Option(min=0.0, help="Sampling temperature; 0 is greedy.", rich_help_panel=GENERATION,
                             show_default=False)
    ] = None  # fmt: skip
    top_p: Annotated[
        float | None, Option(min=0.0, max=1.0, help="Sample from the likeliest tokens of this total "
                             "probability.", rich_help_panel=GENERATION, show_default=False)
    ] = None  # fmt: skip
    top_k: Annotated[
        int | None, Option(min=0, help="Sample from this many likeliest tokens; 0: all.",
                           rich_help_panel=GENERATION, show_default=False)
    ] = None  # fmt: skip
    num_beams: Annotated[
        int | None, Option(min=1, help="Beams of beam search; 1: none.", rich_help_panel=GENERATION,
                           show_default=False)
    ] = None  # fmt: skip
    repetition_penalty: Annotated[
        float | None, Option(min=0.01, help="Above 1: repeat less.", rich_help_panel=GENERATION,
                             show_default=False)
    ] = None  # fmt: skip
    stop: Annotated[
        list[str], Option(help="End before this text; repeatable.", rich_help_panel=GENERATION,
                          show_default=False)
    ] = field(default_factory=list)  # fmt: skip
    seed: Annotated[
        int | None, Option(min=0, help="Sampling seed: the same seed gives the same text.",
                           rich_help_panel=GENERATION, show_default=False)
    ] = None  # fmt: skip


def request(
    task: str,
    *,
    source: InputOptions,
    model: ModelOptions,
    output: OutputOptions,
    generation: GenerationOptions | None = None,
    own: Any = None,
    combine: bool = False,
) -> Request:
    """Gather the flags that were given (not None, not empty) into a layer of settings."""
    flags = given(model) | {"on_long": source.on_long}
    offline, worker = bool(flags.pop("offline", False)), flags.pop("worker", None)
    if generation is not None:
        flags["generation"] = given(generation)
    if own is not None:
        flags["options"] = given(own)
    flags = {key: value for key, value in flags.items() if value not in (None, {}, [])}
    check(source, output)
    return Request(task, source, output, flags, format=input_format(source), offline=offline, worker=worker,
                   combine=combine)  # fmt: skip


def given(group: Any) -> dict[str, Any]:
    """The fields of an option group that the user set."""
    unset = {item.name: [] if item.default is MISSING else item.default for item in fields(group)}
    return {key: value for key, value in asdict(group).items() if value != unset[key]}


def flatten(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command of option groups the flat signature that Typer reads."""
    names = {"Argument": Argument, "Option": Option}  # request.py does without importing them
    groups: dict[str, Any] = {name: kind for name, kind in get_type_hints(command).items() if is_dataclass(kind)}
    groups.pop("return", None)
    parameters: list[inspect.Parameter] = []
    for kind in groups.values():
        hints = get_type_hints(kind, localns=names, include_extras=True)
        for item in fields(kind):
            default = [] if item.default is MISSING else item.default
            parameters.append(
                inspect.Parameter(
                    item.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[item.name]
                )
            )

    @functools.wraps(command)
    def flat(**values: Any) -> R:
        built = {name: kind(**{item.name: values[item.name] for item in fields(kind)}) for name, kind in groups.items()}
        return command(**built)

    del flat.__wrapped__
    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flat
