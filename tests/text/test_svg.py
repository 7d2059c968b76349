"""Pictures: nothing is cut off, nothing lies on something else, and all can be read."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import combinations

import pytest
import torch

from llmcli.inspecting import pictures
from llmcli.inspecting.embeddings import Embedded, Word
from llmcli.text import painted, svg
from llmcli.text.painted import Span

NAMESPACE = "{http://www.w3.org/2000/svg}"
STRIPS = {
    "short": ["a", "cat"],
    "many": ["word"] * 200,
    "a long sentence": ["It is " + "very " * 60 + "long.", "So."],
    "a long word": ["see", "x" * 400, "now"],
    "wide": ["\u81ea" * 150],
    "right to left": ["\u0634\u0643\u0631\u0627"] * 60,
}


def boxes(parts: list[str]) -> list[tuple[float, float, float]]:
    """Left, top and right of each rectangle."""
    root = ElementTree.fromstring(f"<g>{''.join(parts)}</g>")
    return [(float(one.attrib["x"]), float(one.attrib["y"]), float(one.attrib["x"]) + float(one.attrib["width"]))
            for one in root.iter("rect")]  # fmt: skip


@pytest.mark.parametrize("words", STRIPS.values(), ids=STRIPS)
def test_running_text(words: list[str]):
    parts, wide, _ = svg.strip([Span(word, painted.WHITE) for word in words], (), top=0)
    drawn = boxes(parts)
    assert min(left for left, _, _ in drawn) >= svg.MARGIN
    assert max(right for _, _, right in drawn) <= min(svg.WIDTH - svg.MARGIN, wide + svg.MARGIN) + 2
    for (left, top, right), (other, below, end) in combinations(drawn, 2):
        assert top != below or right <= other or end <= left
    written = "".join(ElementTree.fromstring(f"<g>{''.join(parts)}</g>").itertext())
    assert re.sub(r"\s", "", written) == re.sub(r"\s", "", "".join(words))


def test_right_to_left_the_first_word_is_rightmost():
    parts, _, _ = svg.strip([Span(word, painted.WHITE) for word in ("\u0634\u0643", "\u0631", "ok")], (), top=0)
    lefts = [left for left, _, _ in boxes(parts)]
    assert lefts == sorted(lefts, reverse=True)


MAPS = {
    "one": (["king"], torch.zeros(1, 2)),
    "the same": (["king"] * 5, torch.zeros(5, 2)),
    "near each other": ([f"w{n}" for n in range(60)], torch.rand(60, 2, generator=torch.Generator().manual_seed(1))),
    "a long word": (["x" * 300, "abc"], torch.eye(2)),
}


@pytest.mark.parametrize(("names", "points"), MAPS.values(), ids=MAPS)
def test_a_map(names: list[str], points: torch.Tensor):
    words = [Word(name, [], []) for name in names]
    root = ElementTree.fromstring(pictures.embeddings("m", Embedded(words, points, points, points)))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    labels = [(float(one.attrib["x"]), float(one.attrib["y"]), one.text or "") for one in root.iter(f"{NAMESPACE}text")]
    placed = [(x, y, x + svg.length(name)) for x, y, name in labels[2:]]
    assert len(placed) == len(names)
    assert all(x > 0 and end < width and 60 < y < height - 4 for x, y, end in placed)
    for (x, y, end), (other, below, stop) in combinations(placed, 2):
        assert abs(y - below) >= 12 or end <= other or stop <= x


def luminance(colour: painted.Colour) -> float:
    """Of WCAG 2.2."""
    parts = [part / 255 for part in colour]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("behind", [*painted.PASTELS, painted.tone(1), painted.tone(-1), painted.WHITE])
def test_letters_can_be_read(behind: painted.Colour):
    """WCAG asks for 4.5 to 1."""
    assert (luminance(behind) + 0.05) / (luminance((0x1B, 0x1B, 0x1B)) + 0.05) > 4.5
