"""What runs on the machines of a Ray cluster: an actor that holds the model, and answers windows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from llmcli import tasks
from llmcli.cluster.windows import ANSWERS, KEY, PLACE, ROWS
from llmcli.config.places import Caller, serving
from llmcli.config.run_config import AnyConfig
from llmcli.errors import GenerationError, LlmcliError
from llmcli.run.records import Record, Result, failed, pack
from llmcli.run.session import Local
from llmcli.tasks import _packing


class Answering:
    """Answers windows: a batch of columns in, as many rows out. ``caller``: where relative paths begin."""

    def __init__(self, config: AnyConfig, caller: Caller) -> None:
        self._session = Local(tasks.get(config.task), config)
        self._caller = caller

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The windows' keys, places, and answers. Raises what ends the whole run: a missing model, say."""
        with serving(replace(self._caller, makes=True)):
            answers = [self._answers(json.loads(rows)) for rows in batch[ROWS]]
        return {KEY: batch[KEY], PLACE: batch[PLACE], ANSWERS: answers}

    def _answers(self, packed: dict[str, Any]) -> str:
        records = [_packing.unpack_record(row) for row in packed.values()]
        results = answer(self._session, records)
        return json.dumps({key: pack(result) for key, result in zip(packed, results, strict=True)}, allow_nan=False)


def answer(session: Local, records: Sequence[Record]) -> list[Result]:
    """One result a record. What no task foresaw is the error of the row that it happens on, and of no other.

    Raises the errors of the whole run.
    """
    try:
        return session.answer(records)
    except LlmcliError:
        raise
    except Exception as error:
        if len(records) > 1:
            return [result for record in records for result in answer(session, [record])]
        what = GenerationError(f"a bug in llmcli, or in a library: {type(error).__name__}", code="internal")
        return [failed(records[0], what, model=session.model)]
