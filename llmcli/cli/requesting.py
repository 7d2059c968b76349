"""``--requests FILE``: what a run would ask of a server, written to files; nobody is asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from llmcli import tasks
from llmcli.errors import WAITING, InputError, RowsFailed, UsageError, shown
from llmcli.reports import RowErrors, say
from llmcli.run import runner
from llmcli.run.journal import Journal
from llmcli.run.session import Local

if TYPE_CHECKING:
    from llmcli.cli.progress import Preparing, Rows
    from llmcli.config.run_config import AnyConfig, RunOptions
    from llmcli.data.inputs import InputFile
    from llmcli.pipelines.protocol import Model
    from llmcli.remote.files import RequestFiles
    from llmcli.reports import Report
    from llmcli.run.records import Record, Result


class Earlier(Journal):
    """A journal that is read, and not added to."""

    def add(self, keys: Sequence[str], results: Sequence[Result]) -> None:
        """Nothing is done that was not done before."""


def write(run: RunOptions[Any], report: Preparing, files: Sequence[InputFile]) -> int:
    """Write the requests of all rows that have no answer yet; gives the exit code.

    Raises RowsFailed where rows cannot be asked for: a row that is none, a text that is too long.
    """
    from llmcli.cli import progress, totals
    from llmcli.config import places
    from llmcli.config.run_config import RunConfig, plain, real
    from llmcli.data import readers
    from llmcli.remote.files import RequestFiles

    assert isinstance(run, RunConfig)  # no worker has a part in it
    assert run.output.requests is not None  # it is what this is for
    target = places.absolute(run.output.requests)
    if not plain(run.output.requests) or target.is_dir():
        raise UsageError(f"--requests: {shown(target)} is no file", hint="give a file's name")
    requests, errors = RequestFiles(real(target)), RowErrors()
    total = readers.count(run, files) if run.batch and not run.output.quiet else None
    try:
        with progress.Rows(report, total=total, quiet=run.output.quiet, batch=run.batch) as rows:
            for result in _results(run, rows.reading(_some(readers.read(run, files))), requests, report):
                if result.error is not None and result.error.code == WAITING:
                    continue
                if result.error is not None and not result.resumed:
                    errors.say(result.error)
                rows.count(result)
                totals.check(run, result, rows)
    except BaseException:
        requests.close(whole=False)
        raise
    errors.close()
    requests.close(whole=True)
    return _told(run, rows, requests)


def _some(records: Iterator[Record]) -> Iterator[Record]:
    """The records. Raises InputError where there is none; of those that there are, all may have their answer."""
    if (first := next(records, None)) is None:
        raise InputError("the input is empty", code="empty")
    yield from chain([first], records)


def _results(run: AnyConfig, records: Iterator[Record], requests: RequestFiles, report: Report) -> Iterator[Result]:
    """A result a row, or a piece of a document: that of the journal, that of a response, or none yet."""
    from llmcli.remote import opening

    def load(config: AnyConfig, *, report: Report) -> Model:
        return opening.from_files(config, requests)

    task = tasks.get(run.task)
    session = Local(task, run, report=report, load=load)
    assembly = task.assemble(run)
    if assembly is not None and not assembly.journaled:
        raise UsageError("--requests: this asks no model anything", hint="leave it away")
    with contextlib.ExitStack() as stack:
        journal = None
        if (run.output.resume or run.output.retry_failed) and run.journal is not None and run.journal.exists():
            journal = stack.enter_context(Earlier(run.journal, output=run.output, fingerprint=session.fingerprint))
        pieces = records if assembly is None else assembly.split(records)
        yield from runner.run(session, pieces, journal=journal, row_fields=task.row_fields)


def _told(run: AnyConfig, rows: Rows, requests: RequestFiles) -> int:
    """Say what was written, and what of an earlier run lies beside it."""
    if not run.output.quiet:
        done = f"; {rows.rows - rows.failed:,} rows have an answer" if rows.rows > rows.failed else ""
        say(f"llmcli: {requests.count:,} requests in {', '.join(map(shown, requests.paths))}{done}")
    if requests.next.exists():
        say(f"llmcli: {shown(requests.next)} is none of them: an earlier run left it")
    if rows.failed_anew:
        raise RowsFailed(f"{rows.failed_anew} rows cannot be asked for")
    return 0
