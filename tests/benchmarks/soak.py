"""Many clients at once on one worker: ``python -m tests.benchmarks.soak [--requests N] [--clients N] [--fake]``.

Every answer is compared with the one made without the worker; some clients are killed in the middle of a request.
Asks the embedded models; with ``--fake`` the fake model of the tests.

``--lengths N [--model NAME]``: instead, N calls of all tasks in turn, each with a text of another length. What grows a
call, or a length, shows in the worker's memory, which must be flat in the last half.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from llmcli.cli import progress
from llmcli.errors import WorkerError
from llmcli.run import records, runner
from llmcli.run.records import Record
from llmcli.run.request import Request
from llmcli.worker import client, control
from llmcli.worker.remote import Remote
from tests.support import workers
from tests.support.fake import FakeModel

KILLED, WHOLE = 10, 50
"""One client in so many is killed; one in so many is a process of the command line."""
TEXTS = (
    "a good film",
    "the battery died after a day",
    "warm, funny and wise",
    "it never ends",
    "good value",
    "so dull",
)
TOKENS = {"generation": {"max_new_tokens": 4}}
CASES = {
    "sentiment": Request("sentiment", {}),
    "sentiment, 6 rows": Request("sentiment", {"options": {"format": "jsonl"}}),
    "generate, streamed": Request("generate", TOKENS),
    "translate": Request("translate", TOKENS | {"options": {"to": "de"}}),
}
EACH: dict[str, dict[str, Any]] = {
    "generate": {"generation": {"max_new_tokens": 8}},
    "sentiment": {},
    "translate": {"generation": {"max_new_tokens": 8}, "options": {"to": "fr"}},
    "summarize": {"generation": {"max_new_tokens": 8}},
    "classify": {"options": {"labels": "film,battery,weather"}},
    "answer": {"options": {"question": "Who sleeps?"}},
    "code": {"generation": {"max_new_tokens": 8}},
}
WORDS = ("cat", "sleeps", "old", "bridge", "near", "the", "river", "and", "dog", "reads", "a", "long", "book", "sea")
LONGEST = (5, 20, 80, 300)
"""Words: a text has up to one of these numbers."""
GROWTH = 1.05
"""The most that memory may grow from the third quarter of the calls to the last."""
Answer = list[Any]
context = multiprocessing.get_context("fork")


def main() -> None:
    """Print a table; exit 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--fake", action="store_true")
    parser.add_argument("--lengths", type=int, default=0, metavar="CALLS")
    parser.add_argument("--model")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        runtime = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)
        if arguments.lengths:
            sys.exit(_lengths(arguments.lengths, arguments.model))
        os.environ["LLMCLI_WORKER"] = "off"
        if arguments.fake:
            os.environ["LLMCLI_CACHE_DIR"] = stack.enter_context(tempfile.TemporaryDirectory())
        with context.Pool(1) as pool:  # a fork must not inherit torch's threads
            expected = pool.apply(_expected, (arguments.fake,))
        os.environ["LLMCLI_WORKER"] = "on"
        if arguments.fake:
            workers.start()
        else:
            control.start(keep_alive=None, memory=None)
        sys.exit(_table(*_soak(arguments, expected), runtime=runtime))


