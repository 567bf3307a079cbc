"""`codex_magic.map` over many rows: a service with a limit of its own, 2 % faults, and a kill at half.

Usage: map.py [ROWS [EXECUTOR]]; the executor is dask, ray or loky, where it is installed.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

import codex_magic
from codex_magic import Settings
from codex_magic.local_service.faults import Fault
from tests.benchmarks.measuring import Row, answer, group, row, shown, signed_in_service
from tests.known import some
from tests.service import LocalService, Pace

ROWS = 5000
CONCURRENCY = 16
LATENCY = 0.2
"""Seconds of an answer."""

PER_SECOND = 50.0
"""Requests that the service takes, with as many at once after a second without any."""

FASTEST = 1.15
"""Of the time that the service's limit alone takes."""

LIMIT_SECONDS = 900.0

GROWTH = 1.1
"""Of the memory after the first fifth."""


class Limited:
    """The faults of a service that refuses what is more than its rate."""

    def __init__(self, service: LocalService) -> None:
        self._take, self._recorder = service.faults.take, service.state.recorder
        self._level, self._at = PER_SECOND, time.monotonic()
        self.refused: set[int] = set()
        """The numbers of the requests, from 0."""

    def __call__(self, path: str) -> Fault | None:
        if not path.endswith("/responses"):
            return self._take(path)
        now = time.monotonic()
        self._level = min(PER_SECOND, self._level + (now - self._at) * PER_SECOND)
        self._at = now
        if self._level < 1:
            self.refused.add(len(self._recorder.requests) - 1)
            return Fault("too_many_requests", {"retry_after": 1})
        self._level -= 1
        return self._take(path)

    def rows(self, *, since: int = 0) -> Counter[int]:
        """How often each row was asked for and not refused."""
        asked = enumerate(self._recorder.requests[since:], since)
        prompts = [
            each.body for n, each in asked if each.path.endswith("/responses") and n not in self.refused
        ]
        return Counter(int(body.rpartition(b"echo: ")[2][:8]) for body in prompts)

    @property
    def count(self) -> int:
        return len(self._recorder.requests)


def prompt(number: int) -> str:
    """The question of a row: 1 % break off, 1 % fail, each once."""
    faults = {1: "fault: drop after=1 times=1\n", 51: "fault: server_error times=1\n"}
    return f"{faults.get(number % 100, '')}echo: {number:08}"


def is_faulty(number: int) -> bool:
    return number % 100 in (1, 51)


def main(rows: int, executor: str) -> None:
    with signed_in_service() as service:
        service.state.pace = Pace(2 / LATENCY)
        limited = Limited(service)
        setattr(service.faults, "take", limited)  # noqa: B010  # a method, to the type checker
        for each in (*whole(limited, rows, executor), *killed(limited, rows, executor)):
            print(json.dumps(each), flush=True)


def whole(limited: Limited, rows: int, executor: str) -> Iterator[Row]:
    told = answer("-m", "tests.benchmarks.map", "ask", str(rows), executor, seconds=LIMIT_SECONDS)
    faults = sum(is_faulty(n) for n in range(rows))
    least = max((rows + faults) / PER_SECOND, rows * LATENCY / CONCURRENCY)
    times = told["seconds"] / least
    what = f"map over {rows:,} rows{f' on {executor}' if executor else ''}"
    measured = f"{times:.2f}x ({told['seconds']:.0f} s; {least:.0f} s)"
    yield row(what, f"<= {FASTEST}x of what the limit takes", measured, times <= FASTEST)
    yield row(f"{what}: right answers, in order", f"{rows}", f"{told['right']}", told["right"] == rows)
    once = sum(count == 1 + is_faulty(n) for n, count in limited.rows().items())
    yield row(f"{what}: asked once, and once more after a fault", f"{rows}", f"{once}", once == rows)
    growth, megabytes = told["growth"], told["memory"] / 1e6
    what = f"{what}: memory at the end"
    yield row(
        what, f"<= {GROWTH}x of that after a fifth", f"{growth:.2f}x ({megabytes:.0f} MB)", growth <= GROWTH
    )
    yield shown("refused for now (429)", f"{len(limited.refused)}")


def killed(limited: Limited, rows: int, executor: str) -> Iterator[Row]:
    """Kill a process when half is answered, and let another one do the same."""
    journal = Settings.from_env().home / "values.db"
    journal.unlink()
    command = [sys.executable, "-m", "tests.benchmarks.map", "ask", str(rows), executor]
    with group(command, stdout=subprocess.DEVNULL) as process:
        while kept(journal) < rows / 2:
            time.sleep(0.05)
        process.kill()
        process.wait()
    answered, before = kept(journal), limited.count
    told = answer(*command[1:], seconds=LIMIT_SECONDS)
    asked, left = len(limited.rows(since=before)), rows - answered
    what = "killed at half and called again"
    yield row(f"{what}: rows asked for, of those without an answer", f"{left}", f"{asked}", asked == left)
    yield row(f"{what}: right answers, in order", f"{rows}", f"{told['right']}", told["right"] == rows)


def kept(journal: Path) -> int:
    """Rows that have an answer; the name of the default model is kept beside them."""
    if not journal.exists():
        return 0
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
        try:
            return max(0, int(db.execute("SELECT count(*) FROM answers").fetchone()[0]) - 1)
        except sqlite3.OperationalError:  # it is being made
            return 0


def ask(rows: int, executor: str) -> None:
    """Ask, and print how that went."""
    sizes: list[int] = []
    ended = threading.Event()

    def measure() -> None:
        process = psutil.Process()
        while not ended.wait(0.5):
            sizes.append(process.memory_info().rss)

    with cluster(executor) as workers:
        threading.Thread(target=measure, daemon=True).start()
        began = time.monotonic()
        answers = codex_magic.map(
            range(rows), prompt, concurrency=CONCURRENCY, confirmed=True, executor=workers, progress=False
        )
        seconds = time.monotonic() - began
        ended.set()
    right = sum(answer == f"{n:08}" for n, answer in enumerate(answers))
    growth = max(sizes) / sizes[len(sizes) // 5] if sizes else 1.0
    print(json.dumps({"seconds": seconds, "right": right, "growth": growth, "memory": max(sizes, default=0)}))


DASK = """
import sys
from distributed import LocalCluster
with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""
"""A cluster in a process of its own, as one usually is: in ours its scheduler and nannies wake it 400 times a second and
take its lock, which made each row take twice as long."""


@contextmanager
def cluster(name: str) -> Iterator[Any]:
    """Two workers on this machine."""
    if name == "dask":
        distributed: Any = import_module("distributed")
        command = [sys.executable, "-c", DASK]
        with group(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            address = some(process.stdout).readline().strip()
            with distributed.Client(address) as client:
                yield client.get_executor()
            some(process.stdin).close()  # which ends it by itself
            process.wait()
    elif name == "ray":
        ray: Any = import_module("ray")
        os.environ.pop("PYTHONPATH", None)  # what keeps a child on this machine keeps Ray from starting
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
        yield ray
        ray.shutdown()
    elif name == "loky":
        with import_module("loky").get_reusable_executor(2) as executor:
            yield executor
    else:
        yield None


if __name__ == "__main__":
    if sys.argv[1:2] == ["ask"]:
        ask(int(sys.argv[2]), sys.argv[3])
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else ROWS, sys.argv[2] if sys.argv[2:] else "")
