"""What of a document is not running text: front matter, headers, headings, rules, tables, code, page furniture."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator

from llmcli.text import code_blocks

END = re.compile(r"[.!?…。！？؟۔।॥։።။‼⁇⁈⁉．｡][\"'”’»›)\]*_」』`]*(?:\[\d+\])?\s*$")
"""The end of a sentence at the end of a line, behind it closing marks and a footnote."""
ITEM = re.compile(r"\s*(?:[-*+•◦▪‣–]|\(?(?:\d{1,3}(?:\.\d+)*|[a-zA-Z]|[ivxIVX]{1,4})[.)])(?:\s+(?:\[[ xX]\]\s+)?|$)")
"""The marker of a list item."""
KEY = re.compile(r"\s{0,3}([A-Za-z][\w.-]*(?: [\w.-]+){0,2}) ?:(?:\s|$)(.*)")
"""``Key: value``."""
BREAK = "\f"
"""Stands where a page ended or a heading was: it holds no text, and no sentence goes on behind a heading."""
_UNDERLINE = re.compile(r"\s*([=\-~^\"'`*+#:._])\1{2,}\s*$")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s+\S|={1,5} \S")
_PAGE_NUMBER = re.compile(r"\s*(?:.*\[page \w+\]|page \d+(?: (?:of|/) \d+)?|[-–—]+ *\d+ *[-–—]+|\d{1,4})\s*$", re.I)
_MAN = re.compile(r"\s*(\S+\([\dn]\w*\)).*\s\1\s*$|\S.*\s{3,}\S.*\s{3,}\S+\([\dn]\w*\)\s*$")
_LEADERS = re.compile(r"(?:\.{4,}|(?:\. ){3,}\.?|…{2,})\s*\w{1,6}\s*$")
_ONLY_LINK = re.compile(r"\s*(?:(?:[-*+]|\d+\.)\s+)?(?:\[[^\[\]]*\]\([^()]*\)|<?https?://\S+>?|`[^`]*<[^<>]*>`_+)\s*$")
_DEFINITION = re.compile(r"\s{0,3}\[[^\[\]]+\]:\s+\S+")
_COPYRIGHT = re.compile(r"[\s*#%]*(?:copyright\b\s*(?:\(c\)|©|[\d<\[]|by\b)|\(c\)\s|©)", re.I)
_DRAWN = re.compile("[│┃║├┤┼╔╗╚╝]")
_MAIL = frozenset({"from", "to", "subject", "date", "message-id", "return-path", "received", "metadata-version", "cc"})
LEAST_REPEATED = 2
"""How often a line stands at page breaks if it is a running head."""
LONG = 200
"""Characters of a line that is longer than any heading or foot."""
_RULED = re.compile(r"[\s:+=|-]*(?:\||={2,} +={2,}|-{2,} +-{2,})[\s:+=|-]*$")
"""The rule of a table."""


def running(text: str) -> list[str]:
    """The lines of a text, empty where they hold no running text; paragraphs stay apart by empty lines."""
    lines = _clean(text)
    for set_aside in _STEPS:
        set_aside(lines)
    return lines


def _clean(text: str) -> list[str]:
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub(r".\x08|\x1b\[[\d;]*[A-Za-z]", "", text)  # bold and underlined, as man and terminals write them
    lines = (line.rstrip(" \t") for line in text.split("\n"))
    return ["" if line.lstrip() == "." else line for line in lines]  # as Debian's control files write an empty line


def _blank(lines: list[str], first: int, last: int) -> None:
    lines[first:last] = [""] * (last - first)


def blocks(lines: list[str]) -> Iterator[range]:
    """Runs of lines that are not empty."""
    first = 0
    for at in range(len(lines) + 1):
        if at == len(lines) or not lines[at].strip():
            if at > first:
                yield range(first, at)
            first = at + 1


def indent(line: str) -> int:
    """How many characters of white space a line begins with."""
    return len(line) - len(line.lstrip())


def _front_matter(lines: list[str]) -> None:
    mark = lines[0].strip()
    if mark in ("---", "+++") and mark in (inside := [line.strip() for line in lines[1:200]]):
        last = inside.index(mark)
        if all(re.match(r"$|[-#\s]|[\w\"'-]+\s*[:=]", line) for line in lines[1 : last + 1]):
            _blank(lines, 0, last + 2)


def _code(lines: list[str]) -> None:
    for fence in code_blocks.fences(lines):
        _blank(lines, fence.first, fence.last + 1 if fence.closed else fence.first + 1)
    for block in list(blocks(lines)):
        if re.match(r"\s*(?:>>>|\$|In \[\d+\]:) \S", lines[block.start]):
            _blank(lines, block.start, block.stop)


def _headers(lines: list[str]) -> None:
    """Headers of mails and packages, at the start up to the first empty line, and other lines of keys and values."""
    start = next((at for at, line in enumerate(lines) if line), 0)
    first = KEY.match(lines[start]) if lines else None
    several = sum(bool(KEY.match(line)) for line in lines[start : start + 3]) > 1
    if re.match(r"From \S+@\S+ ", lines[start]) or (first and first[1].lower() in _MAIL and several):
        _blank(lines, start, next((at for at in range(start, len(lines)) if not lines[at]), len(lines)))
    for block in list(blocks(lines)):
        if _is_metadata(lines[block.start : block.stop]):
            _blank(lines, block.start, block.stop)


def _is_metadata(lines: list[str]) -> bool:
    """Two or more ``Key: value``, indented lines going on; what people say ends like sentences, values do not."""
    keys = [key for line in lines if (key := KEY.match(line))]
    if len(keys) < 2 or not KEY.match(lines[0]):
        return False
    others = [line for line in lines if not KEY.match(line)]
    said = sum(bool(END.search(key[2]) and len(key[2].split()) > 1) for key in keys)
    return all(indent(line) for line in others) and said * 2 <= len(keys)


def _signature(lines: list[str]) -> None:
    for at in range(max(0, len(lines) - 12), len(lines)):
        if lines[at] == "--":
            _blank(lines, at, len(lines))


def _directives(lines: list[str]) -> None:
    """Directives, comments and fields of reStructuredText, and the literal text behind ``::``."""
    at = 0
    while at < len(lines):
        line = lines[at]
        if re.match(r"\s*\.\.(?: \S|$)", line) or line.endswith("::"):
            last = at + 1
            while last < len(lines) and (not lines[last] or indent(lines[last]) > indent(line)):
                last += 1
            _blank(lines, at if not line.endswith("::") or line.lstrip().startswith("..") else at + 1, last)
            at = last
            continue
        if re.match(r"\s{0,3}:[\w -]+:(?: |$)", line):
            lines[at] = ""
        at += 1


def _headings(lines: list[str]) -> None:
    before = ""
    for at, line in enumerate(lines):
        after = lines[at + 1] if at + 1 < len(lines) else ""
        alone = not before or bool(_UNDERLINE.match(before))
        titled = bool(_UNDERLINE.match(after)) and (not END.search(line) or abs(len(after) - len(line)) < 4)
        opens = alone and is_capitals(line) and (not after or indent(after) > indent(line) or is_capitals(after))
        before = line
        if line and (_HEADING.match(line) or (alone and titled) or (opens and not END.search(line))):
            lines[at] = BREAK


def is_capitals(text: str) -> bool:
    """Whether a text is in capital letters only."""
    return text.upper() == text != text.lower()


def _furniture(lines: list[str]) -> None:
    """Page numbers, running heads and feet; a sentence that goes on behind them is joined."""
    counts = Counter(_digitless(line) for line in lines if len(line) < LONG)
    near = {at + off for at, line in enumerate(lines) if BREAK in line for off in range(-3, 4)}
    for at, line in enumerate(lines):
        repeated = at in near and counts[_digitless(line)] >= LEAST_REPEATED
        numbered = len(line) < LONG and (_PAGE_NUMBER.match(line) or _MAN.match(line)) and not KEY.match(line)
        if line and (repeated or numbered):
            lines[at] = BREAK
    gaps = [gap for gap in _gaps(lines) if BREAK in "".join(lines[gap.start : gap.stop])]
    for gap in reversed(gaps):
        before, after = lines[gap.start - 1 : gap.start], lines[gap.stop : gap.stop + 1]
        goes_on = before and after and not END.search(before[0]) and after[0].lstrip()[:1].islower()
        lines[gap.start : gap.stop] = [] if goes_on else [""]


def _digitless(line: str) -> str:
    return re.sub(r"\d+", "0", line.strip())


def _gaps(lines: list[str]) -> Iterator[range]:
    """Runs of empty lines."""
    last = 0
    for block in blocks(lines):
        if block.start > last:
            yield range(last, block.start)
        last = block.stop
    if last < len(lines):
        yield range(last, len(lines))


def _tables(lines: list[str]) -> None:
    for block in list(blocks(lines)):
        rows = lines[block.start : block.stop]
        columned = _columns(rows) or any(map(_RULED.match, rows))
        for at, line in zip(block, rows, strict=True):
            if (
                columned
                or line.lstrip().startswith("|")
                or line.count(" | ") > 1
                or _DRAWN.search(line)
                or _spread(line)
            ):
                lines[at] = ""


def _spread(line: str) -> bool:
    """Whether a line's words stand in columns: by tabs, or by gaps as many as a third of the words."""
    text = line.strip()
    gaps = len(re.findall(r"\S {3,}(?=\S)", text))
    return text.count("\t") > 1 or (gaps > 0 and gaps * 3 >= len(text.split()) - gaps)


def _columns(rows: list[str]) -> bool:
    """Whether a second column begins at one place in most of several lines."""
    places = Counter(match.end() for row in rows for match in re.finditer(r"\S(?: {3,}|\t+)(?=\S)", row.expandtabs()))
    return len(rows) > 1 and max(places.values(), default=0) * 3 >= len(rows) * 2


def _lines(lines: list[str]) -> None:
    """Rules, entries of tables of contents, lone links and their definitions, notices of copyright."""
    for at, line in enumerate(lines):
        notice = bool(_COPYRIGHT.match(line))
        if notice and line.endswith(",") and at + 1 < len(lines):
            lines[at + 1] = ""  # an address
        entry = len(line) < LONG and _LEADERS.search(line)
        rule = line != BREAK and not re.search(r"\w", line)
        if notice or entry or rule or _ONLY_LINK.match(line) or _DEFINITION.match(line):
            lines[at] = ""


_STEPS: tuple[Callable[[list[str]], None], ...] = (
    _front_matter, _code, _headers, _signature, _directives, _furniture, _headings, _tables, _lines,
)  # fmt: skip