def _lengths(calls: int, model: str | None) -> int:
    """Print the worker's memory as the calls go on; 1 where it grows."""
    os.environ["LLMCLI_WORKER"] = "on"
    control.start(keep_alive=-1, memory=None)
    drawn, memory = random.Random(1), list[int]()
    print("call\tmemory, MB")
    try:
        for number in range(calls):
            task, settings = [*EACH.items()][number % len(EACH)]
            text = " ".join(drawn.choices(WORDS, k=drawn.randint(1, drawn.choice(LONGEST)))) + "."
            request = Request(task, settings | ({"model": model} if model else {}))
            with (
                progress.preparing({"quiet": True}) as report,
                contextlib.closing(client.open_session(request, report).session) as session,
            ):
                assert isinstance(session, Remote)
                list(runner.run(session, iter([Record(id=number, text=text)])))
            memory.append(control.status()["memory"])
            if number % max(calls // 12, 1) == 0:
                print(f"{number}\t{memory[-1] / 1e6:.0f}", flush=True)
    finally:
        control.stop()
    quarter = calls // 4
    third, last = (sum(part) / quarter / 1e6 for part in (memory[-2 * quarter : -quarter], memory[-quarter:]))
    print(f"third quarter\t{third:.0f}\nlast quarter\t{last:.0f}\nratio\t{last / third:.3f}\tgoal {GROWTH}")
    return int(last > GROWTH * third)


def _expected(fake: bool) -> dict[tuple[str, int], Answer]:
    if fake:
        from llmcli.pipelines import load as loading

        loading.load = lambda config, *, report, watch=None: FakeModel()
    return {(name, place): ask(name, place)[0] for name in CASES for place in range(len(TEXTS))}


def ask(name: str, place: int) -> tuple[Answer, bool]:
    """The results and the streamed text of a request, and whether the worker made them."""
    request = CASES[name]
    rows = len(TEXTS) if "6 rows" in name else 1
    asked = [Record(id=row, text=TEXTS[(place + row) % len(TEXTS)]) for row in range(rows)]
    heard: list[str] = []
    with (
        progress.preparing({"quiet": True}) as report,
        contextlib.closing(client.open_session(request, report).session) as session,
    ):
        emit = heard.append if "streamed" in name else None
        results = [records.pack(result) for result in runner.run(session, iter(asked), emit=emit)]
        served = isinstance(session, Remote) and session._local is None
    return json.loads(json.dumps([results, "".join(heard)], default=str)), served


def _soak(arguments: argparse.Namespace, expected: Any) -> tuple[Counter[str], list[int], float]:
    for name in CASES:
        ask(name, 0)
    start, outcomes = time.monotonic(), context.SimpleQueue()
    clients = [
        context.Process(target=_client, args=(range(first, arguments.requests, arguments.clients), expected, outcomes))
        for first in range(arguments.clients)
    ]
    for process in clients:
        process.start()
    counts: Counter[str] = Counter()
    memory = []
    while sum(counts.values()) < arguments.requests and (any(p.is_alive() for p in clients) or not outcomes.empty()):
        while not outcomes.empty():
            counts[outcomes.get()] += 1
        with contextlib.suppress(WorkerError):  # it is busy for longer than a client waits
            memory.append(control.status().get("memory", 0))
        time.sleep(0.2)
    for process in clients:
        process.join()
    while not outcomes.empty():
        counts[outcomes.get()] += 1
    return counts, memory, time.monotonic() - start


def _client(numbers: range, expected: Any, outcomes: Any) -> None:
    for number in numbers:
        name, place = [*CASES][number // 3 % len(CASES)], number % len(TEXTS)
        if number % KILLED == 0:
            outcomes.put(_killed(name, place))
        elif number % WHOLE == 1:
            outcomes.put(_whole(place, expected["sentiment", place]))
        else:
            found, served = ask(name, place)
            right = "right" if found == expected[name, place] else "wrong"
            outcomes.put(right if served else f"{right}, but without the worker")


def _killed(name: str, place: int) -> str:
    process = context.Process(target=ask, args=(name, place))
    process.start()
    process.join(random.uniform(0.0, 0.2))
    over = not process.is_alive()
    assert process.pid is not None
    if not over:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return "done before the kill" if over else "killed"


def _whole(place: int, expected: Answer) -> str:
    command = [sys.executable, "-m", "llmcli", "sentiment", "--verbose", TEXTS[place]]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    fields = expected[0][0]["fields"]
    right = "right" if done.stdout == f"{fields['label']}\t{fields['score']:.4f}\n" else "wrong"
    return f"{right}, but without the worker" if "in this process" in done.stderr else right


def _table(counts: Counter[str], memory: list[int], seconds: float, *, runtime: Path) -> int:
    workers.await_(lambda: control.status()["sessions"] == 0)
    print(f"{sum(counts.values())} requests\t{seconds:.0f} s")
    for what, count in sorted(counts.items()):
        print(f"{what}\t{count}")
    print(f"wrong\t{counts['wrong']}")
    quarter = max(len(memory) // 4, 1)
    for what, part in (("first quarter", memory[:quarter]), ("middle", memory[quarter:-quarter]),
                       ("last quarter", memory[-quarter:])):  # fmt: skip
        print(f"memory, {what}\t{sum(part) / max(len(part), 1) / 1e6:.0f} MB")
    print(control.stop())
    left = workers.alive(runtime)
    print(f"processes left\t{len(left)}")
    good = counts["right"] + counts["killed"] + counts["done before the kill"]
    return int(good != sum(counts.values()) or bool(left))


if __name__ == "__main__":
    main()
