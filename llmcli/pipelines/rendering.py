"""The other side of templates.py: a process of its own, with limits, that renders chat templates of strangers.

Run as a file, with as little imported as can be. A request and an answer are each a line of JSON. What a template
finds here is what transformers gives it; a test compares the two.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

MEMORY = 256 << 20
"""Bytes that rendering may take, besides some for each byte of the request."""
SHARE = 24
"""Bytes of memory for a byte of the request."""


def environment() -> Any:
    """The jinja2 environment that transformers renders chat templates in."""
    import jinja2
    import jinja2.ext
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(jinja2.ext.Extension):
        """``{% generation %}``, which marks what the model wrote: of no use here."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("_passed"), [], [], body).set_lineno(line)

        def _passed(self, caller: Any) -> str:
            return str(caller())

    class Dict:
        def __call__(self, *arguments: Any, **options: Any) -> dict[Any, Any]:
            return dict(*arguments, **options)

        def fromkeys(self, *arguments: Any) -> dict[Any, Any]:
            return dict.fromkeys(*arguments)

    class Namespace(jinja2.utils.Namespace):
        def __init__(*arguments: Any, **options: Any) -> None:
            self, *rest = arguments
            values = dict(*rest, **options)
            for name in values:
                Namespace._check(name)
            jinja2.utils.Namespace.__init__(self, values)

        def __setitem__(self, name: str, value: Any) -> None:
            Namespace._check(name)
            jinja2.utils.Namespace.__setitem__(self, name, value)

        @staticmethod
        def _check(name: object) -> None:
            if isinstance(name, str) and name.startswith("_"):
                raise jinja2.exceptions.SecurityError("a name that begins with an underscore")

    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = _json
    made.globals |= {"raise_exception": _raise, "strftime_now": _now, "dict": Dict(), "namespace": Namespace}
    return made


def _json(value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None,
          sort_keys: bool = False) -> str:  # fmt: skip
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


class Refused(Exception):
    """The template's own ``raise_exception``."""


def _raise(message: Any) -> None:
    raise Refused(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)


def answer(made: Any, request: dict[str, Any], templates: dict[str, Any]) -> dict[str, str]:
    """The text of a request, or why there is none: never with what a user wrote in it.

    A request without variables is for the template's own words.
    """
    source, variables = request["template"], request.get("variables")
    try:
        if variables is None:
            return {"text": _words(made.parse(source))}
        if source not in templates:
            templates.clear()
            templates[source] = made.from_string(source)
    except MemoryError:
        raise
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    try:
        return {"text": templates[source].render(**variables)}
    except MemoryError:
        raise
    except Exception as error:
        return {"error": _why(error, source)}


def _words(parsed: Any) -> str:
    """What stands in a template as text, and as strings in its code."""
    from jinja2 import nodes

    texts = {node.data for node in parsed.find_all(nodes.TemplateData)}
    texts |= {node.value for node in parsed.find_all(nodes.Const) if isinstance(node.value, str)}
    return "\0".join(texts)


def _why(error: Exception, source: str) -> str:
    """The words of an error, where they are the template's own: a string in it, or a name."""
    words = str(error)
    undefined = re.fullmatch(r"'(\w+)' is undefined", words)
    if f"'{words}'" in source or f'"{words}"' in source or (undefined and undefined[1] in source):
        return words
    return {"Refused": "it raises an error", "SecurityError": "it does what is not allowed"}.get(
        type(error).__name__, f"{type(error).__name__} while it was rendered"
    )


def main(seconds: float) -> None:
    """Answer requests until there are no more. A request that takes too long ends the process by SIGPROF."""
    out = os.fdopen(os.dup(1), "wb")
    made, templates = environment(), dict[str, Any]()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        with _limited(seconds, memory=MEMORY + SHARE * len(line)):
            try:
                found = json.dumps(answer(made, request, templates)).encode()
            except MemoryError:
                found = b""
        out.write((found or b'{"error": "it needs too much memory", "last": "yes"}') + b"\n")
        out.flush()
        if not found:
            return  # what is left of the memory is in pieces


@contextlib.contextmanager
def _limited(seconds: float, *, memory: int) -> Iterator[None]:
    """So many seconds of the processor, and so many bytes more than there are now."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with contextlib.suppress(OSError, ValueError):  # a system without this limit, or with a lower one
        resource.setrlimit(resource.RLIMIT_AS, (_size() + memory, before[1]))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    resource.setrlimit(resource.RLIMIT_AS, before)


def _size() -> int:
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    sys.path.extend(sys.argv[2:])
    main(float(sys.argv[1]))
