"""The files of a translation besides its texts: a glossary, a memory, a translation to check."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmcli.config import places, whole_file
from llmcli.config.run_config import ending
from llmcli.data import rendering
from llmcli.errors import InputError, LlmcliError, OutputError, UsageError, shown
from llmcli.run.records import Record, Result, decode, failed, original
from llmcli.run.task import Assembly
from llmcli.tasks._documents import Documents
from llmcli.text import comparing, documents, languages, memory, protected
from llmcli.text import glossary as terms
from llmcli.text.memory import Memory

if TYPE_CHECKING:
    from llmcli.config.run_config import RunOptions
    from llmcli.pipelines.protocol import Emit


def assemble(run: RunOptions[Any], *, target: str) -> Assembly | None:
    """What takes the records of a run apart; None where its rows are answered as they are. ``target``: as asked for."""
    options = run.options
    if options.detect:
        return Alone(_detected)
    if options.check:
        return Alone(Checking(run, _needed(target)))
    if run.format != "text" and options.memory is None:
        return None
    kept = Remembering(Path(options.memory), run, _needed(target)) if options.memory is not None else None
    return Documents(run, target=target, strict=options.strict, remembered=kept)


def _needed(target: str) -> str:
    if not target:
        raise UsageError("no target language", hint="give --to LANG, for example --to fr")
    return target


def _read(path: Path) -> str:
    try:
        return decode(path.read_bytes()).removeprefix("\ufeff")
    except OSError as error:
        unreadable = InputError(error.strerror or str(error), code="unreadable")
        unreadable.where = shown(path)
        raise unreadable from error
    except InputError as error:
        error.where = error.where or shown(path)
        raise


def terms_of(path: Path) -> list[str]:
    """The terms of a glossary, as --term has them. Raises InputError."""
    path = places.absolute(path)
    text = _read(path)
    try:
        found = terms.parse(text, delimiter="," if ending(path) == ".csv" else "\t")
        return [f"{term.source}\t{term.target}" for term in found]
    except InputError as error:
        error.where = shown(path)
        raise


class Remembering:
    """A memory in a file; see :class:`llmcli.tasks._documents.Remembered`."""

    def __init__(self, path: Path, run: RunOptions[Any], target: str) -> None:
        named = run.options.from_
        source = languages.parse(named) if named not in (None, "auto") else ""
        self.memory = Memory(source, target)
        self._path = path
        if ending(path) not in (".tmx", ".tsv"):
            raise UsageError(f"{shown(path)}: a memory is a .tmx or a .tsv file")
        if not path.parent.is_dir():  # known before the work, not behind it
            raise OutputError(f"{shown(path)}: {os.strerror(errno.ENOENT)}", code="write")
        self._before = _read(path) if path.exists() else ""
        try:
            if ending(path) == ".tmx" and self._before:
                memory.read_tmx(self._before, self.memory)
            elif self._before:
                memory.read_tsv(self._before, self.memory)
        except InputError as error:
            error.where = shown(path)
            raise

    def close(self) -> None:
        """See Remembered."""
        if not self.memory.added:
            return
        if ending(self._path) == ".tmx":
            text = memory.tmx(self.memory, self._before)
        else:
            gap = "\n" if self._before and not self._before.endswith("\n") else ""
            text = self._before + gap + memory.tsv_lines(self.memory)
        whole_file.write(self._path, text)


class Alone:
    """Has records answered without a model, by ``answer``: see :class:`llmcli.run.task.Assembly`."""

    journaled = False

    def __init__(self, answer: Callable[[Record], Result]) -> None:
        self._answer = answer
        self._records: Iterator[Record] = iter(())

    def split(self, records: Iterator[Record]) -> Iterator[Record]:
        """See Assembly: there are no pieces."""
        self._records = records
        return iter(())

    def join(self, results: Iterator[Result], *, emit: Emit | None = None) -> Iterator[Result]:
        """See Assembly."""
        yield from results  # none
        for record in self._records:
            try:
                if record.error is not None:
                    raise record.error
                yield self._answer(record)
            except LlmcliError as error:
                yield failed(record, error, model="")


def _detected(record: Record) -> Result:
    """Which language a text is in."""
    found = languages.told(record.text, list(languages.COMMON))
    return Result(record.id, {"language": found.code, "probability": found.probability}, record=record)


class Checking:
    """Compares texts with translations of theirs that somebody made. Raises UsageError for rows."""

    def __init__(self, run: RunOptions[Any], target: str) -> None:
        self._run, self._target = run, target
        if run.format != "text":
            raise UsageError("--check is for files", hint="give -i FILE --against FILE")

    def __call__(self, record: Record) -> Result:
        """The faults of a text's translation. Raises InputError."""
        options = self._run.options
        against: Path = Path(options.against)
        if against.is_dir():
            name = record.within or Path("stdin")
            against = against / rendering.file_name(name, "text", suffix=self._run.output.suffix)
        other = _read(against)
        source, text = options.from_, original(record)
        name_of = record.path or against
        kind = self._run.document or documents.format_of(name_of.name) or "text"
        known = languages.parse(source) if source not in (None, "auto") else languages.detect(
            text, list(languages.COMMON))  # fmt: skip
        compared = comparing.Comparison(kind, known, languages.base(self._target), protected.kept(options.keep),
                                        terms.given(options.term))  # fmt: skip
        faults = [asdict(fault) for fault in compared.faults(text.removeprefix("\ufeff"), other)]
        return Result(record.id, {"checks": faults, "segments": compared.segments}, record=record)


def listed(result: Result) -> str:
    """The faults of a translation, a line each."""
    where = result.record.where if result.record else ""
    return "\n".join(f"{where}:{fault['line']}: {fault['check']}: {fault['message']}"
                     for fault in result.fields["checks"])  # fmt: skip
