"""run(session, records): the one road that every command takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from llmcli import tasks
from llmcli.errors import ROW_ERRORS, ModelError
from llmcli.run.records import Record, Result, failed
from llmcli.run.seen import Seen

if TYPE_CHECKING:
    from llmcli.cli.progress import Preparing
    from llmcli.config.run_config import RunConfig
    from llmcli.pipelines.protocol import Emit, Model
    from llmcli.reports import Report
    from llmcli.run.journal import Journal
    from llmcli.run.request import Request


class Load(Protocol):
    """Gives the model of a run."""

    def __call__(self, config: RunConfig, *, report: Report) -> Model:
        """See :func:`llmcli.pipelines.load.load`."""


class Session(Protocol):
    """A task on a model, ready to answer: in this process, or in the worker."""

    @property
    def model(self) -> str:
        """The model's name."""

    @property
    def window(self) -> int:
        """How many rows are worked on together; their results appear together."""

    @property
    def seed(self) -> int | None:
        """The sampling seed that the settings name."""

    @property
    def fingerprint(self) -> Mapping[str, str]:
        """What decides the answers, by name."""

    def answer(self, records: Sequence[Record], *, emit: Emit | None = None) -> list[Result]:
        """One result a record, in order. ``emit`` hears the text of a lone record as it is made."""

    def close(self) -> None:
        """Nothing more is asked."""


class Local:
    """A session in this process; the model is loaded, by ``load``, for the first good record."""

    def __init__(self, config: RunConfig, *, report: Report | None = None, load: Load | None = None) -> None:
        from llmcli.reports import unheard

        self.config = config
        self.model = config.model.name
        size = config.settings.batch_size
        self.window = max(tasks.window(config.task), size if isinstance(size, int) else 1)
        self.seed = config.generation.seed
        self._report, self._load = report or unheard, load
        self._loaded: Model | None = None

    @property
    def fingerprint(self) -> Mapping[str, str]:
        """See Session."""
        from llmcli.run.resolve import fingerprint

        return fingerprint(self.config)

    def answer(self, records: Sequence[Record], *, emit: Emit | None = None) -> list[Result]:
        """See Session. A row that fails is tried apart from its neighbours."""
        if self._loaded is None:
            _check(self.config)
            self._loaded = (self._load or _loader())(self.config, report=self._report)
        try:
            found: list[Result] = tasks.get(self.config.task).answer(self._loaded, self.config, records, emit=emit)
        except ROW_ERRORS as error:
            if len(records) == 1:
                return [failed(records[0], error, model=self.model)]
            half = len(records) // 2
            return self.answer(records[:half]) + self.answer(records[half:])
        return found

    def close(self) -> None:
        """See Session."""


def local(request: Request, *, report: Preparing) -> Local:
    """A session in this process. Raises ConfigError, ModelError."""
    from llmcli.run import resolve

    run = resolve.resolve(request.task, request.flags, offline=request.offline, report=report)
    report.introduce(run.model.name, run.model.introduction)
    return Local(run, report=report)


def _loader() -> Load:
    from llmcli.pipelines.load import load

    return load


def _check(config: RunConfig) -> None:
    """Refuse a task that the model cannot do."""
    if not config.model.able(config.task, labels=bool(config.settings.labels)):
        raise ModelError(
            f"{config.model.name} cannot do {config.task}",
            code="wrong-task",
            hint=f"it can do {config.model.abilities}; give another --model",
        )


def run(
    session: Session, records: Iterator[Record], *, journal: Journal | None = None, emit: Emit | None = None
) -> Iterator[Result]:
    """One result a record, in order; a bad record gives an error result in its place.

    Rows that the journal holds are not run again; new ones are in it before they are yielded.
    """
    seed = session.seed if session.seed is not None or journal is None else journal.seed
    # Who neither resumes nor draws needs no row told from its equals.
    seen = Seen() if journal is not None or seed is not None else None
    for window in windows(records, size=session.window):
        results = [failed(record, record.error, model=session.model) if record.error else None for record in window]
        keys = [_key(record, seen) if seen and not record.error else "" for record in window]
        if journal:
            results = [found or (journal.find(key, record) if key else None)
                       for found, key, record in zip(results, keys, window, strict=True)]  # fmt: skip
        new = [place for place, found in enumerate(results) if found is None]
        seeded = [replace(window[place], seed=_seed(seed, keys[place])) for place in new]
        answers = session.answer(seeded, emit=emit if len(window) == 1 else None) if seeded else []
        if journal:
            journal.add([keys[place] for place in new], answers)
        for place, answer in zip(new, answers, strict=True):
            results[place] = replace(answer, record=window[place])
        yield from (result for result in results if result is not None)


def windows(records: Iterator[Record], *, size: int) -> Iterator[list[Record]]:
    """Rows by place in the input, so that a resumed run makes the same batches; fewer where input has to be awaited."""
    window: list[Record] = []
    for record in records:
        window.append(record)
        if len(window) == size or record.last:
            yield window
            window = []
    if window:
        yield window


def _key(record: Record, seen: Seen) -> str:
    """What finds a row again in a changed input: its id, if it has one, its text, and which of equals it is."""
    own = f"{type(record.id).__name__}:{record.id}" if record.named else ""
    import hashlib

    content = "\0".join([own, record.text, *(str(record.fields.get(name, "")) for name in ("question", "context"))])
    digest = hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
    return f"{digest}:{seen.count(digest)}"


def _seed(seed: int | None, key: str) -> int | None:
    """A seed of the row's own, the same wherever the row stands."""
    if seed is None:
        return None
    import hashlib

    return int.from_bytes(hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=4).digest(), "big")
