"""What a tiny checkpoint answers to the extensions of OpenAI's protocol, with transformers' own arithmetic."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

Answer = dict[str, Any]


class Checkpoint:
    """The answers of vLLM's and OpenAI's paths."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._torch = torch
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self._lock = threading.Lock()

    def tokenize(self, body: Answer) -> Answer:
        """vLLM's ``/tokenize``."""
        with self._lock:
            return {
                "tokens": self._tokenizer(body["prompt"], add_special_tokens=body["add_special_tokens"])["input_ids"]
            }

    def completions(self, body: Answer) -> Answer:
        """``/v1/completions``: of a text ``echo`` with ``logprobs``, of token ids the next token's."""
        if isinstance(body["prompt"], list):
            return self._next(body)
        ids = self._ids(body["prompt"])
        written = [self._tokenizer.eos_token_id] * body["max_tokens"]
        logs = self._logs([*ids, *written])
        tokens = [self._tokenizer.decode([token]) for token in [*ids, *written]]
        return {"choices": [{"index": 0, "text": body["prompt"] + "x" * len(written), "finish_reason": "length",
                             "logprobs": {"tokens": tokens, "token_logprobs": logs}}],
                "usage": {"prompt_tokens": len(ids), "completion_tokens": len(written)}}  # fmt: skip

    def generated_only(self, body: Answer) -> Answer:
        """``/v1/completions`` as llama.cpp's server answers ``echo``: with what it generated, and nothing before it."""
        text = "x" * body["max_tokens"]
        return {"choices": [{"index": 0, "text": body["prompt"] + text, "finish_reason": "length",
                             "logprobs": {"tokens": list(text), "token_logprobs": [-0.5] * len(text)}}],
                "usage": {"prompt_tokens": len(self._ids(body["prompt"])), "completion_tokens": len(text)}}  # fmt: skip

    def chat(self, body: Answer) -> Answer:
        """``/v1/chat/completions`` with vLLM's ``prompt_logprobs``."""
        if "prompt_logprobs" not in body:
            raise NotImplementedError("all but prompt_logprobs")
        options = {"continue_final_message": True} if body.get("continue_final_message") else {}
        with self._lock:
            text = self._tokenizer.apply_chat_template(
                body["messages"], tokenize=False, add_generation_prompt=body["add_generation_prompt"], **options
            )
        ids = self._ids(text)
        told = [{str(token): {"logprob": log}} if log is not None else None
                for token, log in zip(ids, self._logs(ids), strict=True)]  # fmt: skip
        return {"choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "length"}],
                "prompt_logprobs": told, "usage": {"prompt_tokens": len(ids)}}  # fmt: skip

    def _next(self, body: Answer) -> Answer:
        if "logprob_token_ids" not in body:
            raise NotImplementedError("prompt of token ids")
        with self._torch.inference_mode():
            logs = self._model(self._torch.tensor([body["prompt"]])).logits[0, -1].log_softmax(-1)
        told = {f"token_id:{token}": float(logs[token]) for token in body["logprob_token_ids"]}
        return {"choices": [{"index": 0, "text": "x", "finish_reason": "length", "logprobs": {"top_logprobs": [told]}}]}

    def _ids(self, text: str) -> list[int]:
        with self._lock:
            return [int(token) for token in self._tokenizer(text)["input_ids"]]

    def _logs(self, ids: list[int]) -> list[float | None]:
        """Log-probability of each token after those before it; of the first there is none."""
        with self._torch.inference_mode():
            logits = self._model(self._torch.tensor([ids])).logits[0].log_softmax(-1)
        return [None, *(float(logits[place, token]) for place, token in enumerate(ids[1:]))]
