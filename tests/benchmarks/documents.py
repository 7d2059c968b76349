"""Documents of other people's, taken apart and put together.

``python -m tests.benchmarks.documents FILE ...`` upper-cases what of each file is translated, and says: segments, marks
that are kept in them, whether every byte outside the segments is as it was, whether the format's own parser reads the
result as it reads the source, seconds. ``--translate fr`` translates them in place of that (flags of translate follow
``--``), and says how many segments are reported, and which marks are not those of the source though no check says so.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmcli.text import documents
from llmcli.text.documents.segments import Edit, Segment, splice
from llmcli.text.protected import Kind, marks


@dataclass
class Row:
    """What is said of a file."""

    name: str
    segments: int
    marks: int
    outside: str
    parser: str
    seconds: float
    reported: str = ""


def shouted(segment: Segment) -> str:
    """A segment in capital letters, its marks as they are."""
    text, at, made = segment.text, 0, []
    for mark in marks(text, syntax=segment.syntax):
        made += [text[at : mark.span.start].upper(), mark.raw]
        at = mark.span.end
    return "".join([*made, text[at:].upper()])


def made(text: str, format: str) -> tuple[str, list[Segment]]:
    document = documents.read(text, format=format, target="de")
    own = [e for s in document.segments if not s.within for e in s.edits(shouted(s))]
    inner = [(s.within, e) for s in document.segments if s.within for e in s.edits(shouted(s))]
    return splice(text, own + document.fixed, within=inner), document.segments


def outside(text: str, format: str, result: str) -> bool:
    """Whether the pieces around the segments stand in the result, in their order, and nothing is before or behind."""
    document = documents.read(text, format=format, target="de")
    holes = [Edit(e.span, "\0") for s in document.segments if not s.within for e in s.edits("x")]
    at = 0
    for piece in splice(text, [*holes, *(Edit(e.span, "\0") for e in document.fixed)]).split("\0"):
        found = result.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def shape(text: str, format: str) -> Any:
    """What another parser sees of a document, its texts aside."""
    if format == "html":
        import html5lib

        tree = html5lib.parse(text, namespaceHTMLElements=False)
        return [(str(node.tag), sorted(set(node.attrib))) for node in tree.iter()]
    if format == "markdown":
        from markdown_it import MarkdownIt

        tokens = MarkdownIt("commonmark").enable("table").parse(text)
        inner = [
            (child.type, child.attrs.get("href") or child.attrs.get("src"))
            for token in tokens for child in token.children or [] if child.type not in ("text", "softbreak")
        ]  # fmt: skip
        return [token.type for token in tokens], inner
    if format == "po":
        import polib

        with tempfile.NamedTemporaryFile("w", suffix=".po") as file:
            file.write(text)
            file.flush()
            subprocess.run(["msgfmt", "-c", "-o", "/dev/null", file.name], check=True, capture_output=True)
        return [(entry.msgid, entry.msgctxt, entry.occurrences, entry.comment) for entry in polib.pofile(text)]
    if format == "srt":
        import srt

        return [(cue.index, cue.start, cue.end, cue.content.count("\n")) for cue in srt.parse(text)]
    if format == "vtt":
        import webvtt

        return [(cue.start, cue.end, len(cue.lines)) for cue in webvtt.from_buffer(io.StringIO(text))]
    if format == "yaml":
        import yaml

        return _keys(yaml.safe_load(text))
    return _keys(json.loads(text)) if format == "json-strings" else text.count("\n")


def _keys(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _keys(value) for key, value in tree.items()}
    return [_keys(value) for value in tree] if isinstance(tree, list) else type(tree).__name__


def same(text: str, result: str, format: str) -> str:
    try:
        before = shape(text, format)
    except Exception as error:  # other people's parser does not read the source either
        return f"source: {type(error).__name__}"
    try:
        return "same" if shape(result, format) == before else "DIFFERS"
    except Exception as error:
        return f"FAILS: {type(error).__name__}"


def rows(paths: list[Path], translate: str, flags: list[str]) -> Iterator[Row]:
    for path in paths:
        text = path.read_bytes().decode("utf-8", "replace")
        kind = documents.format_of(path.name) or "text"
        begun = time.monotonic()
        result, segments = made(text, kind)
        reported = ""
        if translate:
            begun = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-m", "llmcli", "translate", "-t", translate, "--json", "-i", path, *flags],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            row: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"error": done.stderr}
            result = str(row.get("text", text))
            faults = Counter(fault["check"] for fault in row.get("checks", []))
            silent = lost(text, result, kind) - sum(faults.values())
            reported = f"{dict(faults)}, {max(silent, 0)} silent" if "error" not in row else str(row["error"])[:90]
        seconds = time.monotonic() - begun
        count = sum(len(marks(segment.text, syntax=segment.syntax)) for segment in segments)
        whole = "equal" if outside(text, kind, result) else "DIFFERS"
        yield Row(path.name, len(segments), count, whole, same(text, result, kind), seconds, reported)


def lost(text: str, result: str, format: str) -> int:
    """Addresses, code and placeholders of the source that the result has not."""
    syntax = format if format in ("markdown", "html") else "plain"
    one, other = (
        Counter(mark.raw for mark in marks(some, syntax=syntax) if mark.kind is Kind.NOUN) for some in (text, result)
    )
    return sum((one - other).values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--translate", default="", help="the language to translate to")
    own, flags = (sys.argv[1:], [])
    if "--" in own:
        own, flags = own[: own.index("--")], own[own.index("--") + 1 :]
    given = parser.parse_args(own)
    print("| file | segments | marks | outside | parser | seconds | reported |\n|---|---|---|---|---|---|---|")
    for row in rows(given.files, given.translate, flags):
        print(f"| {row.name} | {row.segments} | {row.marks} | {row.outside} | {row.parser} | {row.seconds:.2f} "
              f"| {row.reported} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
