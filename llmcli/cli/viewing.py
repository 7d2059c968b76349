"""How what is seen inside a model looks: lines for people, JSON values for programs."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmcli.cli import looking
from llmcli.reports import put, say
from llmcli.text.painted import Span, nth, shade, tone, visible

if TYPE_CHECKING:
    from llmcli.inspecting.attention import Attention, Row
    from llmcli.inspecting.embeddings import Embedded
    from llmcli.inspecting.layers import Lens
    from llmcli.inspecting.pieces import Batch, Token
    from llmcli.inspecting.scores import Likely, Scored

TAKEN = 5
"""How many tokens are named that another one takes most from."""


@dataclass(frozen=True)
class Chosen:
    """What is shown of attention: a layer, a head (None: the mean of all), their weights, one query, and its sums."""

    found: Attention
    layer: int
    head: int | None
    weights: Any
    query: int | None
    row: Row | None


def _token(token: Token) -> dict[str, Any]:
    return {"id": token.id, "piece": token.piece, "bytes": token.raw.hex(), "special": token.special,
            "byte_start": token.begin, "byte_end": token.end, "start": token.first, "end": token.last}  # fmt: skip


def tokens_json(model: str, text: str, found: Sequence[Token]) -> dict[str, Any]:
    """The tokens of a text. ``start`` and ``end`` count characters."""
    return {"model": model, "count": len(found), "characters": len(text), "bytes": len(text.encode()),
            "tokens": [_token(token) for token in found]}  # fmt: skip


def tokens(model: str, text: str, found: Sequence[Token], *, quiet: bool) -> None:
    """The text in blocks, then a line a token."""
    if looking.terminal():
        looking.blocks([Span(token.shown, nth(place)) for place, token in enumerate(found)])
    rows = [[str(place), str(token.id), token.shown, token.raw.hex(" "), _range(token.begin, token.end),
             _range(token.first, token.last)] for place, token in enumerate(found)]  # fmt: skip
    looking.columns(["", "id", "piece", "bytes", "in bytes", "in characters"], rows)
    if not quiet:
        say(f"llmcli: {len(found)} tokens of {model}, {len(text)} characters, {len(text.encode())} bytes")


def _range(begin: int | None, end: int | None) -> str:
    return "" if begin is None else f"{begin}-{end}"


def batch_json(model: str, found: Batch) -> dict[str, Any]:
    """A batch as a model gets it."""
    return {"model": model, "ids": found.ids, "mask": found.mask}


def batch(found: Batch) -> None:
    """Two lines a text."""
    rows: list[list[str | Span]] = []
    for ids, mask in zip(found.ids, found.mask, strict=True):
        rows.append(["ids", *(Span(str(each), None if seen else nth(3)) for each, seen in zip(ids, mask, strict=True))])
        rows.append(["mask", *map(str, mask)])
    looking.columns([""] * (len(found.ids[0]) + 1), rows)


def _likely(found: Sequence[Likely]) -> list[dict[str, Any]]:
    return [{"id": one.token.id, "piece": one.token.piece, "probability": round(one.probability, 6)} for one in found]


def _listed(found: Sequence[Likely]) -> str:
    return ", ".join(f"{one.token.name} {one.probability:.3f}" for one in found)


def _perplexity(found: Sequence[Scored]) -> tuple[float, int]:
    known = [one.log_probability for one in found if one.log_probability is not None]
    return math.exp(min(-sum(known) / len(known), 700.0)) if known else math.nan, len(known)


def scores_json(model: str, found: Sequence[Scored]) -> dict[str, Any]:
    """The scores of a text's tokens; logarithms are natural ones."""
    perplexity, count = _perplexity(found)
    return {"model": model, "perplexity": round(perplexity, 6) if count else None, "tokens": [
        _token(one.token) | {"log_probability": None if one.log_probability is None else round(one.log_probability, 6),
                             "rank": one.rank, "likely": _likely(one.likely)} for one in found]}  # fmt: skip


def scores(found: Sequence[Scored], *, quiet: bool) -> None:
    """The text in colours, then a line a token."""
    fills = [None if one.probability is None else tone(one.probability) for one in found]
    if looking.terminal():
        looking.blocks([Span(one.token.shown, fill) for one, fill in zip(found, fills, strict=True)])
    rows: list[list[str | Span]] = []
    for one, fill in zip(found, fills, strict=True):
        said = "" if one.probability is None else f"{one.probability:.4f}"
        rows.append([Span(one.token.shown, fill), said, "" if one.rank is None else str(one.rank), _listed(one.likely)])
    looking.columns(["token", "probability", "rank", "likeliest"], rows)
    perplexity, count = _perplexity(found)
    if count and not quiet:
        say(f"llmcli: perplexity {perplexity:.4g} over {count} tokens")


def attention_json(model: str, shown: Chosen) -> dict[str, Any]:
    """A layer's weights: of a head, or the mean of all heads; of one query, or of all."""
    found, values = shown.found, shown.weights
    weights = values.tolist() if shown.query is None else values[shown.query].tolist()
    value: dict[str, Any] = {
        "model": model, "attention": found.part, "layer": shown.layer, "head": shown.head,
        "layers": len(found.weights), "heads": len(found.layer(shown.layer)[1]),
        "queries": [_token(token) for token in found.queries], "keys": [_token(token) for token in found.keys],
        "query": shown.query, "weights": weights,
    }  # fmt: skip
    if shown.row is not None:
        row = shown.row
        value["softmax"] = {"width": row.width, "scale": row.scale, "dots": row.dots, "scaled": row.scaled,
                            "masks": row.masks}  # fmt: skip
    return value


