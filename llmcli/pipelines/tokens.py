"""Encoding prompts: control tokens in the user's text made inert, the context window found."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import FrameType
from typing import Any

from llmcli.errors import ModelError
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
TEMPLATE_SECONDS = 5.0


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
        self._prefixes: dict[str, tuple[int, ...]] = {}
        unknown = tokenizer.unk_token
        self._special = [str(token) for token in tokenizer.all_special_tokens if str(token) != unknown]

    def ids(self, text: str) -> list[int]:
        """Tokens of the user's text; what looks like a control token is spelled out."""
        found = self.tokenizer(self.inert(text), add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return [int(token) for token in found]

    def inert(self, text: str, *, same_length: bool = False) -> str:
        """Unigram vocabularies hold control tokens as ordinary pieces, which splitting does not reach: a space does.

        It stands behind the token's first character, or, with ``same_length``, in its place.
        """
        for token in (token for token in self._special if token in text):
            found = self.tokenizer(token, add_special_tokens=False, split_special_tokens=True)["input_ids"]
            if self.tokenizer.convert_tokens_to_ids(token) in found:
                text = text.replace(token, f"{'' if same_length else token[0]} {token[1:]}")
        return text

    def sequence(self, text: str, pair: str | None = None) -> list[int]:
        """Tokens of a whole input, or of a pair, with the special tokens that the checkpoint was trained on."""
        second = None if pair is None else self.inert(pair)
        return [
            int(token) for token in self.tokenizer(self.inert(text), second, split_special_tokens=True)["input_ids"]
        ]

    def prompt(self, prompt: Rendered) -> Encoded:
        """Encode a rendered prompt. Raises ModelError for a gap that the vocabulary has no tokens for."""
        if prompt.gap is not None:
            return Encoded((), tuple(self._around(*prompt.gap)))
        if prompt.messages:
            if not self._passes_on:
                raise ModelError("the chat template leaves out the message", code="bad-template", hint="try --raw")
            return Encoded((), tuple(self._chat(list(prompt.messages))))
        if prompt.prefix not in self._prefixes:
            self._prefixes[prompt.prefix] = tuple(self.tokenizer(prompt.prefix)["input_ids"])
        return _never_empty(Encoded(self._prefixes[prompt.prefix], tuple(self.ids(prompt.row))))

    @cached_property
    def _marks(self) -> tuple[int, ...]:
        vocabulary = self.tokenizer.get_vocab()
        marks = next((marks for marks in INFILLING if all(mark in vocabulary for mark in marks)), None)
        if marks is None:
            raise ModelError("its vocabulary has no tokens for infilling", code="wrong-task",
                             hint="give a code model that has them, with --model")  # fmt: skip
        return tuple(vocabulary[mark] for mark in marks)

    def _around(self, before: str, after: str) -> list[int]:
        """Method: Bavarian et al., "Efficient Training of Language Models to Fill in the Middle" (2022), PSM order."""
        first, second, last = self._marks
        begin = self.tokenizer("")["input_ids"]
        return [*begin, first, *self.ids(before), second, *self.ids(after), last]

    @cached_property
    def _passes_on(self) -> bool:
        """Whether the chat template passes the user's message on."""
        first, other = (self._chat([{"role": "user", "content": content}]) for content in ("a", "b"))
        return first != other

    def _chat(self, messages: Sequence[Any]) -> list[int]:
        with _time_limit():
            encoded = self._apply_template(messages)
        return [int(token) for token in encoded["input_ids"]]

    def _apply_template(self, messages: Sequence[Any]) -> Any:
        return self.tokenizer.apply_chat_template(
            messages,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            sanitize_control_tokens=True,
            **self._template,
        )

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated tokens, control tokens left out."""
        text = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)

    def truncate(self, text: str, tokens: int) -> str:
        """The beginning of a text, of at most so many tokens, cut between characters."""
        if tokens <= 0:
            return ""
        if not self.tokenizer.is_fast:
            return self._bisect(text, tokens)
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
        offsets = encoded["offset_mapping"]
        return text if len(offsets) <= tokens else text[: offsets[tokens - 1][1]]

    def _bisect(self, text: str, tokens: int) -> str:
        """A SentencePiece tokenizer without offsets: the longest beginning that fits, found by halving."""
        fits, breaks = 0, len(text) + 1
        while breaks - fits > 1:
            middle = (fits + breaks) // 2
            fits, breaks = (middle, breaks) if len(self.ids(text[:middle])) <= tokens else (fits, middle)
        return text[:fits]


OFFSET_POSITIONS = ("roberta", "camembert", "xmod", "mpnet", "longformer", "ibert", "data2vec-text")
"""Families whose positions begin behind the padding token's: their table holds fewer tokens than rows."""


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    """Stop a chat template that loops: it is Python of the checkpoint's author, run line by line in a sandbox.

    A trace function works in every thread, a signal in the main one only.
    """
    end, before = time.monotonic() + TEMPLATE_SECONDS, sys.gettrace()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if time.monotonic() > end:
            raise ModelError("the chat template does not come to an end", code="hostile")
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def context_window(config: Any, tokenizer: Any) -> int:
    """The limit from the model's config, else the tokenizer's (often 1e30: no limit known)."""
    names = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_encoder_position_embeddings")
    limits = [getattr(config, name, None) for name in names]
    if limits[0] and any(family in config.model_type for family in OFFSET_POSITIONS):
        limits[0] -= (config.pad_token_id or 0) + 1
    known = [int(limit) for limit in [*limits, tokenizer.model_max_length] if limit and limit < UNBOUNDED]
    return min(known) if known else UNBOUNDED
