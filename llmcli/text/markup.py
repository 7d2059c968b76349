"""HTML, whole pages or tags inside Markdown, to lines of text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_PAGE = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_LEFT_OUT = frozenset(
    {"head", "script", "style", "noscript", "template", "svg", "math", "nav", "footer", "aside", "select", "button",
     "textarea", "figcaption", "caption", "th"}
)  # fmt: skip
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "dt", "legend", "summary"})
_BLOCKS = frozenset(
    {"p", "div", "section", "article", "main", "header", "blockquote", "ul", "ol", "dl", "dd", "table", "tbody",
     "thead", "tr", "td", "form", "fieldset", "figure", "hr", "address", "body", "html", "details", "center"}
)  # fmt: skip
_INLINE = frozenset(
    {"a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i", "img", "input", "ins",
     "kbd", "label", "mark", "meta", "link", "picture", "q", "s", "samp", "small", "source", "span", "strike", "strong",
     "sub", "sup", "time", "tt", "u", "var", "wbr", "video", "audio", "iframe", "object", "param", "base", "title",
     "area", "map", "acronym"}
)  # fmt: skip
_TAGS = _LEFT_OUT | _HEADINGS | _BLOCKS | _INLINE | {"br", "li", "pre"}
_ANY = re.compile(rf"</(?:{'|'.join(sorted(_TAGS))})\s*>|<(?:p|br|hr|img)\b[^<>]*>|<!--", re.IGNORECASE)
"""A closing tag, or one that needs none: "a<b and c>d" is no HTML."""
_CODE_SPAN = re.compile(r"(`+)(?!`)[^\n]{1,300}?(?<!`)\1(?!`)")
_NO_TAG = re.compile(rf"<(?!/?(?:{'|'.join(sorted(_TAGS))})\b[^<>]*>)", re.IGNORECASE)
_NO_TAG_OF_A_PAGE = re.compile(r"<(?![a-z/!?][^<>]*>)", re.IGNORECASE)
"""What begins no tag, as in ``<me@example.org>``, and would have the parser look for its end through the whole text."""


def plain(text: str) -> str:
    """A text without its HTML tags and what is not for reading: scripts, styles, navigation; entities decoded.

    Headings, list items and preformatted code come out as Markdown has them. A text without HTML comes out as it is.
    """
    bare = _without_comments(text)
    page = _PAGE.match(bare) is not None
    if not page:
        if not _ANY.search(text):
            return text
        bare = _CODE_SPAN.sub(lambda span: span[0].replace("&", "&amp;").replace("<", "&lt;"), bare)
    reader = _Reader(page=page, closed={tag for tag in _LEFT_OUT if f"</{tag}" in bare.lower()})
    reader.feed((_NO_TAG_OF_A_PAGE if page else _NO_TAG).sub("&lt;", bare))
    reader.close()
    return "".join(reader.parts)


def _without_comments(text: str) -> str:
    first, *others = text.split("<!--")
    return first + "".join(other.partition("-->")[2] if "-->" in other else other for other in others)


class _Reader(HTMLParser):
    """Collects the text in ``parts``. White space is laid out anew on pages only: in Markdown lines have a meaning."""

    def __init__(self, *, page: bool, closed: set[str]) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._page, self._closed = page, closed
        self._left_out: list[str] = []
        self._code = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """See HTMLParser."""
        if tag in self._closed:
            self._left_out.append(tag)
        elif tag == "body":
            self._left_out.clear()  # a head need not be closed
        if not self._left_out:
            self._begin(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        """See HTMLParser."""
        if not self._left_out and tag not in _LEFT_OUT:
            self._begin(tag)

    def _begin(self, tag: str) -> None:
        if tag == "pre":
            self._code = True
            self.parts.append("\n\n~~~~\n")
        elif tag in _HEADINGS:
            self.parts.append("\n\n# ")
        elif tag == "li":
            self.parts.append("\n\n- ")
        elif tag == "br":
            self.parts.append("\n")
        elif tag in _BLOCKS:
            self.parts.append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        """See HTMLParser."""
        if tag in self._left_out:
            del self._left_out[self._left_out.index(tag) :]
        elif self._left_out:
            return
        elif tag == "pre" and self._code:
            self._code = False
            self.parts.append("\n~~~~\n\n")
        elif tag in _HEADINGS or tag in _BLOCKS or tag == "li":
            self.parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        """See HTMLParser."""
        if not self._left_out:
            self.parts.append(re.sub(r"\s+", " ", data) if self._page and not self._code else data)
