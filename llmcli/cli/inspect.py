"""``llmcli inspect``: tokens, probabilities, attention, layers and word embeddings of a model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from llmcli.cli import looking, viewing
from llmcli.cli.looking import Device, From, Input, Json, Model, Npy, Offline, Quiet, Svg, Target, To, Top
from llmcli.errors import UsageError
from llmcli.reports import put

app = typer.Typer()
Text = Annotated[list[str] | None, typer.Argument(help="The text. Missing: standard input.", show_default=False)]
Place = Annotated[
    str | None,
    typer.Option("--token", help="A token of the text, or its number from 0.", show_default=False),
]


@app.command()
def tokens(
    text: Text = None, input: Input = None, model: Model = None,
    count: Annotated[bool, typer.Option("--count", help="Print the number of tokens alone.")] = False,
    pad: Annotated[
        bool, typer.Option("--pad", help="Show several texts as one batch: ids, padded to one length, and the mask.")
    ] = False,
    json: Json = False, svg: Svg = None, offline: Offline = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Show the tokens of a text: id, piece, bytes, and where it stands in bytes and characters.

    Special tokens are those that the model's tokenizer adds; what looks like one in the text is spelled out.

    Example: llmcli inspect tokens "Unbelievable! 自注意力"

    Example: llmcli inspect tokens --pad "A cat." "A cat sat on the mat."
    """
    if pad and (count or svg is not None):
        raise UsageError("--pad excludes --count and --svg")
    texts = looking.texts(text, input, writes=[svg])
    from llmcli.inspecting import opening, pictures, pieces

    with looking.preparing(quiet=quiet) as report:
        run = opening.config(model=model, offline=offline)
        encoder = opening.encoder(run, report=report)
    name, found = run.model.name, [pieces.tokens(encoder, one) for one in texts]
    looking.save(svg, lambda: pictures.tokens(name, [token for listed in found for token in listed]))
    if pad:
        batch = pieces.padded(encoder.tokenizer, found)
        looking.say_json(viewing.batch_json(name, batch)) if json else viewing.batch(batch)
        return
    for one, listed in zip(texts, found, strict=True):
        if json:
            looking.say_json(viewing.tokens_json(name, one, listed))
        else:
            put(str(len(listed))) if count else viewing.tokens(name, one, listed, quiet=quiet)


