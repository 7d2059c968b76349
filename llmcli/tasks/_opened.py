"""A document that is being answered: its segments, and how much of it is certain."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from llmcli.run.records import Record
from llmcli.text.documents.segments import Document, Segment

Key = tuple[str, str]
"""A segment's text and syntax: what its translation depends on, within a run."""


@dataclass
class Open:
    """A document that is not whole yet. ``begun``: how much of its text was emitted.

    ``answered``: how many of its first segments are answered. ``failed``: whether one of those has an error.
    """

    record: Record
    text: str
    document: Document
    format: str
    asked: list[Key] = field(default_factory=list)
    begun: int = 0
    answered: int = 0
    failed: bool = False

    @cached_property
    def segments(self) -> list[Segment]:
        """Its segments by their places."""
        return sorted(self.document.segments, key=lambda segment: segment.span.start)

    @cached_property
    def keys(self) -> list[Key]:
        """What its segments are found by."""
        return [segment.key for segment in self.segments]

    @cached_property
    def starts(self) -> list[int]:
        """Where its segments begin."""
        return [segment.span.start for segment in self.segments]

    @cached_property
    def certain(self) -> list[int]:
        """How much of its text is certain once so many of its first segments are answered."""
        ends = [len(self.text)]
        for segment in reversed(self.segments):
            ends.append(min([ends[-1], segment.span.start, *(edit.span.start for edit in segment.doubt)]))
        outer = [segment.span for segment in self.segments if segment.within is None]
        starts = [span.start for span in outer]
        for place, end in enumerate(ends):
            before = bisect_left(starts, end) - 1  # a segment that is not whole is not said in part
            if before >= 0 and outer[before].end > end:
                ends[place] = outer[before].start
        return ends[::-1]

    def part(self, start: int, end: int) -> Sequence[Segment]:
        """The segments that begin between two places."""
        first, last = (bisect_left(self.starts, place) for place in (start, end))
        return self.segments[first:last]
