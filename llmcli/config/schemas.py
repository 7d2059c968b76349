"""The schemas of the YAML files of settings: pydantic models that forbid unknown keys."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Strict(BaseModel):
    """Frozen, and no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Generation(Strict):
    """The generation config, under transformers' names. Unset: the model's own."""

    max_new_tokens: int | None = Field(None, ge=1)
    """The most tokens of an answer."""
    min_new_tokens: int | None = Field(None, ge=0)
    """The fewest tokens of an answer."""
    temperature: float | None = Field(None, ge=0)
    """How freely tokens are drawn; 0: always the likeliest."""
    top_p: float | None = Field(None, ge=0, le=1)
    """Draw among the likeliest tokens that together have this probability."""
    top_k: int | None = Field(None, ge=0)
    """Draw among so many of the likeliest tokens; 0: among all."""
    num_beams: int | None = Field(None, ge=1)
    """Answers that are followed side by side; the likeliest is given."""
    early_stopping: bool | None = None
    """Beams: stop when there are as many whole answers as beams."""
    length_penalty: float | None = None
    """Beams: above 0 prefers long answers, below 0 short ones."""
    repetition_penalty: float | None = Field(None, gt=0)
    """Above 1: tokens that were there already become less likely."""
    no_repeat_ngram_size: int | None = Field(None, ge=0)
    """No row of so many tokens comes twice; 0: any may."""
    stop: list[str] | None = None
    """Texts at which an answer ends."""
    seed: int | None = Field(None, ge=0)
    """Makes drawn tokens the same again."""
    num_return_sequences: int | None = Field(None, ge=1)
    """How many answers a text is given."""

    @property
    def sampled(self) -> bool:
        """Whether tokens are drawn at random: a temperature above 0."""
        return bool(self.temperature)


class Prompt(Strict):
    """A prompt: an instruction, worked examples, then the row.

    ``example`` holds ``{text}``, ``{answer}`` and any variable of the task. The row is the example up to
    ``{answer}``. ``style: chat`` sends the same parts as a system message and user/assistant turns.
    """

    style: Literal["completion", "chat"] = "completion"
    """How the parts are put together: as one text, or as messages for the chat template."""
    instruction: str = ""
    """What stands first."""
    example: str = "{text}{answer}"
    """How an example looks, and the row up to ``{answer}``."""
    separator: str = "\n\n"
    """What stands between two parts."""
    examples: list[dict[str, str]] = Field(default_factory=list)
    """Worked examples: a mapping of the variables each."""

    @model_validator(mode="after")
    def _has_fields(self) -> Prompt:
        for name in ("{text}", "{answer}"):
            if self.example.count(name) != 1:
                raise ValueError(f"example must hold {name} once")
        if self.example.index("{text}") > self.example.index("{answer}"):
            raise ValueError("example must hold {text} before {answer}")
        return self


class Label(Strict):
    """A label, and the words whose likelihood stands for it (default: the name itself)."""

    name: str
    """What is given as answer."""
    words: list[str] = Field(default_factory=list)
    """Words whose likelihood stands for the label; none: its name."""
    description: str = ""
    """What the label is for: read as an example of it; to a zero-shot model, one more hypothesis."""
    examples: list[str] = Field(default_factory=list)
    """Texts that have the label."""
    bias: float = 0.0
    """Added to the log-probability: what the prompt itself prefers is taken back."""


class Labels(Strict):
    """A file of labels: names, or objects."""

    labels: list[Label]

    @field_validator("labels", mode="before")
    @classmethod
    def _names(cls, labels: Any) -> Any:
        return [{"name": label} if not isinstance(label, dict) else label for label in labels]


class Settings(Strict):
    """Everything a layer of configuration can set for a task."""

    model: str | None = None
    """A model's name, alias, Hub id or path."""
    models: dict[Annotated[str, Field(pattern=r"^[a-z]{2,3}-[a-z]{2,3}$")], str] | None = None
    """Models in place of ``model`` for pairs of languages, where both were given: ``zh-en: opus-mt``."""
    device: str | None = None
    """``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] | None = None
    """Number format of the weights; ``float32`` is the reproducible one."""
    quantize: Literal["auto", "none", "int8"] | None = None
    """``int8``: several times as fast on a CPU, nearly the same answers."""
    plain: bool | None = None
    """Transformers alone: no attention, beam search, cache of prompts or rounded weights of llmcli's own."""
    batch_size: Literal["auto"] | int | None = None
    """The most rows at a time."""
    allow_pickle: bool | None = None
    """Read pickled weights of a local folder; the command line alone can say so."""
    on_long: Literal["chunk", "truncate", "error"] | None = None
    """What to do with a text longer than the context window."""
    prompt: Prompt | None = None
    """The prompt of models that continue text."""
    chat_prompt: Prompt | None = None
    """The prompt of chat models, where it is another than ``prompt``."""
    server_prompt: Prompt | None = None
    """The prompt of chat models behind a server, where it is another than ``chat_prompt``."""
    hypothesis: str | None = Field(None, pattern=r"\{label\}")
    """What a zero-shot model tests for each ``{label}``."""
    labels: list[Label] | None = None
    """The labels to choose among."""
    label_temperature: float | None = Field(None, gt=0)
    """Divides the log-probabilities of labels, so that a probability says how often it is right."""
    neutral: list[str] | None = None
    """Texts without content, on which the labels' prior is measured."""
    no_answer_bias: float | None = None
    """Added to the log-odds that a span answers, against no answer at all: what the prompt itself prefers."""
    generation: Generation | None = None
    """How text is written."""
    options: dict[str, Any] | None = None
    """The task's own flags by name, as ``llmcli TASK --help`` lists them: ``all_scores: true`` for ``--all-scores``."""

    @field_validator("device")
    @classmethod
    def _known(cls, device: str | None) -> str | None:
        if device is not None and not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device, re.ASCII):
            raise ValueError("must be auto, cpu, cuda, cuda:N or mps")
        return device

    @model_validator(mode="before")
    @classmethod
    def _number(cls, values: Any) -> Any:
        if isinstance(values, dict) and str(values.get("batch_size", "")).isdecimal():
            size = int(values["batch_size"])
            if size < 1:
                raise ValueError("batch_size must be 1 or more")
            return values | {"batch_size": size}
        return values


class TaskConfig(Settings):
    """``tasks/<task>.yaml``."""

    description: str
    """What the task does. A file of the user's needs none."""


class WorkerSettings(Strict):
    """How the warm worker runs."""

    keep_alive: float = Field(300, ge=-1)
    """Idle seconds after which it stops; 0: with its last request, -1: never."""
    memory: float | None = Field(None, gt=0)
    """Gigabytes of memory above which it drops models, the oldest first; unset: half of the machine's memory."""


class UserConfig(Settings):
    """``config.yaml`` of the user: settings for all tasks, and for each; how the worker runs."""

    tasks: dict[str, Settings] = Field(default_factory=dict)
    """Settings for single tasks, by task."""
    worker: WorkerSettings = Field(default_factory=WorkerSettings)
    """How the warm worker runs."""


class Chosen(Strict):
    """``chosen.yaml`` of the user, which ``llmcli models alias`` and ``models default`` write."""

    aliases: dict[str, str] = Field(default_factory=dict)
    defaults: dict[str, str] = Field(default_factory=dict)
    """The default model of a task."""