@app.command()
def scores(
    text: Text = None, input: Input = None, model: Model = None, top: Top = 3, target: Target = "",
    from_: From = "", to: To = "", json: Json = False, svg: Svg = None, npy: Npy = None, device: Device = None,
    offline: Offline = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Show how likely the model finds each token of a text, its rank, and what else was likely.

    Of an encoder-decoder the text is the source, and --target is what is scored. --npy: log-probabilities, (tokens).

    Example: llmcli inspect scores "The capital of France is Paris."

    Example: llmcli inspect scores -i essay.txt --svg surprise.svg
    """
    one = _one(text, input, svg, npy)
    from llmcli.inspecting import pictures
    from llmcli.inspecting import scores as scoring

    opened, name = _open(model, device=device, offline=offline, quiet=quiet)
    found = scoring.scores(opened, one, _target(target, from_, to), top=top)
    looking.save(svg, lambda: pictures.scores(name, found))
    looking.save(npy, lambda: [float("nan") if each.log_probability is None else each.log_probability
                               for each in found])  # fmt: skip
    looking.say_json(viewing.scores_json(name, found)) if json else viewing.scores(found, quiet=quiet)


@app.command()
def attention(
    text: Text = None, input: Input = None, model: Model = None,
    layer: Annotated[int | None, typer.Option(help="The layer, from 0.", show_default="the last")] = None,
    head: Annotated[int | None, typer.Option(help="The head, from 0.", show_default="the mean of all")] = None,
    token: Place = None, target: Target = "", from_: From = "", to: To = "",
    part: Annotated[
        Literal["encoder", "decoder", "cross"] | None,
        typer.Option(help="Encoder-decoders: which attention.", show_default="cross"),
    ] = None,
    json: Json = False, svg: Svg = None, npy: Npy = None, device: Device = None, offline: Offline = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Show which tokens each token takes from; with --head and --token, how softmax(QKᵀ/√d) comes to it.

    Weights are those that the model uses: in float32, without llmcli's shortcuts. Of a translation model it is what
    each token that is written takes from the source. Models that mix attention with other layers count their layers of
    attention. --npy: (layers, heads, queries, keys).

    Example: llmcli inspect attention "The cat sat because it was tired." --layer 8 --svg a.svg

    Example: llmcli inspect attention "The cat sat because it was tired." --layer 8 --head 3 --token it
    """
    one = _one(text, input, svg, npy)
    from llmcli.inspecting import attention as attending

    opened, name = _open(model, device=device, offline=offline, quiet=quiet)
    found = attending.attention(opened, one, _target(target, from_, to), part=part)
    shown = _chosen(opened, one, found, layer=layer, head=head, token=token)
    looking.save(svg, lambda: viewing.attention_svg(name, shown))
    looking.save(npy, lambda: viewing.stacked(found))
    looking.say_json(viewing.attention_json(name, shown)) if json else viewing.attention(shown)


@app.command()
def layers(
    text: Text = None, input: Input = None, model: Model = None, token: Place = None, top: Top = 3,
    target: Target = "", from_: From = "", to: To = "", json: Json = False, svg: Svg = None, npy: Npy = None,
    device: Device = None, offline: Offline = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Show what each layer of the model would say next: behind the last token, or behind --token.

    A layer's state is read by the model's own output matrix (the logit lens). 'same' is the cosine of a layer's state
    and the one before it. --npy: the states, (layers + 1, tokens, width).

    Example: llmcli inspect layers "The capital of France is"

    Example: llmcli inspect layers "The capital of France is" -m gpt2 --json
    """
    one = _one(text, input, svg, npy)
    from llmcli.inspecting import layers as reading
    from llmcli.inspecting import pictures

    opened, name = _open(model, device=device, offline=offline, quiet=quiet)
    found = reading.lens(opened, one, _target(target, from_, to), token=token, top=top)
    looking.save(svg, lambda: pictures.layers(name, found))
    looking.save(npy, found.states.numpy)
    looking.say_json(viewing.layers_json(name, found)) if json else viewing.layers(found)


@app.command()
def embeddings(
    words: Annotated[list[str] | None, typer.Argument(help="Words. Missing: those of standard input.",
                                                      show_default=False)] = None,
    input: Input = None, model: Model = None, top: Top = 5, json: Json = False, svg: Svg = None, npy: Npy = None,
    device: Device = None, offline: Offline = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Show word embeddings: of each word the nearest tokens of the vocabulary, and how near the words are.

    The vectors are rows of the model's embedding matrix; that of a word of several tokens is their mean. Nearness is
    the cosine, from -1 to 1. --npy: the vectors, (words, width).

    Example: llmcli inspect embeddings king queen apple -m gemma-3-270m

    Example: llmcli inspect embeddings cat dog car --svg words.svg
    """
    given = looking.texts(words, input, writes=[svg, npy])
    given = given if words else given[0].split()
    from llmcli.inspecting import embeddings as embedding
    from llmcli.inspecting import pictures

    opened, name = _open(model, device=device, offline=offline, quiet=quiet)
    found = embedding.embedded(opened, given, top=top)
    looking.save(svg, lambda: pictures.embeddings(name, found))
    looking.save(npy, found.vectors.numpy)
    looking.say_json(viewing.embeddings_json(name, found)) if json else viewing.embeddings(found)


def _one(text: list[str] | None, input: Any, *writes: Any) -> str:
    """The one text. Raises UsageError for several: words without quotation marks, most likely."""
    found = looking.texts(text, input, writes=writes)
    if len(found) > 1:
        raise UsageError("more than one text", hint="put quotation marks around it")
    return found[0]


def _open(model: str | None, *, device: str | None, offline: bool, quiet: bool) -> tuple[Any, str]:
    """The model and its name."""
    from llmcli.inspecting import opening

    with looking.preparing(quiet=quiet) as report:
        run = opening.config(model=model, device=device, offline=offline)
        return opening.model(run, report=report), run.model.name


def _chosen(model: Any, text: str, found: Any, *, layer: int | None, head: int | None, token: str | None) -> Any:
    """A layer, a head or the mean of all, and one token where it is named: of a head its sums too."""
    from llmcli.inspecting import attention, pieces

    number, weights = found.layer(layer)
    chosen = weights.mean(0) if head is None else found.head(number, head)
    query = None if token is None else pieces.place(found.queries, token)
    row = None
    if head is not None and query is not None and found.part == "self":
        row = attention.row(model, text, chosen, layer=number, head=head, query=query)
    return viewing.Chosen(found, number, head, chosen, query, row)


def _target(text: str, source: str, language: str) -> Any:
    from llmcli.inspecting.forward import Target
    from llmcli.text import languages

    return Target(text, languages.parse(source) if source else "", languages.parse(language) if language else "")
