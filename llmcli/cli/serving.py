"""The worker's process, which parses command lines as this wing does."""

from __future__ import annotations

from typing import NoReturn

from llmcli.cli import app
from llmcli.worker import process


def main(arguments: list[str]) -> NoReturn:
    """Run a worker; see :func:`llmcli.worker.process.main`."""
    process.main(arguments, parse=app.parse)
