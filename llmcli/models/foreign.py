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


def failure(error: BaseException) -> bool:
    """Whether a library failed, rather than that somebody wants this process to stop.

    A panic in Rust is a BaseException, as KeyboardInterrupt is: ``except Exception`` would miss it.
    """
    return isinstance(error, Exception) or type(error).__module__ == "pyo3_runtime"


def reason(error: BaseException | str) -> str:
    """A library's own words: the first line, on one line, cut, without control characters."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    words = one_line(lines[0]) if lines else type(error).__name__
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}…"


class _Descriptors:
    """Standard output and error as the libraries below Python see them: on nothing, while anybody asks for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._saved: dict[int, int] = {}

    def __enter__(self) -> None:
        with self._lock:
            self._depth += 1
            if self._depth > 1:
                return
            nothing = os.open(os.devnull, os.O_WRONLY)
            for number in (1, 2):
                with contextlib.suppress(OSError):  # closed: then there is nothing to keep clean
                    self._saved[number] = os.dup(number)
                    os.dup2(nothing, number)
            os.close(nothing)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth:
                return
            for number, kept in self._saved.items():
                os.dup2(kept, number)
                os.close(kept)
            self._saved.clear()

    def copy(self, number: int) -> int | None:
        """A descriptor of what ``number`` was before; None where it was closed."""
        with self._lock:
            return os.dup(self._saved[number]) if number in self._saved else None


muted = _Descriptors()
"""``with muted:`` what libraries of C and Rust print goes nowhere: results are on the same descriptor, and a panic
prints the text that it failed on. Cheap enough for each call of a tokenizer."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """As ``muted``, for long: what Python prints to standard output goes nowhere too, its standard error is shown."""
    with muted, open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing), contextlib.ExitStack() as stack:
        if sys.stderr is not None and _descriptor(sys.stderr) == 2 and (error := muted.copy(2)) is not None:
            stream = stack.enter_context(open(error, "w", buffering=1, encoding=sys.stderr.encoding, errors="replace"))
            stack.enter_context(contextlib.redirect_stderr(stream))
        yield


@contextlib.contextmanager
def checked(failed: LlmcliError) -> Iterator[None]:
    """A library's work on one text, muted. Raises ``failed`` for whatever it raises."""
    with muted:
        try:
            yield
        except BaseException as error:
            if not failure(error) or isinstance(error, MemoryError):
                raise
            raise failed from error


def _descriptor(stream: object) -> int:
    try:
        return int(stream.fileno())  # type: ignore[attr-defined]
    except (OSError, ValueError, AttributeError):
        return -1
