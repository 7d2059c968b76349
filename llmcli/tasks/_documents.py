"""Documents in pieces: each piece is answered once a run, and what is no piece comes out as it went in."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from llmcli.errors import InputError
from llmcli.run.records import Record, Result, bad, failed, original
from llmcli.tasks._opened import Key, Open
from llmcli.text import documents
from llmcli.text.documents.segments import Document, Edit, Segment, Span, splice
from llmcli.text.memory import Memory

if TYPE_CHECKING:
    from llmcli.config.run_config import RunOptions
    from llmcli.pipelines.protocol import Emit

SAMPLE = 2000
"""Characters of a document that its language is told by."""
AT_ONCE = 4
"""Segments after which something is printed."""


class Remembered(Protocol):
    """What a run takes from earlier ones, and leaves to later ones."""

    memory: Memory

    def close(self) -> None:
        """Keep what is new. Raises OutputError."""


@dataclass
class Row:
    """A row of several fields, or one that cannot be used: its result, once it is there."""

    result: Result | None = None


class Documents:
    """See :class:`llmcli.run.task.Assembly`: of documents to translate.

    A segment that stands in the ``remembered`` translations, or was asked for before, is not asked for again.
    """

    journaled = True

    def __init__(self, run: RunOptions[Any], *, target: str, strict: bool, remembered: Remembered | None) -> None:
        self._run, self._target, self._strict, self._remembered = run, target, strict, remembered
        self._streams = run.output.output is None and not run.batch
        self._open: deque[Open | Row] = deque()
        self._asked: deque[Key | Row] = deque()
        self._known: set[Key] = set()
        self._answers: dict[Key, Result] = {}

    def split(self, records: Iterator[Record]) -> Iterator[Record]:
        """See Assembly."""
        for record in records:
            if record.error is None and self._run.format == "text":
                try:
                    opened = self._read(record)
                except InputError as error:
                    record = bad(record, error)
                else:
                    self._open.append(opened)
                    yield from self._pieces(opened)
                    continue
            elif record.error is None and self._recalled(record):
                continue
            row = Row()
            self._open.append(row)
            self._asked.append(row)
            yield record

    def _read(self, record: Record) -> Open:
        text = original(record)
        name = record.path.name if record.path else ""
        kind = self._run.document or documents.format_of(name)
        document = documents.read(text, format=kind, target=self._target) if kind else Document()
        if not document.segments and kind == "text":
            # The task itself says what is wrong with a text without words.
            whole = Segment(Span(0, len(text)), text, "plain", lambda new: [Edit(Span(0, len(text)), new)])
            document = Document([whole])
        return Open(record, text, document, kind)

    def _recalled(self, record: Record) -> bool:
        """Whether a row's translation is remembered: then it is its result."""
        found = self._remembered.memory.find(record.text) if self._remembered else None
        if found is None:
            return False
        self._open.append(Row(self._made(record, found)))
        return True

    def _made(self, record: Record, text: str) -> Result:
        memory = self._remembered.memory if self._remembered else Memory("", self._target)
        fields = {"text": text, "source": memory.source, "target": self._target, "checks": []}
        return Result(record.id, fields, record=record)

    def _pieces(self, opened: Open) -> Iterator[Record]:
        """The records of segments that nobody has asked for yet."""
        sample = "\n".join(segment.text for segment in opened.segments)[:SAMPLE]
        lines, at = 1, 0
        for segment in opened.segments:
            key = segment.key
            if key in self._known:
                continue
            self._known.add(key)
            found = self._remembered.memory.find(segment.text) if self._remembered else None
            if found is not None:
                self._answers[key] = self._made(opened.record, found)
                continue
            opened.asked.append(key)
            self._asked.append(key)
            lines, at = lines + opened.text.count("\n", at, segment.span.start), segment.span.start
            where = f"{opened.record.where}:{lines}" if opened.record.where else f"line {lines}"
            part = {"syntax": segment.syntax, "sample": sample, "line": str(lines)}
            last = opened.record.last or (self._streams and len(opened.asked) % AT_ONCE == 0)
            yield Record(opened.record.id, segment.text, lines, where, opened.record.path, opened.record.within,
                         part=part, last=last)  # fmt: skip

    def join(self, results: Iterator[Result], *, emit: Emit | None = None) -> Iterator[Result]:
        """See Assembly."""
        for result in results:
            key = self._asked.popleft()
            if isinstance(key, Row):
                key.result = result
                self._learn(result.record.text if result.record else "", result)
            else:
                self._answers[key] = result
                self._learn(key[0], result)
            yield from self._whole(emit)
        yield from self._whole(emit)
        if self._remembered:
            self._remembered.close()

    def _learn(self, text: str, result: Result) -> None:
        if self._remembered and result.error is None and not result.fields["checks"]:
            self._remembered.memory.add(text, result.fields["text"], source=result.fields["source"])

    def _whole(self, emit: Emit | None) -> Iterator[Result]:
        """The results of the first documents, as far as all their segments are answered."""
        while self._open:
            first = self._open[0]
            if isinstance(first, Row):
                if first.result is None:
                    return
                self._open.popleft()
                yield first.result
                continue
            while first.answered < len(first.keys) and (answer := self._answers.get(first.keys[first.answered])):
                first.answered, first.failed = first.answered + 1, first.failed or answer.error is not None
            if emit is not None:
                self._emit(first, emit)
            if first.answered < len(first.keys):
                return
            self._open.popleft()
            yield self._result(first)

    def _emit(self, opened: Open, emit: Emit) -> None:
        """Say what is certain of a document: up to the first segment that is not answered."""
        end = opened.certain[opened.answered]
        if end > opened.begun and not opened.failed:
            emit(self._spliced(opened, opened.begun, end))
            opened.begun = end

    def _result(self, opened: Open) -> Result:
        record = opened.record
        own = [self._answers[key] for key in opened.asked]
        answers = [self._answers[key] for key in opened.keys]
        wrong = next((answer for answer in answers if answer.error), None)
        if wrong is not None and wrong.error is not None:
            return replace(failed(record, wrong.error, model=wrong.model), resumed=wrong.resumed)
        faults = [fault for answer in own for fault in answer.fields["checks"]]
        notices = list(dict.fromkeys(notice for answer in own for notice in answer.notices))
        notices += self._summary(opened, faults)
        first = next(iter(answers), None)
        return Result(
            record.id,
            {"text": self._spliced(opened, 0, len(opened.text)), "source": first.fields["source"] if first else "",
             "target": first.fields["target"] if first else self._target, "checks": faults},
            model=own[0].model if own else "",
            input_tokens=sum(answer.input_tokens for answer in own),
            output_tokens=sum(answer.output_tokens for answer in own),
            finish_reason="length" if any(answer.finish_reason == "length" for answer in own) else "stop",
            truncated=any(answer.truncated for answer in own), notices=tuple(notices), record=record,
            resumed=bool(own) and all(answer.resumed for answer in own),
            unsound=sum(map(self._fails, answers)) if opened.format != "po" else 0,
        )  # fmt: skip

    def _fails(self, answer: Result) -> bool:
        return self._strict and bool(answer.fields["checks"])

    def _spliced(self, opened: Open, start: int, end: int) -> str:
        """A document's text between two places, translated."""
        outer = [edit for edit in opened.document.fixed if start <= edit.span.start < end]
        inner: list[tuple[Span, Edit]] = []
        for segment in opened.part(start, end):
            answer = self._answers.get(segment.key)
            if answer is None:
                continue
            doubtful = self._fails(answer)
            if doubtful and opened.format != "po":
                continue
            edits = segment.edits(answer.fields["text"]) if answer.fields["text"] != segment.text or (
                opened.format == "po") else []  # fmt: skip
            if segment.within is not None:
                inner += [(segment.within, edit) for edit in edits]
            else:
                outer += [*edits, *(segment.doubt if doubtful else [])]
        return splice(opened.text[:end], outer, within=inner, start=start)

    def _summary(self, opened: Open, faults: list[Mapping[str, Any]]) -> Iterator[str]:
        if opened.format == "":
            yield f"{opened.record.where or 'the text'}: no document, copied as it is"
        if faults:
            counts = Counter(fault["check"] for fault in faults)
            listed = ", ".join(f"{name} {count}" for name, count in counts.most_common())
            segments = len({(fault["line"], fault["source"]) for fault in faults})
            more = "" if self._strict else "; --json lists them, or --check --against"
            where = opened.record.where or "the text"
            yield f"{where}: check {segments} of {len(opened.keys)} segments: {listed}{more}"
