"""Encoding prompts: control tokens in the user's text made inert, the context window found."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from llmcli.errors import GenerationError, InputError, ModelError, OutOfMemory
from llmcli.models import foreign, memory
from llmcli.pipelines import scripts, templates
from llmcli.text import chunking, infilling
from llmcli.text.prompts import Rendered

UNBOUNDED = 1_000_000
INFILLING = (
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
)
"""What stands before the text in front of a gap, between it and the text behind, and before what fills the gap: as
StarCoder, Qwen2.5-Coder and CodeGemma, Code Llama, DeepSeek-Coder were trained."""
FILE_ENDS = ("<|endoftext|>", "<|fim_pad|>", "<|file_sep|>", "<|repo_name|>", "<file_sep>", "<fim_pad>", "▁<EOT>",
             "<｜end▁of▁sentence｜>")  # fmt: skip
"""What those models write where a file ends, or what filled the gap: the end of a chat's answer is another token."""
_CUT = re.compile("(?<!�)�{1,3}\\Z")
"""What tokenizers decode the bytes of an unfinished character to: one, two or three."""
EACH = 400
"""Bytes of memory that a tokenizer may take for a character, measured: 320."""


@dataclass(frozen=True)
class Encoded:
    """Token ids of the constant part of a prompt and of the row."""

    prefix: tuple[int, ...]
    row: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.prefix) + len(self.row)


def _never_empty(prompt: Encoded) -> Encoded:
    """A prompt whose row has a token: what follows is read from its last one."""
    return prompt if prompt.row or not prompt.prefix else Encoded(prompt.prefix[:-1], prompt.prefix[-1:])


