"""The answers of all shards, in the input's order, with exactly one for each row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from llmcli import tasks
from llmcli.cluster.answers import SCHEMA, Answers
from llmcli.cluster.shards import Shards
from llmcli.config.cluster import number_of
from llmcli.config.run_config import RunOptions
from llmcli.errors import RowsFailed, UsageError, WorkerError
from llmcli.run import keys
from llmcli.run.records import Record, Result, failed, unpack
from llmcli.run.scratch import Scratch
from llmcli.run.task import Assembly

MISSING = "missing"
"""The code of the error of a row that no shard has answered."""
NAMED = 5
"""How many ids of rows, and how many shards, are named."""
SOUGHT = 100_000
"""How many answers of a shard that no row has taken are looked for among the rows."""


class Merging:
    """Puts the answers of shards together. ``run``: what is read and written.

    Raises UsageError where shards were made with different settings, InputError for a journal that cannot be read.
    """

    def __init__(self, shards: Shards, run: RunOptions[Any]) -> None:
        self._of, self._task = shards.of, tasks.get(run.task)
        self._index = Scratch(SCHEMA)
        numbers = range(1, shards.of + 1)
        self._answers = {number: Answers(path, self._index) for number in numbers if (path := shards.journal(number))}
        _compare(self._answers)
        found = {number: self._task.assemble(run) for number in numbers} if self._task.documents else {}
        self._assemblies: dict[int, Assembly] = {number: one for number, one in found.items() if one}
        self._ids: list[str | int] = []
        self.missing = 0
        """How many rows have no answer, so far."""

    def results(self, records: Iterator[Record]) -> Iterator[Result]:
        """One result a record, in order; an error where there is no answer."""
        for record in records:
            number = number_of(keys.digest(record, self._task.row_fields), self._of)
            if (assembly := self._assemblies.get(number)) is None:
                result = self._result(record, number)
            else:  # a shard's documents share what they have in common
                pieces = assembly.split(iter([record]))
                (result,) = assembly.join(self._result(piece, number) for piece in pieces)
            if missing(result):
                self.missing += 1
                self._ids += [record.id] if len(self._ids) < NAMED else []
            yield result

    def _result(self, record: Record, number: int) -> Result:
        answers = self._answers.get(number)
        packed = answers.take(keys.digest(record, self._task.row_fields)) if answers else None
        if record.error is not None:  # what cannot be used needs no answer
            return failed(record, record.error, model="")
        if packed is None:
            return failed(record, WorkerError("no shard has answered it", code=MISSING), model="")
        return unpack(packed, record)

    def lack(self) -> RowsFailed | None:
        """What is to be said where rows have no answer."""
        if not self.missing:
            return None
        lost = [f"{number}/{self._of} has no journal" for number in range(1, self._of + 1)
                if number not in self._answers]  # fmt: skip
        lost += [f"{number}/{self._of} {answers.state}" for number, answers in self._answers.items() if answers.state]
        why = f"; shards: {_named(lost)}" if lost else "; all shards are done"
        hint = "run those shards with --resume" if lost else "run the shards on this input with --resume"
        return RowsFailed(f"{self.missing:,} rows have no answer: ids {_named(self._ids, self.missing)}{why}",
                          code=MISSING, hint=f"{hint}, or merge --partial")  # fmt: skip

    def too_many(self) -> set[str]:
        """Keys of answers that no row has taken. Ask when all rows are done.

        Of documents none: what several have in common is asked for in each shard.
        """
        if self._assemblies:
            return set()
        left = {key for answers in self._answers.values() for key in islice(answers.left(), SOUGHT)}
        some = "SELECT digest || ':' || times AS key FROM answers LIMIT ?"
        row = self._index.one(f"SELECT group_concat(key) FROM ({some})", SOUGHT)
        return left | set(str(row[0]).split(",") if row and row[0] else ())

    def doubled(self, records: Iterator[Record], left: set[str]) -> RowsFailed | None:
        """What is to be said where rows of the input have a second answer. ``left``: see too_many()."""
        digests = {key.partition(":")[0] for key in left}
        counts, ids = Counter[str](), list[str | int]()
        for record in records:
            digest = keys.digest(record, self._task.row_fields)
            if digest in digests:
                counts[digest] += 1
                ids += [record.id] if f"{digest}:{counts[digest]}" in left else []
        if not ids:
            return None
        return RowsFailed(f"{len(ids):,} rows have more than one answer: ids {_named(ids)}", code="double",
                          hint="is the journal of one shard a copy of another's?")  # fmt: skip


def missing(result: Result) -> bool:
    """Whether a row has no answer."""
    return result.error is not None and result.error.code == MISSING


def _compare(answers: dict[int, Answers]) -> None:
    """Raise UsageError where shards were made with different settings."""
    first: tuple[int, Answers] | None = None
    for number, one in answers.items():
        first = first or (number, one)
        before, now = first[1].fingerprint, one.fingerprint
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if changed:
            raise UsageError(f"shards {first[0]} and {number} were made with different settings: {', '.join(changed)}",
                             code="changed", hint="run one of them again with --no-resume")  # fmt: skip


def _named(items: list[Any], count: int | None = None) -> str:
    """The first of some items, and that there are more."""
    more = (len(items) if count is None else count) > NAMED
    return ", ".join(map(str, items[:NAMED])) + (", …" if more else "")
