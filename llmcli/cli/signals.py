"""How INT and TERM end the program: by the signal itself, so that a shell loop stops with it; no exception is raised.

An exception that a signal raises can surface in any line of any library: it is swallowed there, or breaks an import
in the middle. So the system ends the program at once; all that is on the disk outlives that. Only a batch with a
journal waits, for the rows in work.

Imported before all else: nothing but ``os`` and ``signal`` is imported here.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn, Self, TypeVar

    T = TypeVar("T")

ENDING = (signal.SIGINT, signal.SIGTERM)
GRACE = 30.0
"""Seconds that the rows in work have after the first signal."""
_heard: list[signal.Signals] = []


def end_at_once() -> None:
    """Let the system end the program on a signal; one that the parent has it ignore stays ignored (``nohup``)."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def die(number: signal.Signals) -> NoReturn:
    """End by the signal itself."""
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def settle() -> None:
    """End by the signal that came while the last rows were written."""
    if _heard:
        die(_heard[0])


class _Hearing:
    """A context in which signals that would end the program are heard; one that was ignored stays so."""

    def __enter__(self) -> Self:
        for number in ENDING:
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        end_at_once()

    def _hear(self, number: int, frame: object) -> None:
        """The first signal, or a later one."""


class Patience(_Hearing):
    """A context in which the first signal waits for the rows in work, and the second ends the program at once.

    ``idle``: whether nothing would be lost now. ``last_words``: what to say at the end, if anything.
    """

    def __init__(self, *, idle: Callable[[], bool], last_words: Callable[[], str], quiet: bool) -> None:
        self._idle, self._last_words, self._quiet = idle, last_words, quiet
        self._between = True

    def between(self, records: Iterator[T]) -> Iterator[T]:
        """The records. Whoever asks for the next one has kept all results so far: there a signal ends the program."""
        while True:
            self._between = True
            if _heard:
                self._end()
            record = next(records, None)
            self._between = False
            if record is None:
                return
            yield record

    def _hear(self, number: int, frame: object) -> None:
        end_at_once()  # the next one is not waited for
        _heard.append(signal.Signals(number))
        if self._between or self._idle() or len(_heard) > 1:
            self._end()
        if not self._quiet:
            _write("llmcli: stopping after the rows in work; once more: at once")
        signal.signal(signal.SIGALRM, lambda *_: self._end())
        signal.setitimer(signal.ITIMER_REAL, GRACE)

    def _end(self) -> NoReturn:
        if not self._quiet and (words := self._last_words()):
            _write(f"llmcli: {words}")
        die(_heard[0])


class Stopping(_Hearing):
    """A context in which the first signal asks a long work to end with what it has; the second ends the program.

    Before the work has asked whether it is to end, it has nothing yet: then the first one ends the program. It ends by
    the signal all the same, once the work is done: see :func:`settle`.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._patient = quiet, False

    def asked(self) -> bool:
        """Whether it is to end."""
        self._patient = True
        return bool(_heard)

    def _hear(self, number: int, frame: object) -> None:
        end_at_once()  # the next one is not waited for
        _heard.append(signal.Signals(number))
        if not self._patient:
            die(_heard[0])
        if not self._quiet:
            _write("llmcli: ending with the best so far; once more: at once")


class Leaving(_Hearing):
    """A context in which the first signal is only noted: who leaves it ends by :func:`settle`. The second ends at once.

    Handlers that a library has set meanwhile are replaced.
    """

    def __enter__(self) -> Self:
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._hear)
        return self

    def asked(self) -> bool:
        """Whether it is time to leave."""
        return bool(_heard)

    def _hear(self, number: int, frame: object) -> None:
        end_at_once()
        _heard.append(signal.Signals(number))


def _write(line: str) -> None:
    """A line on stderr, past Python's buffer: the program may be just writing into that."""
    import contextlib

    erased = "\r\x1b[K" if os.isatty(2) else ""
    with contextlib.suppress(OSError):
        os.write(2, f"{erased}{line}\n".encode())
