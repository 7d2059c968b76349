"""Where files are, for the one who asks: shipped configs, the user's configs, the cache."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from llmcli.errors import UsageError

PACKAGE = Path(__file__).resolve().parent.parent
CALLERS = ("HOME", "LLMCLI_CONFIG_DIR", "LLMCLI_MODEL", "LLMCLI_PLAIN", "XDG_CONFIG_HOME")
"""The variables that decide what a command line means. No setting is read from another one."""


@dataclass(frozen=True)
class Caller:
    """Whoever a command line comes from: the folder where its relative paths begin, and its variables of CALLERS.

    ``makes``: whether a checkpoint that is not in the store may be fetched, or converted, in this process.
    """

    folder: Path
    environment: Mapping[str, str]
    makes: bool = True

    @classmethod
    def here(cls) -> Caller:
        """This process. Raises UsageError where its working directory is gone."""
        try:
            folder = Path.cwd()
        except OSError as error:
            raise UsageError("the working directory is gone", hint="change to another one") from error
        return cls(folder, {name: os.environ[name] for name in CALLERS if name in os.environ})


_served: ContextVar[Caller | None] = ContextVar("served", default=None)
"""A context variable and no parameter: some twenty functions between a command line and its settings look at paths."""


@contextlib.contextmanager
def serving(caller: Caller) -> Iterator[None]:
    """Read settings and paths as another process means them, in this thread alone."""
    token = _served.set(caller)
    try:
        yield
    finally:
        _served.reset(token)


def variable(name: str) -> str:
    """A variable of CALLERS, as the caller has it; empty where it is not set."""
    assert name in CALLERS
    caller = _served.get()
    return (os.environ if caller is None else caller.environment).get(name, "")


def absolute(path: Path) -> Path:
    """Where a path leads from the caller's folder."""
    if path.is_absolute():
        return path
    return (_served.get() or Caller.here()).folder / path


def makes() -> bool:
    """Whether the caller may have a checkpoint fetched, or converted, in this process."""
    caller = _served.get()
    return caller is None or caller.makes


def shipped() -> Path:
    """The shipped YAML folder: beside the package in the source tree, inside it in a wheel."""
    inside = PACKAGE / "configs"
    return inside if inside.is_dir() else PACKAGE.parent / "configs"


def user() -> Path:
    """The user's YAML folder; it may not exist."""
    if override := variable("LLMCLI_CONFIG_DIR"):
        return absolute(Path(override))
    return _xdg(variable("XDG_CONFIG_HOME"), variable("HOME"), ".config") / "llmcli"


def cache() -> Path:
    """The cache folder, which is this process's own; it may not exist."""
    if override := os.environ.get("LLMCLI_CACHE_DIR"):
        return Path(override) if os.path.isabs(override) else (Caller.here().folder / override).resolve()
    return _xdg(os.environ.get("XDG_CACHE_HOME", ""), os.environ.get("HOME", ""), ".cache") / "llmcli"


def find(kind: str, name: str) -> Iterator[Path]:
    """YAML files of that name, weakest first: the shipped one, then the user's. ``kind``: models or tasks."""
    for folder in (shipped(), user()):
        path = folder / kind / f"{name}.yaml"
        if path.is_file():
            yield path


def names(kind: str) -> list[str]:
    """All names of a kind, sorted."""
    return sorted({path.stem for folder in (shipped(), user()) for path in (folder / kind).glob("*.yaml")})


def _xdg(value: str, home: str, default: str) -> Path:
    return Path(value) if os.path.isabs(value) else _home(home) / default


def _home(home: str) -> Path:
    if home:
        return Path(home)
    import pwd

    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # a container's user without a name
        return Path("/")
