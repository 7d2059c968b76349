"""How much is tried at random: a little in each run of the tests, more where ``LLMCLI_FUZZ`` says how many times."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("LLMCLI_FUZZ", "1"))


def bounded(examples: int) -> settings:
    """So many examples, the same in each run; so many times as many, and others, where more is asked for."""
    return settings(
        max_examples=examples * TIMES, deadline=None, database=None, derandomize=TIMES == 1,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )  # fmt: skip
