"""One run of a task: rows in, answers out, the journal between; its exit code."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from llmcli import tasks
from llmcli.cli import progress, signals, totals
from llmcli.data import inputs, readers, targets
from llmcli.data.writer import Writer
from llmcli.errors import InputError
from llmcli.run import runner, sharding
from llmcli.run.journal import Journal

if TYPE_CHECKING:
    from llmcli.cli.cost import Cost, Meter
    from llmcli.cli.progress import Preparing, Rows
    from llmcli.config.run_config import RunOptions
    from llmcli.data.inputs import InputFile
    from llmcli.run.records import Record, Result
    from llmcli.run.session import Session
    from llmcli.worker.client import Opened


def execute(open_session: Callable[[Preparing], Opened], asked: Mapping[str, Any]) -> int:
    """Run a task, and give the exit code. Errors of the whole run are raised.

    ``asked``: the command line's options, which hold until all settings are resolved.
    """
    if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    with contextlib.ExitStack() as stack:
        report = stack.enter_context(progress.preparing(asked))
        opened = open_session(report)
        run, session = opened.run, stack.enter_context(contextlib.closing(opened.session))
        report.settle(quiet=run.output.quiet, bar=not run.output.no_progress, verbose=run.output.verbose)
        if run.cluster.cluster is not None:
            from llmcli.cli import clustered

            return clustered.execute(run, session, report)
        meter = _meter(run)
        aside = targets.aside(run, tasks.get(run.task))
        files = inputs.listed(run, aside=aside)
        targets.check(run, files, aside=aside)
        if run.output.requests is not None:
            from llmcli.cli import requesting

            return requesting.write(run, report, files)
        rows, writer = _Answering(run, session, files, report, meter, stack).written()
    return totals.closed(run, rows, writer, _cost(meter, rows, session) if meter else None)


def _meter(run: RunOptions[Any]) -> Meter | None:
    if not run.output.cost:
        return None
    from llmcli.cli.cost import Meter

    return Meter()


def _cost(meter: Meter, rows: Rows, session: Session) -> Cost:
    return meter.cost(input_tokens=rows.input_tokens, output_tokens=rows.output_tokens, pid=session.pid)


@dataclass(frozen=True)
class _Answering:
    """The rows of a run, on their way from its files to its output. What it holds ends with ``stack``."""

    run: RunOptions[Any]
    session: Session
    files: Sequence[InputFile]
    report: Preparing
    meter: Meter | None
    stack: contextlib.ExitStack

    def written(self) -> tuple[Rows, Writer]:
        """Answer all rows, and write the results. Raises InputError where there is none."""
        run, task = self.run, tasks.get(self.run.task)
        assembly = task.assemble(run)
        total = self._total()
        journal = self._journal() if assembly is None or assembly.journaled else None
        with (
            progress.Rows(self.report, total=total, quiet=run.output.quiet, batch=run.batch,
                          earlier=journal.finished if journal else 0) as rows,
            Writer(run, task) as writer,
        ):  # fmt: skip
            answer = partial(runner.run, self.session, journal=journal, row_fields=task.row_fields)
            emit = writer.emit if writer.streams and not run.batch else None
            records = self._records(rows, journal)
            if assembly is None:
                results = answer(records, emit=emit)
            else:  # its pieces are not what is shown
                results = assembly.join(rows.passing(answer(assembly.split(records))), emit=emit)
            for result in task.select(run, totals.counted(run, results, rows)):
                writer.write(self._priced(result, rows))
            if not rows.rows and not run.shard:
                raise InputError("the input is empty", code="empty")
        if journal is not None:
            journal.complete(keep=run.batch)
        return rows, writer

    def _total(self) -> int | None:
        """How many rows there are, about; None where nobody is told, or it is not known."""
        total = readers.count(self.run, self.files) if self.run.batch and not self.run.output.quiet else None
        return round(total / self.run.shard.of) if total and self.run.shard else total

    def _records(self, rows: Rows, journal: Journal | None) -> Iterator[Record]:
        run = self.run
        records = readers.read(run, self.files)
        if run.shard is not None:
            records = sharding.part(records, run.shard, tasks.get(run.task).row_fields)
        records = rows.reading(records)
        if journal is None:
            return records
        patience = signals.Patience(idle=lambda: self.report.busy, last_words=rows.saved, quiet=run.output.quiet)
        return self.stack.enter_context(patience).between(records)

    def _journal(self) -> Journal | None:
        """The journal of a run that keeps one, until the stack is left."""
        run = self.run
        if run.journal is None:
            return None
        if run.shard is None:
            return self._opened(run)
        from llmcli.cluster import shards

        shards.claim(run, run.shard)
        journal = self._opened(run)
        shards.note(run, run.shard)
        return journal

    def _opened(self, run: RunOptions[Any]) -> Journal:
        assert run.journal is not None  # see _journal
        journal = Journal(run.journal, output=run.output, fingerprint=self.session.fingerprint)
        return self.stack.enter_context(journal)

    def _priced(self, result: Result, rows: Rows) -> Result:
        """A single text's result, with its cost where that is asked for."""
        if self.meter is not None and not self.run.batch:
            result.fields["cost"] = _cost(self.meter, rows, self.session).as_json()
        return result
