"""Work on many items at once, in threads that end with the process."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from llmcli import reports
from llmcli.errors import ROW_ERRORS, LlmcliError

T = TypeVar("T")
R = TypeVar("R")


def each(items: Sequence[T], work: Callable[[T], R], *, most: int, stage: str) -> list[R | LlmcliError]:
    """What ``work`` gives for each item, in order; an item's own error in its place. Raises any other error at once."""
    if len(items) == 1:
        return [_tried(items[0], work)]
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, R | LlmcliError | BaseException]] = queue.SimpleQueue()
    for place in range(len(items)):
        todo.put(place)
    stopped = threading.Event()

    def run() -> None:
        while not stopped.is_set():
            try:
                place = todo.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((place, _tried(items[place], work)))
            except BaseException as error:  # it is raised below, where the user is told
                done.put((place, _Ending(error)))

    for _ in range(min(most, len(items))):
        threading.Thread(target=run, daemon=True).start()
    found: dict[int, R | LlmcliError] = {}
    while len(found) < len(items):
        place, result = done.get()
        if isinstance(result, _Ending):
            stopped.set()
            raise result.error
        found[place] = result  # type: ignore[assignment]
        reports.tell(stage, len(found) / len(items))
    return [found[place] for place in range(len(items))]


class _Ending(Exception):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


def _tried(item: T, work: Callable[[T], R]) -> R | LlmcliError:
    try:
        return work(item)
    except ROW_ERRORS as error:
        return error
