"""Sessions of the worker, as the client has them: this process goes on wherever the worker is no help."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmcli.errors import WorkerError
from llmcli.run import records
from llmcli.run.records import Record, Result
from llmcli.run.session import Local, Session
from llmcli.tasks import _packing
from llmcli.worker import protocol
from llmcli.worker.protocol import Broken, Channel, Message

if TYPE_CHECKING:
    from llmcli.pipelines.protocol import Emit
    from llmcli.reports import Report


class Remote:
    """A session of the worker. Where the worker is lost before a piece of text was shown, ``instead`` goes on.

    ``instead`` gives a session of this process, and is told why.
    """

    def __init__(self, channel: Channel, ready: Message, *, report: Report, instead: Callable[[str], Session]) -> None:
        self.model: str = ready["model"]
        self.window: int = ready["window"]
        self.seed: int | None = ready["seed"]
        self._fingerprint = ready["fingerprint"]
        self._channel, self._report, self._instead = channel, report, instead
        self._local: Session | None = None

    @property
    def fingerprint(self) -> Mapping[str, str]:
        """See Session."""
        found: Mapping[str, Any] = self._fingerprint
        if found.get("kind") == "error":
            raise protocol.unpack_error(found)
        return found

    @property
    def pid(self) -> int:
        """See Session."""
        return self._channel.pid if self._local is None else self._local.pid

    def answer(self, records: Sequence[Record], *, emit: Emit | None = None) -> list[Result]:
        """See Session."""
        if self._local is None:
            spoken: list[str] = []
            try:
                return self._ask(records, emit, spoken)
            except Broken as error:
                if spoken:
                    raise WorkerError(
                        f"the worker was lost: {error}", code="worker-lost", hint="run it again"
                    ) from error
                self._local = self._instead(f"the worker was lost ({error})")
        return self._local.answer(records, emit=emit)

    def _ask(self, rows: Sequence[Record], emit: Emit | None, spoken: list[str]) -> list[Result]:
        packed = [_packing.pack_record(row) for row in rows]
        self._channel.send({"kind": "answer", "records": packed, "stream": emit is not None})
        while (message := self._channel.receive())["kind"] != "results":
            if message["kind"] == "error":
                raise protocol.unpack_error(message)
            if message["kind"] == "absent":
                raise Broken("its model has gone from the store")
            if message["kind"] == "report":
                self._report(message["stage"], message["share"])
            elif message["kind"] == "text" and emit is not None:
                spoken.append("")
                emit(message["text"])
        results, self.window = message["results"], message["window"]
        if len(results) != len(rows):
            raise Broken(f"{len(results)} answers to {len(rows)} rows")
        return [records.unpack(result, row) for result, row in zip(results, rows, strict=True)]

    def close(self) -> None:
        """See Session. Hanging up cancels what the worker still does."""
        self._channel.close()


class Fetching:
    """A session on a model that is not in the store. For the first good record this process fetches or converts it.

    It is this process's token, proxy, certificates and umask that count, and its user who watches. Then ``reopen``
    gives a session of the worker; None where there is none, and this process goes on.
    """

    def __init__(self, local: Local, *, reopen: Callable[[], Session | None]) -> None:
        self.model, self.seed = local.model, local.seed
        self._local, self._reopen = local, reopen
        self._session: Session | None = None

    @property
    def window(self) -> int:
        """See Session."""
        return (self._session or self._local).window

    @property
    def fingerprint(self) -> Mapping[str, str]:
        """See Session."""
        return self._local.fingerprint

    @property
    def pid(self) -> int:
        """See Session."""
        return (self._session or self._local).pid

    def answer(self, records: Sequence[Record], *, emit: Emit | None = None) -> list[Result]:
        """See Session."""
        if self._session is None:
            self._local.prepare()
            self._session = self._reopen() or self._local
        return self._session.answer(records, emit=emit)

    def close(self) -> None:
        """See Session."""
        if self._session is not None:
            self._session.close()
