"""What a task declares: its options, how it answers, and how its results look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from llmcli.run.fields import Field
from llmcli.run.records import Record, Result

if TYPE_CHECKING:
    from llmcli.config.run_config import RunConfig, RunOptions
    from llmcli.pipelines.protocol import Emit, Model
    from llmcli.text.painted import Span

OptionsT = TypeVar("OptionsT")


class Answer(Protocol[OptionsT]):
    """Gives one result a record, in order. It never prints, never exits, and raises ROW_ERRORS for a row of its own."""

    def __call__(
        self, model: Model, config: RunConfig[OptionsT], records: Sequence[Record], *, emit: Emit | None = None
    ) -> list[Result]:
        """``emit`` hears the text of a lone record as it is made."""


class Assembly(Protocol):
    """Takes what is read apart into the pieces that a session answers, and puts their answers together.

    ``journaled``: whether the pieces' answers are worth keeping.
    """

    journaled: bool

    def split(self, records: Iterator[Record]) -> Iterator[Record]:
        """The pieces of all records, in order. A record that cannot be used is passed on."""

    def join(self, results: Iterator[Result], *, emit: Emit | None = None) -> Iterator[Result]:
        """A result for each record that was split, of one result a piece. ``emit`` hears a lone one as it is made."""


def _whole(run: RunOptions[Any]) -> Assembly | None:
    return None


def _never(result: Result) -> bool:
    return False


@dataclass(frozen=True)
class Routes:
    """Which results are written, where, and in which form.

    ``seeks``: the run looks for rows: those that fail have no line of text, and the exit code is 1 where none is
    written. ``texts``: text mode prints the input's rows. ``rows``: in every format they go out as they came, unless
    JSON is asked for.
    """

    drops: Callable[[Result], bool] = _never
    sets_aside: Callable[[Result], bool] = _never
    aside: Path | None = None
    seeks: bool = False
    texts: bool = False
    rows: bool = False
    refuses: Callable[[Result], bool] = _never
    """Results that make the run's answer no: exit code 1."""


def _as_it_is(config: RunConfig[OptionsT]) -> RunConfig[OptionsT]:
    return config


def _as_given(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return settings


def _no_routes(run: RunOptions[Any]) -> Routes:
    return Routes()


def _all(run: RunOptions[Any], results: Iterator[Result]) -> Iterator[Result]:
    return results


def _silent(options: Any) -> bool:
    return False


def _nothing(result: Result) -> str:
    return ""


def _unpainted(result: Result) -> Sequence[Span]:
    return ()


def _text(result: Result, options: Any) -> str:
    return str(result.fields["text"])


@dataclass(frozen=True)
class Task(Generic[OptionsT]):
    """A task. ``help`` is the text of its ``--help``, ``options`` the dataclass of its own options.

    ``fields`` are those of its results, in their order. ``row_fields`` are the fields of a row that decide its answer
    besides the text.
    """

    name: str
    help: str
    options: type[OptionsT]
    answer: Answer[OptionsT]
    fields: tuple[Field, ...]
    row_fields: tuple[str, ...] = ()
    window: int = 32
    """How many rows it takes at a time: enough for full batches, few enough to show and keep them often."""
    writes: bool = True
    """Whether it generates text: then it takes the options of generation."""
    labels: bool = False
    """Whether it puts labels on texts, which a classifier can do."""
    documents: bool = False
    """Whether a text is a document, of which some spans change."""
    assemble: Callable[[RunOptions[OptionsT]], Assembly | None] = _whole
    """What takes the records of a run apart, if they are."""
    instead: Mapping[str, tuple[Field, ...]] = field(default_factory=dict)
    """Options that ask for something else than the task's answer, and the fields of its results."""
    combine: bool = False
    """Whether standard input and TEXT make one prompt."""
    read: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _as_given
    """Reads the files that the flags name: they may be pipes that this process alone has."""
    prepare: Callable[[RunConfig[OptionsT]], RunConfig[OptionsT]] = _as_it_is
    """Settles what depends on several settings. Raises UsageError for those that make no sense together."""
    routes: Callable[[RunOptions[OptionsT]], Routes] = _no_routes
    select: Callable[[RunOptions[OptionsT], Iterator[Result]], Iterator[Result]] = _all
    """What a run gives of all its results, and in which order: for a task whose rows are compared with each other."""
    array: str = ""
    """The field that ``-o NAME.npy`` makes an array of: a list of numbers."""
    text: Callable[[Result, OptionsT], str] = _text
    """What text mode prints of a result."""
    context: Callable[[Result], str] = _nothing
    """What a terminal shows besides, dimmed."""
    painted: Callable[[Result], Sequence[Span]] = _unpainted
    """What a terminal shows below a result in colours, and a picture draws."""
    draws: Callable[[OptionsT], bool] = _silent
    """Whether ``-o NAME.svg`` is a picture of what is painted."""
    streams: Callable[[OptionsT], bool] = _silent
    """Whether the pieces of a lone answer may be printed as they come."""
    one_line: bool = False
    """Whether a result is a label, printed behind its place and not below it."""

    def columns(self, options: OptionsT) -> list[str]:
        """The fields of its results, as columns of a table."""
        asked = (fields for option, fields in self.instead.items() if getattr(options, option, None))
        return [field.name for field in next(asked, self.fields)
                if (getattr(options, field.option, None) if field.option else not field.when)]  # fmt: skip
