"""Chat templates: programs of a checkpoint's author, rendered in a process whose memory and time are limited.

In this process a template could take all memory, or all time: ``{{ 9**9**9 }}`` is one step of C that nothing can stop.
"""

from __future__ import annotations

import json
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmcli.errors import ModelError
from llmcli.models import foreign

SECONDS, WAIT = 2.0, 60.0
"""Seconds of the processor that a template may take; seconds to wait for them on a machine with other work."""
LARGEST = 1 << 20
"""The most characters of a template."""


class Renderer:
    """A process that renders, started when it is first needed, and anew after a template that had to be stopped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process, unless it runs: it is ready when the weights are loaded."""
        with self._lock:
            self._started()

    def render(self, template: str, variables: Mapping[str, Any] | None = None) -> str:
        """The text of a template; without variables, all that stands in it as text. Raises ModelError."""
        if len(template) > LARGEST:
            raise _bad("it is too long")
        with self._lock:
            process = self._started()
            try:
                found = _asked(process, json.dumps({"template": template, "variables": variables}).encode() + b"\n")
            except BaseException:
                self._end()  # an answer that nobody reads must not be the next one's
                raise
            if "last" in found:
                self._end()
        if "text" not in found:
            raise _bad(foreign.reason(found["error"]))
        return str(found["text"])

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            import jinja2
            import markupsafe

            folders = {str(Path(str(module.__file__)).parents[1]) for module in (jinja2, markupsafe)}
            script = Path(__file__).with_name("rendering.py")
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(script), str(SECONDS), *sorted(folders)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/", bufsize=0,
            )  # fmt: skip
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


def _asked(process: subprocess.Popen[bytes], request: bytes) -> dict[str, str]:
    """The process's answer. Raises ModelError where it ends without one."""
    assert process.stdin is not None
    assert process.stdout is not None
    rest = memoryview(request)
    try:
        while rest:
            rest = rest[process.stdin.write(rest) :]
    except BrokenPipeError:
        raise _ended(process) from None
    parts = [b""]
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not parts[-1].endswith(b"\n"):
            if not selector.select(WAIT):
                raise _bad("it does not come to an end")
            parts.append(process.stdout.read(1 << 20))
            if not parts[-1]:
                raise _ended(process)
    answer: dict[str, str] = json.loads(b"".join(parts))
    return answer


def _ended(process: subprocess.Popen[bytes]) -> ModelError:
    stopped = process.wait() == -signal.SIGPROF
    return _bad("it does not come to an end" if stopped else "it could not be rendered")


def _bad(why: str) -> ModelError:
    return ModelError(f"the chat template is refused: {why}", code="bad-template", hint="try --raw")


renderer = Renderer()
"""The process of this one."""


def rendered(tokenizer: Any, messages: Sequence[Any], options: Mapping[str, Any]) -> str:
    """The text of a chat, for ``tokenizer(…, sanitize_control_tokens=True)``: as ``apply_chat_template`` makes it.

    Control tokens in the messages are marked. Raises ModelError for whatever is wrong with the template.
    """
    try:
        template = tokenizer.get_chat_template()
        if not isinstance(template, str):
            raise _bad("it is no text")
        if tokenizer.chat_control_tokens is None:
            # Left alone, the tokenizer compiles the template here to find them, which is as bad as rendering it.
            words = renderer.render(template)
            added = [str(token) for token in tokenizer.added_tokens_decoder.values()]
            tokenizer.chat_control_tokens = [token for token in added if token in words and not token.isspace()]
        marked = tokenizer._mark_chat_inputs(template, [list(messages)], None, None, dict(options), True, False)
    except ModelError:
        raise
    except Exception as error:
        raise _bad(foreign.reason(error)) from error
    (chat,), _, _, given = marked
    return renderer.render(template, {**tokenizer.special_tokens_map, **given, "messages": chat, "tools": None,
                                      "documents": None, "add_generation_prompt": True})  # fmt: skip
