"""The program: asks for a command line's request, runs it, and is the one place where errors end."""

from __future__ import annotations

import errno
import os
import signal
import sys

from llmcli.cli import signals
from llmcli.cli.signals import die

TYPE_CHECKING = False  # typing itself is not imported before main() has begun
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    from llmcli.cli.progress import Preparing
    from llmcli.errors import LlmcliError
    from llmcli.worker.client import Opened


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where there is no room."""
COMPLETED = ("complete_bash", "complete_zsh", "complete_fish")
"""What the scripts of shells ask for."""


def main() -> NoReturn:
    """Run the command line; exits by code, or by the real signal."""
    signals.end_at_once()
    _open_closed()
    from llmcli.errors import LlmcliError

    try:
        code: int | str | None = _run(sys.argv[1:])
        _flush()
    except KeyboardInterrupt:  # Typer's way to say that it was aborted
        die(signal.SIGINT)
    except BrokenPipeError:
        die(signal.SIGPIPE)
    except LlmcliError as error:
        code = _report(error)
    except SystemExit as error:
        # Typer ends so, with 1, where a pipe closed while it printed help.
        if error.code == 1:
            die(signal.SIGPIPE)
        code = error.code
    except Exception as error:
        code = _report(_unforeseen(error))
    # What could not be flushed must not be tried again at the interpreter's exit.
    _quit(code if isinstance(code, int) else 0)


def _open_closed() -> None:
    """Put /dev/null where a standard stream is closed: a file opened there would get what a C library prints.

    Python's own stream stays None: it says that nothing can be read, or written, there.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest number that is free


def _unforeseen(error: Exception) -> LlmcliError:
    """A full disk, wherever it was met; anything else is a bug."""
    from llmcli.errors import LlmcliError, OutputError, shown

    if isinstance(error, OSError) and error.errno in FULL:
        place = shown(error.filename) if error.filename else "a file"
        return OutputError(f"{place}: {error.strerror}", code="write", hint="free some room")
    return LlmcliError(f"{type(error).__name__}: {error}", hint="run again with --debug, and report it")


def _run(arguments: list[str]) -> int:
    """Run a command line. A worker that runs has it parsed already, and its code imported."""
    from functools import partial

    if os.environ.get("_LLMCLI_COMPLETE") in COMPLETED:
        from llmcli.cli import completion

        return completion.run(os.environ)
    from llmcli import tasks
    from llmcli.worker import client

    lost: client.Lost | None = None
    if arguments and arguments[0] in tasks.names():
        asked = client.ask(arguments)
        if isinstance(asked, client.Reply):
            return execute(partial(client.attach, asked))
        lost = asked
    from llmcli.cli import app

    parsed = app.parse(arguments)
    if not isinstance(parsed, int):
        return execute(partial(client.open_session, parsed, lost=lost), asked=parsed.options)
    if sys.stdout is None:
        from llmcli.errors import OutputError

        raise OutputError("standard output is closed", code="closed")
    return parsed


def _quit(code: int) -> NoReturn:
    import gc

    signals.settle()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os._exit(code)
    gc.freeze()  # a last search for garbage, behind a model, takes a second
    sys.exit(code)


def _flush() -> None:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        from llmcli.errors import OutputError

        raise OutputError(f"standard output: {error.strerror}", code="write") from error


def _report(error: LlmcliError) -> int:
    from llmcli.reports import say

    if "--debug" in sys.argv:
        import traceback

        say(traceback.format_exc().rstrip())
    say(error.line())
    return error.exit_code


def execute(open_session: Callable[[Preparing], Opened], *, asked: Mapping[str, Any] | None = None) -> int:
    """Run a task, and give the exit code. Raises the errors of the whole run. ``asked``: the command line's options."""
    from llmcli.cli import running

    return running.execute(open_session, asked or {})
