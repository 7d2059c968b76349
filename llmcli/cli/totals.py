"""What is counted of a run's rows, what is said of them in the end, and the exit code that they give."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from llmcli.errors import RowsFailed, shown
from llmcli.reports import say

if TYPE_CHECKING:
    from llmcli.cli.cost import Cost
    from llmcli.cli.progress import Rows
    from llmcli.config.run_config import RunOptions
    from llmcli.data.writer import Writer
    from llmcli.run.records import Result


def counted(run: RunOptions[Any], results: Iterator[Result], rows: Rows) -> Iterator[Result]:
    """All results; raise where one ends the run: rows that failed in an earlier one do not."""
    for result in results:
        if result.error and not run.batch:
            raise result.error
        rows.count(result)
        yield result
        check(run, result, rows)


def check(run: RunOptions[Any], result: Result, rows: Rows) -> None:
    """Raise RowsFailed where a result that was counted is one error too many: the run halts."""
    limit = run.output.max_errors
    if limit is not None and rows.failed_anew >= limit and not result.resumed:
        raise RowsFailed(f"halted after {rows.failed_anew} failed rows, {rows.rows} rows in all", code="max-errors",
                         hint="--resume goes on" if run.journal else "")  # fmt: skip


def closed(run: RunOptions[Any], rows: Rows, writer: Writer, cost: Cost | None = None) -> int:
    """Say what was done, and give the exit code. Raises RowsFailed where rows failed."""
    output = run.output
    if run.batch and not output.quiet and (output.output or (sys.stderr is not None and sys.stderr.isatty())):
        say(f"llmcli: {rows.summary(shown(output.output) if output.output else 'standard output')}")
    if cost is not None and not output.quiet:
        say(f"llmcli: {cost.line()}")
    if writer.set_aside and writer.aside and not output.quiet:
        say(f"llmcli: {writer.set_aside} unsure rows in {shown(writer.aside)}")
    if rows.failed:
        hint = "--retry-failed runs them again" if run.journal else ""
        raise RowsFailed(f"{rows.failed} of {rows.rows} rows failed", hint=hint)
    if rows.unsound:
        raise RowsFailed(f"{rows.unsound} segments failed their checks, and are as they were", code="checks")
    return 1 if writer.refused or (writer.seeks and not writer.asked) else 0
