"""A strict server of OpenAI's protocol on a real socket: it refuses what the schema does not allow, and misbehaves.

Its answers are functions of what is asked: a chat answers the last message in capitals. ``able`` is what it can do
besides, ``faults`` what it does wrong to a request, by its number and body.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "upper"
LOCK = threading.Lock()
NUMBER, WHOLE = (int, float), int
COMMON: dict[str, Any] = {
    "model": str, "max_tokens": WHOLE, "temperature": NUMBER, "top_p": NUMBER, "n": WHOLE, "seed": WHOLE, "stop": list,
    "stream": bool, "stream_options": dict, "logprobs": (bool, int),
}  # fmt: skip
SCHEMAS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": COMMON | {"messages": list, "top_logprobs": WHOLE, "response_format": dict},
    "/v1/completions": COMMON | {"prompt": (str, list), "echo": bool},
}
EXTENSIONS = {
    "prompt_logprobs": {"prompt_logprobs": WHOLE, "add_generation_prompt": bool, "continue_final_message": bool},
    "token-ids": {"logprob_token_ids": list, "return_tokens_as_token_ids": bool},
    "chat_template_kwargs": {"chat_template_kwargs": dict},
}
Answer = dict[str, Any]


def said(body: Answer) -> str:
    """What a request says last."""
    return body["messages"][-1]["content"] if "messages" in body else body["prompt"]


@dataclass
class Server:
    """The server, what it was asked, and what it holds against its callers."""

    able: set[str] = field(default_factory=set)
    faults: Callable[[int, Answer], str] = lambda number, body: ""
    write: Callable[[Answer], str] = lambda body: said(body).upper()
    extend: dict[str, Callable[[Answer], Answer]] = field(default_factory=dict)
    """More paths, each with its answer to a body."""
    tried: set[str] = field(default_factory=set)
    """Parameters that a caller may try, though the schema does not have them."""
    version: str = "1.0"
    key: str = ""
    requests: list[Answer] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    """How often each fault was done."""
    busy: int = 0
    busiest: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def name(self) -> str:
        return f"{self.url}#{MODEL}"


@contextlib.contextmanager
def running(**options: Any) -> Iterator[Server]:
    server = Server(**options)
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"server_state": server}))
    http.daemon_threads, http.block_on_close = True, False
    server.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()


def wrong(path: str, body: Any, able: set[str]) -> str:
    """What of a body the schema does not allow; nothing where it is all right."""
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        return "model is missing"
    if path not in SCHEMAS:
        return ""
    schema = dict(SCHEMAS[path])
    for name in able & EXTENSIONS.keys():
        schema |= EXTENSIONS[name]
    return next(filter(None, (_wrong(name, value, schema) for name, value in body.items())), "") or _shape(body, schema)


def _wrong(name: str, value: Any, schema: dict[str, Any]) -> str:
    if name not in schema:
        return f"unknown parameter: {name}"
    wrong = not isinstance(value, schema[name]) or (isinstance(value, bool) and schema[name] in (WHOLE, NUMBER))
    return f"wrong type: {name}" if wrong else ""


def _shape(body: Answer, schema: dict[str, Any]) -> str:
    if body.get("temperature", 0) > 2 or not 0 <= body.get("seed", 0) < 2**63 or len(body.get("stop", [])) > 4:
        return "out of range"
    if "messages" in schema:
        for message in body.get("messages") or [{}]:
            if message.keys() != {"role", "content"} or not isinstance(message["content"], str):
                return "a message has not the form {role, content}"
    elif "prompt" not in body:
        return "prompt is missing"
    return ""


class Handler(BaseHTTPRequestHandler):
    server_state: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self.reply(200, {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "tests"}]}
                   if self.path == "/v1/models" else {"version": self.server_state.version})  # fmt: skip

    def do_POST(self) -> None:
        state, body = self.server_state, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with LOCK:
            number = len(state.requests)
            state.requests.append({"path": self.path, **body})
            state.busy += 1
            state.busiest = max(state.busiest, state.busy)
        try:
            self.answer(state, number, body)
        finally:
            with LOCK:
                state.busy -= 1

    def answer(self, state: Server, number: int, body: Answer) -> None:
        given = self.headers.get("Authorization")
        if state.key and given != f"Bearer {state.key}":
            self.refuse(401, f"Incorrect API key provided: {given}")
        elif not self.refused(state, body):
            fault, _, detail = state.faults(number, body).partition(":")
            if fault:
                state.done[fault] += 1
                FAULTS[fault](self, body, detail)
            elif self.path in state.extend:
                self.extended(state.extend[self.path], body)
            elif body.get("stream"):
                self.stream(body)
            else:
                self.reply(200, self.made(body))

    def refused(self, state: Server, body: Answer) -> bool:
        """Whether a body is refused, and it was said: for what no server knows, or what this one does not."""
        if what := wrong(self.path, body, state.able):
            if not state.tried & {what.rpartition(" ")[2]}:
                state.violations.append(what)
            self.refuse(400, what)
        elif self.path not in state.extend and self.path not in SCHEMAS:
            self.refuse(404, f"no {self.path}")
        elif body["model"] != MODEL:
            self.refuse(404, f"The model {body['model']} does not exist")
        elif unable := [name for name in ("response_format", "logprobs", "echo")
                        if name in body and name not in state.able and self.path not in state.extend]:  # fmt: skip
            self.refuse(400, f"{unable[0]} is not supported")
        else:
            return False
        return True

    def extended(self, work: Callable[[Answer], Answer], body: Answer) -> None:
        try:
            self.reply(200, work(body))
        except NotImplementedError as error:
            self.refuse(400, f"{error} is not supported")

    def made(self, body: Answer) -> Answer:
        text = self.server_state.write(body)
        for stop in body.get("stop", []):
            text = text.partition(stop)[0]
        words = text.split(" ")
        cut = len(words) > body.get("max_tokens", 10**6)
        text = " ".join(words[: body.get("max_tokens", 10**6)])
        texts = [text if not body.get("temperature") else f"{text} {body.get('seed')} {place}"
                 for place in range(body.get("n", 1))]  # fmt: skip
        reason = "length" if cut else "stop"
        chat = "messages" in body
        return {"object": "chat.completion" if chat else "text_completion", "model": MODEL, "choices": [
            {"index": place, "finish_reason": reason,
             **({"message": {"role": "assistant", "content": one}} if chat else {"text": one})}
            for place, one in enumerate(texts)
        ], "usage": {"prompt_tokens": 7, "completion_tokens": len(words)}}  # fmt: skip

    def refuse(self, status: int, message: str, **headers: str) -> None:
        self.reply(status, {"error": {"message": message, "type": "invalid_request_error", "code": None}}, **headers)

    def reply(self, status: int, values: Any, **headers: str) -> None:
        self.raw(status, json.dumps(values).encode(), **headers)

    def raw(
        self, status: int, content: bytes, *, kind: str = "application/json", length: int = 0, **headers: str
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length or len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(content)

    def stream(self, body: Answer, *, cut: bool = False) -> None:
        made = self.made(body)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        choice = made["choices"][0]
        words = choice["text"] if "text" in choice else choice["message"]["content"]
        for place, word in enumerate(words.split(" ")[: 2 if cut else None]):
            piece = word if place == 0 else f" {word}"
            self.event(
                {"choices": [{"index": 0, **({"text": piece} if "text" in choice else {"delta": {"content": piece}})}]}
            )
        if cut:
            return
        self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
        self.event({"choices": [], "usage": made["usage"]})
        self.wfile.write(b"data: [DONE]\n\n")

    def event(self, values: Answer) -> None:
        self.wfile.write(b"data: " + json.dumps(values).encode() + b"\r\n\r\n")
        self.wfile.flush()

    def endless(self) -> None:
        with contextlib.suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(10 << 30))
            self.end_headers()
            for _ in range(10 << 10):
                self.wfile.write(b" " * (1 << 20))
        self.close_connection = True

    def drip(self, body: Answer) -> None:
        """A byte now and then, for as long as anyone listens."""
        with contextlib.suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            while True:
                self.wfile.write(b" ")
                time.sleep(0.01)

    def broken(self, content: bytes) -> None:
        self.raw(200, content[: len(content) // 2], length=len(content))
        self.close_connection = True

    def hang_up(self) -> None:
        self.close_connection = True


def changed(handler: Handler, body: Answer, **choice: Any) -> bytes:
    made = handler.made(body)
    made["choices"] = [one | choice for one in made["choices"]]
    return json.dumps(made).encode()


def content(text: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text}, "text": text}


FAULTS: dict[str, Callable[[Handler, Answer, str], None]] = {
    "status": lambda h, body, code: h.refuse(int(code), "not now"),
    "later": lambda h, body, seconds: h.refuse(429, "too many requests", Retry_After=seconds),
    "quota": lambda h, body, _: h.reply(429, {"error": {"message": "no quota", "code": "insufficient_quota"}}),
    "cut": lambda h, body, _: h.stream(body, cut=True) if body.get("stream") else h.broken(changed(h, body)),
    "truncated": lambda h, body, _: h.raw(200, changed(h, body)[:-9]),
    "html": lambda h, body, _: h.raw(200, b"<html><body>Bad gateway</body></html>", kind="text/html"),
    "no-choices": lambda h, body, _: h.reply(200, h.made(body) | {"choices": []}),
    "no-text": lambda h, body, _: h.raw(200, changed(h, body, **content(None))),
    "nul": lambda h, body, _: h.raw(200, b"\0" + changed(h, body)),
    "nul-text": lambda h, body, _: h.raw(200, changed(h, body, **content("a\0b"))),
    "surrogate": lambda h, body, _: h.raw(200, changed(h, body, **content("\ud800"))),
    "list": lambda h, body, _: h.reply(200, [h.made(body)]),
    "deep": lambda h, body, _: h.raw(200, b"[" * 100_000),
    "kind": lambda h, body, _: h.raw(200, changed(h, body), kind="application/octet-stream"),
    "order": lambda h, body, _: h.reply(200, h.made(body) | {"choices": h.made(body)["choices"][::-1]}),
    "huge": lambda h, body, _: h.endless(),
    "slow": lambda h, body, _: h.drip(body),
    "hang-up": lambda h, body, _: h.hang_up(),
    "redirect": lambda h, body, place: h.raw(307, b"", Location=place),
    "filtered": lambda h, body, _: h.raw(200, changed(h, body, finish_reason="content_filter")),
}
"""What can go wrong with an answer, by name."""
