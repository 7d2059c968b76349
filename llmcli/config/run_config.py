"""The settings of one run, resolved once, before anything reads them."""

from __future__ import annotations

import codecs
import os
import re
import stat
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from llmcli.config import cluster as clusters
from llmcli.config.cluster import ClusterOptions, Shard
from llmcli.config.options import DOCUMENTS, InputOptions, OutputOptions

if TYPE_CHECKING:
    from llmcli.config.model_config import ModelConfig
    from llmcli.config.schemas import Generation, Settings

OptionsT = TypeVar("OptionsT")
ENDINGS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv"}
"""Formats by file ending; other files hold one text each."""
ARRAY = ".npy"
"""The ending of an output that is an array of vectors."""
FOLDER_JOURNAL = ".llmcli.journal"
"""What the journal of an output folder is called, in it."""
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")


def ending(path: Path) -> str:
    """A file's ending, in small letters; that below ``.gz`` where it is compressed."""
    name = path.name.lower()
    return Path(name.removesuffix(".gz")).suffix


def format_of(path: Path) -> str:
    """The format of an input file: by its ending, and of a ``.json`` file by how it begins."""
    named = "text" if path.is_dir() else ending(path)
    if named == ".parquet":
        return "jsonl"  # which its rows become
    if named != ".json":
        return ENDINGS.get(named, "text")
    begin = _beginning(path).removeprefix(codecs.BOM_UTF8)
    if re.match(rb"\s*\[\s*[{\]]", begin):
        return "json"
    return "jsonl" if re.match(rb"\s*\{.*\}\r?\n\s*\{.*\}", begin) else "text"


def _beginning(path: Path) -> bytes:
    """The first bytes of a file, unpacked; none of what is no plain file, or cannot be read."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as stream:
            begin = stream.read(1 << 16)
        gzip = begin.startswith(b"\x1f\x8b")
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(begin, 1 << 16) if gzip else begin
    except (OSError, zlib.error):
        return b""


def descriptor(path: Path) -> int | None:
    """The number of the open file that a path such as ``/dev/stdout``, or ``-``, stands for; None for any other."""
    named = "/dev/fd/1" if path == Path("-") else os.fspath(path)
    for _ in range(8):  # more links than lead to any descriptor
        if match := _DESCRIPTOR.fullmatch(named):
            return int(match[1])
        if not os.path.islink(named):
            return None
        named = os.path.join(os.path.dirname(named), os.readlink(named))
    return None


def plain(path: Path) -> bool:
    """Whether a path leads, through links, to a file or a folder, or to nothing yet: to no device, pipe or socket."""
    if descriptor(path) is not None:
        return False
    try:
        mode = path.stat().st_mode
    except OSError:
        return True
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def real(path: Path) -> Path:
    """Where a path leads, through links: the file itself, however it is spelled."""
    return Path(os.path.realpath(path))


@dataclass(frozen=True)
class RunOptions(Generic[OptionsT]):
    """What a run reads, does and writes: all that readers, journal and writer need. ``format`` is never ``auto``.

    ``options`` are the task's own. ``combine``: standard input and TEXT make one prompt, in this order.
    ``documents``: a text is a document, whose pieces are worked on one by one.
    """

    task: str
    source: InputOptions
    output: OutputOptions
    options: OptionsT
    combine: bool = False
    documents: bool = False
    cluster: ClusterOptions = field(default_factory=ClusterOptions)

    @property
    def shard(self) -> Shard | None:
        """Which part of the rows is worked on; None: all of them."""
        return clusters.parse(self.cluster.shard) if self.cluster.shard else None

    @property
    def spread(self) -> bool:
        """Whether it is one of several processes that work on the rows, or has others do it."""
        return self.cluster.shard is not None or self.cluster.cluster is not None

    @property
    def format(self) -> str:
        """The input's format; documents of all formats are texts."""
        return "text" if self.document else self.source.format

    @property
    def document(self) -> str:
        """The format of all documents, where it was named; else it is told by each file's ending."""
        return self.source.format if self.source.format in DOCUMENTS else ""

    @property
    def json_document(self) -> bool:
        """Whether the input is a document in JSON, and so is what comes of it."""
        alone = self.documents and self.format == "text" and not self.several
        return alone and (self.document == "json-strings" or any(ending(path) == ".json" for path in self.source.input))

    @property
    def batch(self) -> bool:
        """Whether there are rows: several texts, each with a result of its own."""
        return self.format != "text" or self.several

    @property
    def several(self) -> bool:
        """Whether the input may be several files: then results say of which file they are."""
        return len(self.source.input) > 1 or any(path.is_dir() for path in self.source.input)

    @property
    def into_folder(self) -> bool:
        """Whether each input file gives a file of the output folder. ``-o NAME.jsonl`` is one file."""
        target = self.output.output
        if target is None or self.format != "text" or not self.several:
            return False
        folder = any(path.is_dir() for path in self.source.input)
        return target.is_dir() or (folder and plain(target) and ending(target) not in (*ENDINGS, ".json", ARRAY))

    @property
    def journal(self) -> Path | None:
        """Where a batch's journal is, beside the output however it is spelled.

        None where the run keeps none: no output, one that is no plain file, or a single text that is no document.
        """
        target = self.output.output
        if target is None or not (self.batch or self.documents) or not plain(target):
            return None
        target = real(target)
        return target / FOLDER_JOURNAL if self.into_folder else target.with_name(target.name + ".journal")


@dataclass(frozen=True)
class RunConfig(RunOptions[OptionsT]):
    """A run, its model, and the settings that won. ``origins`` names each setting's source."""

    model: ModelConfig = field(kw_only=True)
    settings: Settings = field(kw_only=True)
    offline: bool = False
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def generation(self) -> Generation:
        """The generation config; what is unset is the model's own."""
        from llmcli.config.schemas import Generation

        return self.settings.generation or Generation()


AnyConfig = RunConfig[Any]