class Encoder:
    """A tokenizer as llmcli uses it: never a truncation, never a control token from the user's text."""

    def __init__(self, tokenizer: Any, *, chat_template_kwargs: Mapping[str, Any] | None = None) -> None:
        self.tokenizer = tokenizer
        self._template = dict(chat_template_kwargs or {})
        self._prefixes: dict[object, tuple[int, ...]] = {}
        self._written: dict[tuple[str, ...], list[int]] = {(): []}
        unknown = tokenizer.unk_token
        self._special = [str(token) for token in tokenizer.all_special_tokens if str(token) != unknown]

    def tokens(self, texts: Any, pair: str | None = None, **options: Any) -> Any:
        """What the tokenizer makes of a text, or of several. Every text passes here.

        Raises InputError for one that it fails on: in Rust it panics, and that must not end a batch. OutOfMemory where
        it would: it ends the process then.
        """
        if (room := memory.address_space()) is not None:
            size = EACH * sum(map(len, [texts] if isinstance(texts, str) else texts))
            if size > room:
                raise OutOfMemory("too little memory to read the text", hint="raise `ulimit -v`, or give a shorter one")
        with foreign.checked(InputError("the model's tokenizer fails on the text", code="tokenizer")):
            return self.tokenizer(texts, pair, **options)

    def ids(self, text: str) -> list[int]:
        """Tokens of the user's text; what looks like a control token is spelled out."""
        found = self.tokens(self.inert(text), add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return [int(token) for token in found]

    def inert(self, text: str, *, same_length: bool = False) -> str:
        """Unigram vocabularies hold control tokens as ordinary pieces, which splitting does not reach: a space does.

        It stands behind the token's first character, or, with ``same_length``, in its place.
        """
        for token in (token for token in self._special if token in text):
            found = self.tokens(token, add_special_tokens=False, split_special_tokens=True)["input_ids"]
            if self.tokenizer.convert_tokens_to_ids(token) in found:
                text = text.replace(token, f"{'' if same_length else token[0]} {token[1:]}")
        return text

    def sequence(self, text: str, pair: str | None = None) -> list[int]:
        """Tokens of a whole input, or of a pair, with the special tokens that the checkpoint was trained on."""
        second = None if pair is None else self.inert(pair)
        found = self.tokens(self.inert(text), second, split_special_tokens=True)["input_ids"]
        return [int(token) for token in found]

    def prompt(self, prompt: Rendered) -> Encoded:
        """Encode a rendered prompt. Raises ModelError for a gap that the vocabulary has no tokens for."""
        if prompt.gap is not None:
            return Encoded((), tuple(self._around(*prompt.gap)))
        if prompt.messages:
            if not self._passes_on:
                raise ModelError("the chat template leaves out the message", code="bad-template", hint="try --raw")
            return self._behind_shared(prompt.messages, prompt.shared)
        if prompt.prefix not in self._prefixes:
            self._prefixes[prompt.prefix] = tuple(self.tokens(prompt.prefix)["input_ids"])
        return _never_empty(Encoded(self._prefixes[prompt.prefix], tuple(self.ids(prompt.row))))

    def prompts(self, prompts: Sequence[Rendered]) -> list[Encoded]:
        """Encode many prompts, those of the completion style in one call of the tokenizer. Raises as ``prompt``."""
        if len(prompts) < 2 or any(prompt.gap is not None or prompt.messages for prompt in prompts):
            return [self.prompt(prompt) for prompt in prompts]
        for prefix in {prompt.prefix for prompt in prompts} - set(self._prefixes):
            self._prefixes[prefix] = tuple(self.tokens(prefix)["input_ids"])
        rows = self.tokens([self.inert(prompt.row) for prompt in prompts], add_special_tokens=False,
                           split_special_tokens=True)["input_ids"]  # fmt: skip
        return [_never_empty(Encoded(self._prefixes[prompt.prefix], tuple(row)))
                for prompt, row in zip(prompts, rows, strict=True)]  # fmt: skip

    @cached_property
    def _marks(self) -> tuple[int, ...]:
        vocabulary = self.tokenizer.get_vocab()
        marks = next((marks for marks in INFILLING if all(mark in vocabulary for mark in marks)), None)
        if marks is None:
            raise ModelError("its vocabulary has no tokens for infilling", code="wrong-task",
                             hint="give a code model that has them, with --model")  # fmt: skip
        return tuple(vocabulary[mark] for mark in marks)

    @cached_property
    def file_ends(self) -> frozenset[int]:
        """The tokens of FILE_ENDS that the vocabulary has."""
        vocabulary = self.tokenizer.get_vocab()
        return frozenset(vocabulary[mark] for mark in FILE_ENDS if mark in vocabulary)

    def written_in(self, names: tuple[str, ...]) -> list[int]:
        """The tokens with letters of some scripts (ISO 15924)."""
        if names not in self._written:
            self._written[names] = scripts.tokens(self.tokenizer, names)
        return self._written[names]

    def _around(self, before: str, after: str) -> list[int]:
        """Method: Bavarian et al., "Efficient Training of Language Models to Fill in the Middle" (2022), PSM order.

        The indentation of the gap's line is left to the model: as a token it is one with the word that follows.
        """
        first, second, last = self._marks
        before = before.removesuffix(infilling.indentation(before))
        begin = self.tokens("")["input_ids"]
        return [*begin, first, *self.ids(before), second, *self.ids(after), last]

    @cached_property
    def _passes_on(self) -> bool:
        """Whether the chat template passes the user's message on."""
        first, other = (self._chat([{"role": "user", "content": content}]) for content in ("a", "b"))
        return first != other

    def _behind_shared(self, messages: Sequence[Any], shared: int) -> Encoded:
        """A chat whose first messages are those of other rows too: their tokens are the prefix, where they stay so."""
        ids = tuple(self._chat(messages))
        if not shared:
            return Encoded((), ids)
        key = tuple((message["role"], message["content"]) for message in messages[:shared])
        if key not in self._prefixes:
            one, other = (self._chat([*messages[:shared], {"role": "user", "content": text}]) for text in ("a", "b"))
            alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
            self._prefixes[key] = tuple(token for token, _ in alike)
        prefix = self._prefixes[key]
        same = ids[: len(prefix)] == prefix and len(ids) > len(prefix)
        return Encoded(prefix, ids[len(prefix) :]) if same else Encoded((), ids)

    def _chat(self, messages: Sequence[Any]) -> list[int]:
        text = templates.rendered(self.tokenizer, list(messages), self._template)
        encoded = self.tokens(text, add_special_tokens=False, sanitize_control_tokens=True)
        return [int(token) for token in encoded["input_ids"]]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated tokens, control tokens left out, and the bytes of a character that is cut at the end."""
        ids = list(ids)
        with foreign.checked(GenerationError("the model's tokenizer fails on what was generated", code="tokenizer")):
            text = str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
        cut = _CUT.search(text)
        if cut is None or any(ids[-len(whole) :] == whole for whole in self._replacements):
            return text
        return text[: cut.start()]

    @cached_property
    def _replacements(self) -> list[list[int]]:
        """Tokens of a replacement character that is itself meant."""
        return [self.ids(before + "�") for before in ("", " ")]

    def truncate(self, text: str, tokens: int) -> str:
        """The beginning of a text, of at most so many tokens, cut between characters."""
        if tokens <= 0:
            return ""
        if not self.tokenizer.is_fast:
            return self._bisect(text, tokens)
        options: dict[str, Any] = dict.fromkeys(("split_special_tokens", "return_offsets_mapping"), True)
        for beginning in itertools.accumulate(chunking.parts(text)):
            offsets = self.tokens(beginning, add_special_tokens=False, **options)["offset_mapping"]
            if len(offsets) > tokens:
                return beginning[: offsets[tokens - 1][1]]
        return text

    def _bisect(self, text: str, tokens: int) -> str:
        """A SentencePiece tokenizer without offsets: the longest beginning that fits, found by halving."""
        fits, breaks = 0, len(text) + 1
        while breaks - fits > 1:
            middle = (fits + breaks) // 2
            fits, breaks = (middle, breaks) if len(self.ids(text[:middle])) <= tokens else (fits, middle)
        return text[:fits]


OFFSET_POSITIONS = ("roberta", "camembert", "xmod", "mpnet", "longformer", "ibert", "data2vec-text")
"""Families whose positions begin behind the padding token's: their table holds fewer tokens than rows."""


def context_window(config: Any, tokenizer: Any) -> int:
    """The limit from the model's config, else the tokenizer's (often 1e30: no limit known)."""
    names = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_encoder_position_embeddings")
    limits = [getattr(config, name, None) for name in names]
    if limits[0] and any(family in config.model_type for family in OFFSET_POSITIONS):
        limits[0] -= (config.pad_token_id or 0) + 1
    known = [int(limit) for limit in [*limits, tokenizer.model_max_length] if limit and 0 < limit < UNBOUNDED]
    return min(known) if known else UNBOUNDED