def attention(shown: Chosen) -> None:
    """Of each token, or of one, those that it takes most from."""
    if shown.row is not None and shown.query is not None:
        _softmax(shown, shown.row, shown.query)
        return
    found = shown.found
    queries = range(len(found.queries)) if shown.query is None else [shown.query]
    room = shutil.get_terminal_size().columns - 60
    blocks = looking.terminal() and len(found.keys) <= room and shown.query is None
    rows = []
    for place in queries:
        weights = shown.weights[place].tolist()
        best = sorted(range(len(weights)), key=lambda at: -weights[at])[:TAKEN]
        named = ", ".join(f"{found.keys[at].name} {weights[at]:.3f}"
                          for at in best if weights[at] >= 0.0005)  # fmt: skip
        rows.append((weights, [str(place), found.queries[place].shown, named]))
    looking.columns(["", "token", "takes from"], [row for _, row in rows])
    if blocks:
        put("")
        for weights, _ in rows:
            looking.blocks([Span("  ", shade(weight)) for weight in weights])


def _softmax(shown: Chosen, row: Row, query: int) -> None:
    from llmcli.inspecting.attention import UNSEEN

    by = f"√{row.width}" if math.isclose(row.scale, row.width**-0.5) else f"{1 / row.scale:g}"
    put(f"layer {shown.layer}, head {shown.head}, “{shown.found.queries[query].name}”: softmax(q·k / {by})")
    biased = any(mask > UNSEEN and mask for mask in row.masks)
    header = ["key", "q·k", f"q·k/{by}", *(["bias"] if biased else []), "weight"]
    rows: list[list[str | Span]] = []
    for place, token in enumerate(shown.found.keys):
        if row.masks[place] > UNSEEN:
            bias = [f"{row.masks[place]:.3f}"] if biased else []
            weight = Span(f"{row.weights[place]:.4f}", tone(row.weights[place]))
            rows.append([token.shown, f"{row.dots[place]:.3f}", f"{row.scaled[place]:.3f}", *bias, weight])
    looking.columns(header, rows)


def attention_svg(model: str, shown: Chosen) -> str:
    """The picture: an alignment of what is read and written, else a matrix."""
    from llmcli.inspecting import pictures

    head = "mean of all heads" if shown.head is None else f"head {shown.head}"
    title = f"attention, layer {shown.layer}, {head}: {model}"
    draw = pictures.alignment if shown.found.part == "cross" else pictures.attention
    return draw(title, shown.found, shown.weights)


def stacked(found: Attention) -> Any:
    """All weights as one array, (layers, heads, queries, keys), of the layers that have as many heads."""
    from llmcli.errors import ModelError

    known = [weights.numpy() for weights in found.weights if weights is not None]
    if len({each.shape for each in known}) > 1:
        raise ModelError("its layers have different numbers of heads", code="no-attention", hint="leave out --npy")
    return known


def layers_json(model: str, found: Lens) -> dict[str, Any]:
    """What each layer would say; layer 0 is the word embedding."""
    said = [
        {
            "layer": one.number,
            "same": None if one.change is None else round(one.change, 6),
            "likely": _likely(one.likely),
        }
        for one in found.layers
    ]
    return {"model": model, "token": _token(found.tokens[found.place]), "place": found.place, "layers": said}


def layers(found: Lens) -> None:
    """A line a layer."""
    rows: list[list[str | Span]] = []
    for one in found.layers:
        best = one.likely[0].probability if one.likely else 0.0
        same = "" if one.change is None else f"{one.change:.2f}"
        rows.append([str(one.number) if one.number else "embedding", same, Span(_listed(one.likely), tone(best))])
    looking.columns(["layer", "same", "would say"], rows)


def embeddings_json(model: str, found: Embedded) -> dict[str, Any]:
    """Words, their nearest tokens, and the cosines between them."""
    return {"model": model, "width": found.vectors.shape[1], "words": [
        {"word": word.text, "tokens": [token.piece for token in word.tokens],
         "nearest": [{"id": one.token.id, "piece": one.token.piece, "cosine": round(one.probability, 6)}
                     for one in word.nearest]} for word in found.words],
        "cosines": [[round(value, 6) for value in row] for row in found.cosines.tolist()]}  # fmt: skip


def embeddings(found: Embedded) -> None:
    """The nearest tokens of each word, then the cosines of all pairs."""
    looking.columns(["word", "tokens", "nearest tokens of the vocabulary"], [
        [visible(word.text), " ".join(token.name for token in word.tokens), _listed(word.nearest)]
        for word in found.words])  # fmt: skip
    if len(found.words) > 1:
        put("")
    rows: list[list[str | Span]] = []
    for one in range(len(found.words)):
        for other in range(one):
            value = float(found.cosines[one, other])
            rows.append([visible(found.words[other].text), visible(found.words[one].text),
                         Span(f"{value:.3f}", tone(value))])  # fmt: skip
    looking.columns(["word", "word", "cosine"], rows)
