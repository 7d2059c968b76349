"""Documents taken apart: which spans are text to translate, and everything else as it is. No model, no files.

A new format is a file here with ``read(text, target=...)``, a line in FORMATS, and its name among those of
``--format``.
"""

from __future__ import annotations

from importlib import import_module

from llmcli.text.documents.segments import Document

FORMATS = {
    "text": "plain", "markdown": "markdown", "html": "html", "srt": "subtitles", "vtt": "subtitles", "po": "gettext",
    "json-strings": "json_strings", "yaml": "yaml_strings",
}  # fmt: skip
"""The module of each; only what is read is imported."""
ENDINGS = {
    ".md": "markdown", ".markdown": "markdown", ".mdown": "markdown", ".html": "html", ".htm": "html",
    ".xhtml": "html", ".srt": "srt", ".vtt": "vtt", ".po": "po", ".pot": "po", ".json": "json-strings",
    ".yaml": "yaml", ".yml": "yaml",
}  # fmt: skip
"""Formats by the ending of a file; other files are plain text."""
NO_TEXT = frozenset(
    {".css", ".scss", ".less", ".js", ".mjs", ".cjs", ".ts", ".jsx", ".tsx", ".py", ".pyi", ".sh", ".bat", ".c", ".h",
     ".cpp", ".hpp", ".java", ".go", ".rs", ".rb", ".php", ".sql", ".svg", ".toml", ".ini", ".cfg", ".lock", ".map",
     ".csv", ".tsv", ".tex", ".bib"}
)  # fmt: skip
"""Endings of files that stand among documents, and are none."""


def format_of(name: str) -> str:
    """The format of a document, by its file's name, packed or not; empty for a file that is none."""
    name = name.removesuffix(".gz")
    ending = name[name.rfind(".") :].lower() if "." in name else ""
    return "" if ending in NO_TEXT else ENDINGS.get(ending, "text")


def read(text: str, *, format: str, target: str) -> Document:
    """Take a document apart. ``target`` is the language that it is translated to, or empty where it is not known.

    Raises InputError where the text is not of its format.
    """
    document: Document = import_module(f"{__name__}.{FORMATS[format]}").read(text, target=target)
    return document
