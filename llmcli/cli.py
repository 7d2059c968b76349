"""The command line: finds the tasks, runs them, and is the one place where errors end."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from llmcli import __version__, tasks
from llmcli.errors import InputError, LlmcliError, OutputError, RowsFailed, UsageError
from llmcli.options import Request, flatten
from llmcli.output import say
from llmcli.parsing import Command, Group

if TYPE_CHECKING:
    from llmcli.output import Writer
    from llmcli.progress import Rows
    from llmcli.records import Result


def main() -> NoReturn:
    """Run the command line; exits by code, or by the real signal."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = application(sys.argv[1:2])(prog_name="llmcli", standalone_mode=False)
        _flush()
    except (KeyboardInterrupt, typer.Abort):
        die(signal.SIGINT)
    except (Terminated, BrokenPipeError) as error:
        die(signal.SIGTERM if isinstance(error, Terminated) else signal.SIGPIPE)
    except typer.TyperException as error:
        code = _report(_usage(error))
    except LlmcliError as error:
        code = _report(error)
    except SystemExit as error:
        # Typer ends so, with 1, where a pipe closed while it printed help.
        if error.code == 1:
            die(signal.SIGPIPE)
        code = error.code
    except Exception as error:
        code = _report(LlmcliError(f"{type(error).__name__}: {error}", hint="run again with --debug, and report it"))
    if code == 128 + signal.SIGINT:
        die(signal.SIGINT)
    # What could not be flushed must not be tried again at the interpreter's exit.
    _quit(code if isinstance(code, int) else 0)


class Terminated(BaseException):
    """SIGTERM came: like KeyboardInterrupt, it lets what is open be closed."""


def _terminate(number: int, frame: object) -> NoReturn:
    raise Terminated


def _quit(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os._exit(code)
    sys.exit(code)


def _flush() -> None:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output: {error.strerror}", code="write") from error


def die(number: signal.Signals) -> NoReturn:
    """End by the signal itself, so that a shell loop stops with us."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def _usage(error: Any) -> UsageError:
    context = getattr(error, "ctx", None)
    hint = f"see {context.command_path} --help" if context else ""
    return UsageError(error.format_message() if hasattr(error, "format_message") else str(error), hint=hint)


def _report(error: LlmcliError) -> int:
    if "--debug" in sys.argv:
        import traceback

        traceback.print_exc()
    say(error.line())
    return error.exit_code


def execute(request: Request) -> int:
    """Run a task's request, and give the exit code. Errors of the whole run are raised."""
    from llmcli import journal, progress, readers, runner
    from llmcli.output import Writer
    from llmcli.worker import client

    if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    output = request.output
    total = readers.count(request) if request.batch and not output.quiet else None
    with contextlib.ExitStack() as stack:
        report = stack.enter_context(progress.preparing(quiet=output.quiet, bar=not output.no_progress))
        session = stack.enter_context(contextlib.closing(client.session(request, report=report)))
        kept = journal.place(request)
        done = None
        if kept is not None:
            done = stack.enter_context(journal.Journal(kept, request=request, fingerprint=session.fingerprint))
        with (
            progress.Rows(total=total, quiet=output.quiet or not request.batch, bar=not output.no_progress) as rows,
            Writer(request) as writer,
        ):
            emit = writer.emit if writer.streams and not request.batch else None
            for result in runner.run(session, readers.read(request), journal=done, emit=emit):
                _one(request, result, rows, writer)
            if not rows.rows:
                raise InputError("the input is empty", code="empty")
        if done is not None:
            done.complete()
    return _closed(request, rows, writer)


def _one(request: Request, result: Result, rows: Rows, writer: Writer) -> None:
    """Write one result; raise where it ends the run."""
    if result.error and not request.batch:
        raise result.error
    rows.count(result)
    writer.write(result)
    if request.output.max_errors is not None and rows.failed >= request.output.max_errors:
        raise RowsFailed(f"halted after {rows.failed} failed rows, {rows.rows} rows in all", code="max-errors",
                         hint="--resume goes on" if request.output.output else "")  # fmt: skip


def _closed(request: Request, rows: Rows, writer: Writer) -> int:
    output = request.output
    if request.batch and not output.quiet and (output.output or (sys.stderr is not None and sys.stderr.isatty())):
        say(f"llmcli: {rows.summary(output.output or 'standard output')}")
    if writer.unsure and writer.unsure.found and not output.quiet:
        say(f"llmcli: {writer.unsure.found} unsure rows in {writer.unsure.target}")
    if rows.failed:
        hint = "--retry-failed runs them again" if output.output else ""
        raise RowsFailed(f"{rows.failed} of {rows.rows} rows failed", hint=hint)
    return 1 if writer.sought is not None and not writer.found else 0


def _command(command: Callable[..., Request]) -> Callable[..., int]:
    @functools.wraps(command)
    def run(**values: Any) -> int:
        try:
            return execute(command(**values))
        except BrokenPipeError:
            die(signal.SIGPIPE)

    return run


def _version(show: bool) -> None:
    if show:
        typer.echo(f"llmcli {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Language models on text: a Unix filter over Hugging Face checkpoints."""


def application(first: list[str]) -> typer.Typer:
    """The commands of the command line; where its ``first`` word is a task, that task alone, which is quicker."""
    app = typer.Typer(
        name="llmcli",
        cls=Group,
        help="Language models on text: a Unix filter over Hugging Face checkpoints.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog='Example: cat article.txt | llmcli summarize  ·  llmcli sentiment "I loved it"',
    )
    app.callback()(_root)
    names = tasks.names()
    alone = [name for name in names if [name] == first]
    for name in alone or names:
        command = tasks.get(name).command
        app.command(name, cls=Command, help=inspect.cleandoc(command.__doc__))(_command(flatten(command)))
    if not alone:
        from llmcli import models_app, settings
        from llmcli.worker import commands

        app.add_typer(models_app.app, name="models")
        app.add_typer(settings.app, name="config")
        app.add_typer(commands.app, name="worker")
    return app
