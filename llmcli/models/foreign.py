"""Libraries that are called on a stranger's files and texts: what they raise, and what they print."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

from llmcli.errors import LlmcliError, one_line

LONGEST = 200
"""The most characters of a library's own words."""
LIBRARIES = ("torch", "transformers", "tokenizers")


def failure(error: BaseException) -> bool:
    """Whether a library failed, rather than that somebody wants this process to stop.

    A panic in Rust is a BaseException, as KeyboardInterrupt is: ``except Exception`` would miss it.
    """
    return isinstance(error, Exception) or type(error).__module__ == "pyo3_runtime"


def within(error: BaseException) -> bool:
    """Whether it was raised by Python code of the libraries that run models, and not by llmcli's own."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return str(name).partition(".")[0] in LIBRARIES


def reason(error: BaseException | str) -> str:
    """A library's own words: the first line, on one line, cut, without control characters."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    words = one_line(lines[0]) if lines else type(error).__name__
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}…"


_lock = threading.Lock()
_muted: dict[int, tuple[int, int]] = {}
"""Descriptors on nothing: how many ask for it, and a copy of what they were."""


class Muted:
    """``with Muted(1, 2):`` what libraries in C and Rust print there goes nowhere, in all threads.

    Results are on the same descriptor, and a panic prints the text that it failed on. Cheap enough for each call of a
    tokenizer. Python's own streams are on these descriptors too: nothing is lost but what is flushed meanwhile.
    """

    def __init__(self, *numbers: int) -> None:
        self._numbers = numbers

    def __enter__(self) -> None:
        with _lock:
            for number in self._numbers:
                depth, kept = _muted.get(number, (0, -1))
                if not depth:
                    kept = _replaced(number)
                if kept >= 0:  # else it is closed: there is nothing to keep clean
                    _muted[number] = (depth + 1, kept)

    def __exit__(self, *_: object) -> None:
        with _lock:
            for number in self._numbers:
                depth, kept = _muted.pop(number, (0, -1))
                if depth > 1:
                    _muted[number] = (depth - 1, kept)
                elif depth:
                    os.dup2(kept, number)
                    os.close(kept)


def _replaced(number: int) -> int:
    """Put a descriptor on nothing. Gives a copy of what it was; -1 where it was closed."""
    try:
        kept = os.dup(number)
    except OSError:
        return -1
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, number)
    os.close(nothing)
    return kept


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """For long work: nothing reaches standard output, from C or from Python; standard error shows progress."""
    if sys.stdout is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
    with Muted(1), open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        yield


@contextlib.contextmanager
def checked(failed: LlmcliError) -> Iterator[None]:
    """A library's work on one text, muted. Raises ``failed`` for whatever it raises."""
    with Muted(1, 2):
        try:
            yield
        except BaseException as error:
            if not failure(error) or isinstance(error, MemoryError):
                raise
            raise failed from error
