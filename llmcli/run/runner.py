"""run(session, records): the one road that every command takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from llmcli.run import keys as row_keys
from llmcli.run.records import Record, Result, failed
from llmcli.run.seen import Seen
from llmcli.run.session import Session

if TYPE_CHECKING:
    from llmcli.pipelines.protocol import Emit
    from llmcli.run.journal import Journal


def run(
    session: Session, records: Iterator[Record], *, journal: Journal | None = None, emit: Emit | None = None,
    row_fields: Sequence[str] = (),
) -> Iterator[Result]:  # fmt: skip
    """One result a record, in order; a bad record gives an error result in its place.

    ``row_fields`` are the fields of a row that decide its answer besides the text.

    Rows that the journal holds are not run again; new ones are in it before they are yielded.
    """
    seed = session.seed if session.seed is not None or journal is None else journal.seed
    # Who neither resumes nor draws needs no row told from its equals.
    seen = Seen() if journal is not None or seed is not None else None
    for window in windows(records, size=lambda: session.window):
        keys = [row_keys.key(record, seen, row_fields) if seen else "" for record in window]
        earlier = [journal.find(key, record) if journal else None for key, record in zip(keys, window, strict=True)]
        results = [_unusable(record, found, session) if record.error else found
                   for found, record in zip(earlier, window, strict=True)]  # fmt: skip
        new = [place for place, found in enumerate(results) if found is None]
        seeded = [replace(window[place], seed=row_seed(seed, keys[place])) for place in new]
        answers = session.answer(seeded, emit=emit if len(window) == 1 else None) if seeded else []
        for place, answer in zip(new, answers, strict=True):
            results[place] = replace(answer, record=window[place])
        whole = [result for result in results if result is not None]
        if journal:
            added = [place for place, result in enumerate(whole) if not result.resumed]
            journal.add([keys[place] for place in added], [whole[place] for place in added])
        yield from whole


def _unusable(record: Record, earlier: Result | None, session: Session) -> Result:
    """The result of a bad record. An earlier run may have said it already."""
    assert record.error is not None  # asked of bad records alone
    return replace(failed(record, record.error, model=session.model), resumed=earlier is not None)


def windows(records: Iterator[Record], *, size: Callable[[], int]) -> Iterator[list[Record]]:
    """Rows by place in the input, so that a resumed run makes the same batches; fewer where input has to be awaited."""
    window: list[Record] = []
    most = size()
    for record in records:
        window.append(record)
        if len(window) >= most or record.last:
            yield window
            window, most = [], size()
    if window:
        yield window


def row_seed(seed: int | None, key: str) -> int | None:
    """A seed of the row's own, the same wherever the row stands."""
    if seed is None:
        return None
    import hashlib

    return int.from_bytes(hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=4).digest(), "big")
