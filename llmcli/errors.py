"""Everything that can go wrong, each with its exit code.

LlmcliError                 1  a bug in llmcli, nothing else
├── UsageError              2  the command line
│   └── ConfigError         2  a YAML file
├── InputError              3  input unreadable or empty
├── ModelError              4  model missing, refused or broken
├── RowsFailed              5  a batch ended with failed rows
├── GenerationError         6  non-finite output, or a text too long
├── WorkerError             7  the warm worker
├── ServerError             7  a server cannot be reached, or refuses
│   └── AnswerError         7  a server gives one request no answer
├── OutOfMemory             8  out of memory at batch size 1
└── OutputError            10  output could not be written

A process ended by SIGINT, SIGPIPE or SIGTERM dies by that signal.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

_TOKEN = re.compile(r"hf_[A-Za-z0-9]{4,}")


class LlmcliError(Exception):
    """An expected failure.

    ``code`` is a short stable slug (``bad-json``), ``hint`` the user's next step, and ``where`` the place
    in the input (``in.txt:17``). The message never holds the user's text.
    """

    exit_code: ClassVar[int] = 1
    default_code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, code: str = "", hint: str = "", where: str = "") -> None:
        super().__init__(message)
        self.message = redact(message)
        self.code = code or self.default_code
        self.hint = redact(hint)
        self.where = where

    def line(self) -> str:
        """The one line that stderr gets."""
        place = f"{self.where}: " if self.where else ""
        step = f"; {self.hint}" if self.hint else ""
        return one_line(f"llmcli: {place}error[{self.code}]: {self.message}{step}")


class UsageError(LlmcliError):
    """The command line asks for something that cannot be."""

    exit_code = 2
    default_code = "usage"


class ConfigError(UsageError):
    """A YAML file is malformed; the message is ``file: [field] what``."""

    default_code = "config"


class InputError(LlmcliError):
    """The input cannot be read, decoded, or is empty."""

    exit_code = 3
    default_code = "input"


class ModelError(LlmcliError):
    """The model is missing, refused, or broken."""

    exit_code = 4
    default_code = "model"


class RowsFailed(LlmcliError):
    """A batch came to its end, and some rows failed."""

    exit_code = 5
    default_code = "rows-failed"


class GenerationError(LlmcliError):
    """The model's output is not finite, or the text does not fit its context window."""

    exit_code = 6
    default_code = "generation"


class WorkerError(LlmcliError):
    """The warm worker failed."""

    exit_code = 7
    default_code = "worker"


class ServerError(LlmcliError):
    """A server cannot be reached, or refuses."""

    exit_code = 7
    default_code = "server"


class AnswerError(ServerError):
    """A server has no answer to one request."""

    default_code = "no-answer"


class OutOfMemory(LlmcliError):
    """Memory ran out with a single row in the batch."""

    exit_code = 8
    default_code = "out-of-memory"


class OutputError(LlmcliError):
    """Output, or the model store, could not be written."""

    exit_code = 10
    default_code = "output"


ROW_ERRORS = (InputError, GenerationError, OutOfMemory, AnswerError)
"""What one row can do wrong; every other error ends the run."""
WAITING = "no-response"
"""The error's code of a row whose answer may still come: of a request that is in a file."""


def pack(error: LlmcliError) -> dict[str, str | int]:
    """An error as JSON values: for the journal and the wire."""
    return {"exit": error.exit_code, "code": error.code, "message": error.message, "hint": error.hint}


def unpack(packed: Mapping[str, Any]) -> LlmcliError:
    """The error that :func:`pack` took apart."""
    kinds: list[type[LlmcliError]] = [LlmcliError, *LlmcliError.__subclasses__()]
    kind = next((kind for kind in kinds if kind.exit_code == packed["exit"]), LlmcliError)
    return kind(packed["message"], code=packed["code"], hint=packed["hint"])


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out; torch on a CPU raises a plain RuntimeError for it."""
    text = str(error)
    said = ("out of memory", "can't allocate memory", os.strerror(errno.ENOMEM))
    return isinstance(error, MemoryError) or any(words in text for words in said)


def redact(text: str) -> str:
    """Hide Hugging Face access tokens."""
    return _TOKEN.sub("hf_***", text)


def shown(path: str | os.PathLike[str]) -> str:
    r"""A file's name as text from which every byte comes back.

    A byte that is no UTF-8, or a control character, is ``\xHH``, and a backslash is two.
    """
    text = os.fsencode(path).replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
    return "".join(f"\\x{ord(c):02x}" if c < " " or c == "\x7f" else c for c in text)


def one_line(text: str) -> str:
    """Fold white space, so that an error takes one line and no control character reaches the terminal."""
    return "".join(c if c.isprintable() else "�" for c in " ".join(text.split()))


def nearest(name: str, known: Sequence[str], *, what: str = "") -> str:
    """The next step after a name that is not known: those that begin so, or the nearest; else all.

    ``what``: what all of them are called.
    """
    import difflib

    begun = [one for one in known if len(name) > 1 and one.lower().startswith(name.lower())]
    close = begun[:3] or difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"{what}: {', '.join(known)}" if what else ""
