"""HTML and XHTML: running text between the tags of blocks, and the attributes that people read."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser

from llmcli.text.documents.segments import Document, Edit, Layout, Segment, Span, has_words, replacing

INLINE = frozenset(
    {"a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img",
     "ins", "kbd", "mark", "output", "q", "rp", "rt", "ruby", "s", "samp", "small", "span", "strike", "strong", "sub",
     "sup", "time", "tt", "u", "var", "wbr"}
)  # fmt: skip
"""Elements within a sentence; all others end one."""
KEPT = frozenset({"code", "kbd", "math", "pre", "samp", "script", "style", "svg", "template", "textarea", "tt", "var"})
"""Elements whose content is not translated."""
VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)  # fmt: skip
READ = ("alt", "title", "placeholder", "aria-label")
"""Attributes that people read."""
TAG = re.compile(r"<!--.*?-->|</?[A-Za-z][^\s<>/]*(?:\s+(?:\"[^\"]*\"|'[^']*'|[^<>\"'])*)?/?>", re.DOTALL)
_ATTRIBUTE = re.compile(r"([^\s\"'<>/=]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'=<>`]+)))?")
_KEEPS = re.compile(
    r"""\btranslate\s*=\s*["']?no\b|\bclass\s*=\s*(?:"[^"]*\bnotranslate\b|'[^']*\bnotranslate\b)""", re.IGNORECASE
)
_NEVER = re.compile(r"(?!)")


@dataclass(frozen=True)
class Piece:
    """A tag, or what stands between two. ``name`` is the tag's, ``/name`` that of a closing one; else it is empty."""

    span: Span
    name: str
    text: bool
    closed: bool = False


def read(text: str, *, target: str) -> Document:
    """See :func:`llmcli.text.documents.read`."""
    pieces = list(_pieces(text))
    segments = [segment for run in _runs(text, pieces) for segment in _running(text, run)]
    hosts = [segment.span for segment in segments]
    fixed: list[Edit] = []
    for piece, kept in _with_kept(text, pieces):
        if piece.name and not piece.name.startswith("/") and not kept:
            segments += _attributes(text, piece, hosts)
            fixed += _language(text, piece, target)
    return Document(sorted(segments, key=lambda segment: segment.span.start), fixed)


class _Parser(HTMLParser):
    """Notes where each piece begins; the pieces cover the text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self.begun: list[tuple[int, str, bool, bool]] = []
        self.feed(text)
        self.close()

    def _note(self, name: str = "", *, text: bool = False, closed: bool = False) -> None:
        line, column = self.getpos()
        self.begun.append((self._starts[line - 1] + column, name, text, closed))

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """See HTMLParser."""
        self._note(tag, closed=tag in VOID)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        """See HTMLParser."""
        self._note(tag, closed=True)

    def handle_endtag(self, tag: str) -> None:
        """See HTMLParser."""
        self._note(f"/{tag}")

    def handle_data(self, data: str) -> None:
        """See HTMLParser."""
        self._note(text=True)

    def handle_entityref(self, name: str) -> None:
        """See HTMLParser."""
        self._note(text=True)

    def handle_charref(self, name: str) -> None:
        """See HTMLParser."""
        self._note(text=True)

    def handle_comment(self, data: str) -> None:
        """See HTMLParser."""
        self._note("!comment")

    def handle_decl(self, decl: str) -> None:
        """See HTMLParser."""
        self._note("!block")

    def handle_pi(self, data: str) -> None:
        """See HTMLParser."""
        self._note("!block")

    def unknown_decl(self, data: str) -> None:
        """See HTMLParser."""
        self._note("!block")


def _pieces(text: str) -> Iterator[Piece]:
    begun = _Parser(text).begun
    for place, (start, name, is_text, closed) in enumerate(begun):
        end = begun[place + 1][0] if place + 1 < len(begun) else len(text)
        yield Piece(Span(start, end), name, is_text, closed)


def _with_kept(text: str, pieces: Iterable[Piece]) -> Iterator[tuple[Piece, bool]]:
    """Each piece, and whether it belongs to an element whose content is kept as it is."""
    open_tags: list[str] = []
    for piece in pieces:
        name = piece.name
        if open_tags:
            kept = True
            if name == open_tags[0] and not piece.closed:
                open_tags.append(name)
            elif name == f"/{open_tags[0]}":
                open_tags.pop()
        else:
            kept = bool(name) and not piece.closed and (name in KEPT or keeps(text[piece.span.start : piece.span.end]))
            if kept:
                open_tags.append(name)
        yield piece, kept


def keeps(tag: str) -> bool:
    """Whether a start tag says that its element is not to be translated."""
    return bool(_KEEPS.search(tag))


def _runs(text: str, pieces: list[Piece]) -> Iterator[list[tuple[Piece, bool]]]:
    """Pieces between two block tags. Of each whether it is text to translate."""
    run: list[tuple[Piece, bool]] = []
    for piece, kept in _with_kept(text, pieces):
        name = piece.name.removeprefix("/")
        if piece.text or name in INLINE or name == "!comment":
            run.append((piece, piece.text and not kept))
            continue
        yield run
        run = []
    yield run


def _shown(text: str, piece: Piece) -> str:
    return text[piece.span.start : piece.span.end]


def _running(text: str, run: list[tuple[Piece, bool]]) -> Iterator[Segment]:
    """The segment of a run, if it has words: without the tags around its text."""
    if not any(reads and has_words(html.unescape(_shown(text, piece))) for piece, reads in run):
        return
    places = [place for place, (piece, _) in enumerate(run) if piece.text and _shown(text, piece).strip()]
    first, last = _balanced(run, places[0], places[-1])
    start, end = run[first][0].span.start, run[last][0].span.end
    raw = text[start:end]
    start, end = start + len(raw) - len(raw.lstrip()), end - len(raw) + len(raw.rstrip())
    raw = text[start:end]
    breaks = re.search(r"\s*(\r?\n[ \t]*)", TAG.sub(lambda tag: tag[0].replace("\n", " "), raw))
    layout = Layout(max(map(len, raw.split("\n"))), breaks[1]) if breaks else None

    def write(translation: str) -> str:
        return layout.wrap(translation, whole=TAG, starts=_NEVER) if layout else translation

    yield Segment(Span(start, end), one_line(raw), "html", replacing(Span(start, end), write))


def _balanced(run: list[tuple[Piece, bool]], first: int, last: int) -> tuple[int, int]:
    """Take in the tags around the first and the last word whose partners lie between them."""
    depth, low = 0, 0
    for piece, _ in run[first : last + 1]:
        if not piece.name or piece.closed or piece.name == "!comment":
            continue
        depth += -1 if piece.name.startswith("/") else 1
        low = min(low, depth)
    while low < 0 and first > 0:
        first -= 1
        name = run[first][0].name
        if name and not name.startswith(("/", "!")) and not run[first][0].closed:
            low, depth = low + 1, depth + 1
    while depth > 0 and last + 1 < len(run):
        last += 1
        if run[last][0].name.startswith("/"):
            depth -= 1
    return first, last


def one_line(raw: str) -> str:
    """Running text with its white space as a browser shows it; tags stay as they are."""
    parts, at = [], 0
    for tag in TAG.finditer(raw):
        parts += [re.sub(r"\s+", " ", raw[at : tag.start()]), tag[0]]
        at = tag.end()
    return "".join([*parts, re.sub(r"\s+", " ", raw[at:])])


def _attributes(text: str, piece: Piece, hosts: list[Span]) -> Iterator[Segment]:
    tag = text[piece.span.start : piece.span.end]
    described = piece.name == "meta" and re.search(r"=\s*[\"']?(?:og:|twitter:)?(?:description|title)\b", tag, re.I)
    wanted = (*READ, "content") if described else READ
    for name, span in _values(tag, piece):
        value = html.unescape(text[span.start : span.end])
        if name in wanted and has_words(value):
            within = piece.span if any(host.holds(piece.span) for host in hosts) else None
            yield Segment(span, " ".join(value.split()), "plain", replacing(span, _quoted), within=within)


def _quoted(value: str) -> str:
    return html.escape(value)


def _values(tag: str, piece: Piece) -> Iterator[tuple[str, Span]]:
    """Name and span of the values of a start tag's attributes: those that stand in quotation marks."""
    begin = re.match(r"<[^\s/>]+", tag)
    for match in _ATTRIBUTE.finditer(tag, begin.end() if begin else len(tag)):
        group = 2 if match[2] is not None else 3
        if match[group] is not None:
            yield match[1].lower(), Span(piece.span.start + match.start(group), piece.span.start + match.end(group))


def _language(text: str, piece: Piece, target: str) -> Iterator[Edit]:
    if piece.name == "html" and target:
        tag = text[piece.span.start : piece.span.end]
        for name, span in _values(tag, piece):
            if name in ("lang", "xml:lang"):
                yield Edit(span, target)
